"""Files that are damaged, of another encoding, or not of the type of their names: detected when planning or reading."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path

import fsspec.compression
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_toedit.config import SourceConfig
from hf_toedit.errors import SourceError
from hf_toedit.sources.compression import decompressed
from hf_toedit.sources.encoding import NotText, beginning, decoded
from hf_toedit.sources.source import Source, open_source
from tests.cli.command import HfToEdit

LINES = "".join(json.dumps({"text": f"Olé {index}"}, ensure_ascii=False) + "\n" for index in range(30))
CSV = "text,n\n" + "".join(f"Olé {index},{index}\n" for index in range(30))


def planned(path: Path, **options: object) -> Source:
    source = open_source(SourceConfig(str(path), **options))
    for split in source.splits:
        source.extents(split, [next(iter(source.features))])
    return source


def texts(source: Source) -> list[str]:
    return [text for table in source.tables("train") for text in table.column("text").to_pylist()]


def rows_before(source: Source, expected: str) -> int:
    """Return the rows that are read before a file fails."""
    count = 0
    with pytest.raises(SourceError, match=expected):
        for table in source.tables("train"):
            count += len(table)
    return count


def row_groups(path: Path, count: int = 50, **options: object) -> bytes:
    table = pa.table({"text": [f"Once upon a time {index}. " * 20 for index in range(count)]})
    pq.write_table(table, path, row_group_size=10, **options)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.jsonl", LINES.encode("latin-1"), r"line 1 is not UTF-8 \(byte 0xe9 at its byte 13\).*iconv -f LATIN1"),
        ("a.jsonl.gz", gzip.compress(LINES.encode("latin-1")), "line 1 is not UTF-8"),
        ("a.jsonl", (LINES.encode() + LINES.encode("latin-1")), "line 31 is not UTF-8"),
        ("a.json", b'[{"text": "\xe9"}]', "line 1 is not UTF-8"),
        ("a.jsonl", LINES.encode("utf-16"), "it is UTF-16, not UTF-8.*iconv -f UTF-16"),
        ("a.jsonl", LINES.encode("utf-16-le"), "it is UTF-16LE, not UTF-8"),
        ("a.txt", LINES.encode("utf-16-be"), "it is UTF-16BE, not UTF-8"),
        ("a.jsonl", LINES.encode("utf-32"), "it is UTF-32, not UTF-8"),
        ("a.txt", "eins\nzwei\nfünf\n".encode("latin-1"), r"line 3 is not UTF-8 \(byte 0xfc at its byte 2\)"),
        ("a.csv", CSV.encode("latin-1"), "line 2 is not UTF-8"),
        ("a.csv", CSV.encode("utf-16"), "it is UTF-16, not UTF-8"),
        ("a.jsonl", LINES.encode()[:-5], "line 30 is not JSON"),
        ("a.jsonl", gzip.compress(LINES.encode()), "it is compressed with gzip, which the ending of its name does not"),
        ("a.csv", b"PAR1\x15\x04\x15\x80\x01PAR1", "it is a Parquet file"),
        ("a.parquet", LINES.encode(), "Parquet magic bytes not found in footer"),
        ("a.jsonl", b'{"text": "a", "text": "b"}\n{"text": "c"}\n', "line 1 holds the key 'text' twice"),
        ("a.jsonl", b'{"text": "a", "m": {"x": 1, "x": 2}}\n', "line 1 holds the key 'x' twice"),
        ("a.csv", b"text,n,text\na,1,b\n", "its header holds 'text' twice"),
        ("a.tsv", b"text\tn\ttext\na\t1\tb\n", "its header holds 'text' twice"),
    ],
)
def test_text_files_are_looked_at_when_planning(name: str, content: bytes, expected: str, tmp_path: Path) -> None:
    """This includes files of which no row is read when planning."""
    (tmp_path / f"b{name[1:]}").write_bytes(content)
    with pytest.raises(SourceError, match=f"b{name[1:]}: .*{expected}"):
        planned(tmp_path / f"b{name[1:]}")
    good = {".parquet": None, ".txt": b"x\n", ".csv": b"text,n\nx,1\n", ".tsv": b"text\tn\nx\t1\n"}.get(name[1:], b"")
    if good:
        (tmp_path / name).write_bytes(good)
        with pytest.raises(SourceError, match=f"b{name[1:]}: .*{expected}"):
            planned(tmp_path)


@pytest.mark.parametrize("columns", [(), ("text",)])
def test_a_line_that_is_not_utf8_is_named_when_it_is_reached(columns: tuple[str, ...], tmp_path: Path) -> None:
    line = json.dumps({"text": "Olé" + "x" * 300}, ensure_ascii=False) + "\n"
    (tmp_path / "a.jsonl").write_bytes(line.encode() * 40_000 + line.encode("latin-1"))
    source = planned(tmp_path / "a.jsonl", columns=columns)
    assert rows_before(source, r"line 40,001 is not UTF-8 \(byte 0xe9 at its byte 13\)") > 10_000


@pytest.mark.parametrize(("name", "text"), [("a.jsonl", LINES), ("a.csv", CSV), ("a.json", '[{"text": "Olé"}]')])
def test_a_mark_of_utf8_is_no_part_of_the_text(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(text.encode("utf-8-sig"))
    with_mark = texts(planned(tmp_path / name))
    (tmp_path / name).write_bytes(text.encode())
    assert with_mark == texts(planned(tmp_path / name))


@given(st.binary(max_size=40), st.integers(1, 3))
def test_what_is_utf8_is_never_refused_and_else_the_place_is_right(content: bytes, number: int) -> None:
    try:
        assert decoded(content, number) == content.decode("utf-8-sig" if number == 1 else "utf-8")
    except NotText as error:
        if "line" in str(error):
            with pytest.raises(UnicodeDecodeError) as caught:
                content.decode()
            line = number + content[: caught.value.start].count(b"\n")
            assert f"line {line} is not UTF-8 (byte 0x{content[caught.value.start]:02x}" in str(error)
        else:
            assert b"\0" in content or not content.decode(errors="ignore").encode() == content


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), st.integers(0, 3))
def test_a_beginning_may_end_within_a_character(text: str, cut: int) -> None:
    content = (text + "😀").encode()
    assert beginning(content[: len(content) - cut]) in (text, text + "😀", text.removeprefix("\ufeff"),
                                                       (text + "😀").removeprefix("\ufeff"))  # fmt: skip


class TestDuplicateColumns:
    """A Parquet file with two columns of one name."""

    @staticmethod
    def _file(path: Path, *names: str) -> Path:
        pq.write_table(pa.table([pa.array(["a"])] * len(names), names=list(names)), path)
        return path

    def test_when_planning(self, tmp_path: Path) -> None:
        self._file(tmp_path / "0.parquet", "text", "n")
        self._file(tmp_path / "1.parquet", "text", "n", "n")
        for named in (tmp_path, tmp_path / "1.parquet"):
            with pytest.raises(SourceError, match="1.parquet has several columns named 'n'. Rename or remove one"):
                planned(named)
        assert texts(planned(tmp_path, columns=("text",))) == ["a", "a"]

    def test_in_a_column(self, tmp_path: Path) -> None:
        pairs = pa.StructArray.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["x", "x"])
        pq.write_table(pa.table({"text": ["a"], "meta": pairs}), tmp_path / "a.parquet")
        with pytest.raises(SourceError, match=r"several columns named 'meta\.x'"):
            planned(tmp_path / "a.parquet")


class TestParquet:
    """Damaged Parquet files."""

    @pytest.mark.parametrize(
        ("cut", "expected"),
        [
            (lambda content: content[500:], "row group 4 ends at byte .* a part is missing"),
            (lambda content: content[:1000] + content[1200:], "a part is missing"),
            (lambda content: content[:-100], "cannot read .*b.parquet"),
            (lambda content: content[:-4] + b"PAR2", "cannot read .*b.parquet"),
        ],
    )
    def test_when_planning(self, cut: Callable[[bytes], bytes], expected: str, tmp_path: Path) -> None:
        content = row_groups(tmp_path / "a.parquet")
        (tmp_path / "b.parquet").write_bytes(cut(content))
        with pytest.raises(SourceError, match=f"b.parquet: .*{expected}|{expected}"):
            planned(tmp_path)

    @pytest.mark.parametrize("options", [{}, {"compression": "none", "write_page_checksum": True}])
    def test_a_page_when_it_is_reached(self, options: dict[str, object], tmp_path: Path) -> None:
        content = bytearray(row_groups(tmp_path / "a.parquet", **options))
        place = pq.read_metadata(tmp_path / "a.parquet").row_group(2).column(0).data_page_offset
        if options:
            place = content.index(b"Once upon a time 25")
        for at in range(place, place + 8):
            content[at] ^= 0x15
        (tmp_path / "a.parquet").write_bytes(content)
        assert rows_before(planned(tmp_path / "a.parquet"), "a.parquet: row group 2 of 5: ") == 20

    def test_texts_that_are_not_utf8(self, tmp_path: Path) -> None:
        content = row_groups(tmp_path / "a.parquet", compression="none", use_dictionary=False)
        (tmp_path / "a.parquet").write_bytes(content.replace(b"Once upon a time 25.", b"Once upon a t\xeeme 25.", 1))
        assert rows_before(planned(tmp_path / "a.parquet"), "column 'text' of row 25 .from 0. is damaged") == 20


@pytest.mark.parametrize("form", ["stream", "file"])
def test_an_arrow_file_that_is_cut(form: str, tmp_path: Path) -> None:
    if form == "stream":
        Dataset.from_dict({"text": ["Once upon a time " * 10] * 3000}).save_to_disk(str(tmp_path / "in"))
        [path] = (tmp_path / "in").glob("*.arrow")
        source = tmp_path / "in"
    else:
        source = path = tmp_path / "a.arrow"
        table = pa.table({"text": ["Once upon a time"] * 3000})
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
    assert len(texts(planned(source))) == 3000
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(SourceError, match=f"cannot read {path}: "):
        planned(source)


class TestCompression:
    """Truncated files are not treated as complete."""

    @pytest.mark.parametrize("name", ["a.txt.zst", "a.csv.zst", "a.jsonl.zst", "a.txt.gz"])
    @pytest.mark.parametrize("columns", [(), ("text",)])
    def test_a_file_that_is_cut(self, name: str, columns: tuple[str, ...], tmp_path: Path) -> None:
        if columns and "json" not in name:
            return
        text = {"t": "a line\n", "c": "text\n", "j": '{"text": "a line"}\n'}[name[2]]
        whole = "".join(f"{text.rstrip()}{index if name[2] != 'j' else ''}\n" for index in range(30_000)).encode()
        compress = gzip.compress if name.endswith("gz") else zstandard.compress
        content = compress(whole)
        (tmp_path / name).write_bytes(content)
        assert sum(map(len, open_source(SourceConfig(str(tmp_path / name), columns=columns)).tables("train"))) > 29_000
        (tmp_path / name).write_bytes(content[:-50])
        with pytest.raises(SourceError, match=f"cannot read .*{name}: Compressed file ended before"):
            for _ in open_source(SourceConfig(str(tmp_path / name), columns=columns)).tables("train"):
                pass

    @settings(max_examples=30, deadline=None)
    @given(st.lists(st.binary(max_size=300), max_size=4), st.integers(1, 40), st.integers(1, 2000))
    def test_frames_of_zstd(self, frames: list[bytes], cut: int, part: int) -> None:
        stored = b"".join(zstandard.compress(frame) for frame in frames)
        opened = fsspec.compression.compr["zstd"]
        with opened(io.BytesIO(stored), mode="rb") as stream:
            assert b"".join(iter(lambda: stream.read(part), b"")) == b"".join(frames)
        last = len(zstandard.compress(frames[-1])) if frames else 0
        if 0 < cut < last:
            with pytest.raises(EOFError, match="ended before"), opened(io.BytesIO(stored[:-cut]), mode="rb") as stream:
                stream.read()

    def test_lines_of_it(self, tmp_path: Path) -> None:
        (tmp_path / "a.zst").write_bytes(zstandard.compress(b"one\ntwo\n") * 2)
        with decompressed(str(tmp_path / "a.zst"), 1) as stream:
            assert stream.readlines() == [b"one\n", b"two\n"] * 2


def test_nothing_is_edited_and_one_line_says_why(hf_toedit: HfToEdit, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(LINES.encode("latin-1"))
    said = hf_toedit.fails("edit", "a.jsonl", "-o", "run", cwd=tmp_path)
    assert said.startswith("cannot read") and "line 1 is not UTF-8" in said
    assert not (tmp_path / "run").exists()
