"""Data files of a folder that are not read are named in one line; other files are not."""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hf_toedit.config import SourceConfig
from hf_toedit.errors import SourceError
from hf_toedit.sources.resolve import resolve
from hf_toedit.sources.source import open_source
from tests.cli.command import HfToEdit

LINE = b'{"text": "a"}\n'
EXAMPLES = int(os.environ.get("HF_TOEDIT_EXAMPLES", "25"))


def make(folder: Path, *names: str) -> Path:
    """Create files with these names; data files have one row each."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".parquet":
            pq.write_table(pa.table({"text": ["a"]}), path)
        else:
            path.write_bytes(LINE if ".json" in path.name.lower() else b"text\na\n")
    return folder


def left_out(folder: Path, **options: str) -> str:
    return resolve(SourceConfig(str(folder), **options)).left_out


MIXED = ("a.jsonl", "b.jsonl", "c.jsonl", "d.parquet", "e.parquet", "f.csv")


def test_files_of_other_formats_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make(tmp_path, *MIXED, "README.md", "LICENSE", "LICENSE.txt", ".gitattributes", "card.png", "config.json", "x.py")
    with caplog.at_level(logging.WARNING, "hf_toedit"):
        source = open_source(SourceConfig(str(tmp_path)))
    assert [file.path for file in source.splits["train"]] == ["a.jsonl", "b.jsonl", "c.jsonl"]
    [message] = [record.getMessage() for record in caplog.records if record.name.startswith("hf_toedit")]
    assert message == (
        f"'{tmp_path}' holds 3 data files that are not read (1 .csv, 2 .parquet: 'd.parquet', 'e.parquet', 'f.csv'), "
        f"beside 3 .jsonl read: a folder is read in one format. To edit the others too, name them as a source of "
        f"their own, such as '{tmp_path}/*.parquet'."
    )
    named = message.rpartition("such as ")[2].strip("'.")
    assert len(open_source(SourceConfig(named)).splits["train"]) == 2


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("train-00000-of-00001.parquet", "foo.parquet"), "(1 .parquet: 'foo.parquet')"),
        (("train.jsonl", "test.jsonl", "other.jsonl.gz"), "(1 .jsonl: 'other.jsonl.gz')"),
        (("data/train-00000-of-00001.parquet", "train.parquet"), "(1 .parquet: 'train.parquet')"),
        (("train.jsonl", "validation/0.jsonl"), "(1 .jsonl: 'train.jsonl')"),
        (("a.jsonl", "B.JSONL"), "endings in lower case only. To edit the others too, rename them, such as 'B.JSONL'"),
        (("a.jsonl", "b.jsonl", "x/c.csv.gz"), "such as '{}/x/*.csv.gz'"),
        ((*(f"{index}.csv" for index in range(5)), *(f"{index}.jsonl" for index in range(6))), "'2.csv' and 2 more)"),
    ],
)
def test_what_is_not_read_and_why(names: tuple[str, ...], expected: str, tmp_path: Path) -> None:
    assert expected.format(tmp_path) in left_out(make(tmp_path, *names))


@pytest.mark.parametrize(
    "names",
    [
        ("a.jsonl", "b.jsonl.gz", "c.json", "x/y.ndjson"),
        ("train.parquet", "test.parquet", "dev.0.parquet", "README.md"),
        ("a.parquet", ".cache/b.jsonl", "__pycache__/c.csv", ".hidden.jsonl", "dataset_infos.json", "a.pdf"),
        ("a.txt", "b.txt", "run.sh", "notes.docx", "requirements.txt"),
    ],
)
def test_nothing_is_named_where_all_data_are_read(names: tuple[str, ...], tmp_path: Path) -> None:
    folder = make(tmp_path, *names)
    if "dataset_infos.json" in names:
        (folder / "dataset_infos.json").write_text("{}")
    assert left_out(folder) == ""


def test_a_split_or_a_configuration_that_was_not_asked_for_is_not_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = make(tmp_path / "splits", "train.jsonl", "test.jsonl")
    with caplog.at_level(logging.WARNING, "hf_toedit"):
        assert list(open_source(SourceConfig(str(folder), split="train")).splits) == ["train"]
    assert not [record for record in caplog.records if record.name.startswith("hf_toedit")]
    folder = make(tmp_path / "configs", "a/x.jsonl", "b/y.csv", "z.parquet")
    (folder / "README.md").write_text(
        "---\nconfigs:\n- {config_name: a, data_files: a/*}\n- {config_name: b, data_files: b/*}\n---\n"
    )
    assert left_out(folder, config_name="a") == ""


def test_beside_rows_that_were_saved_to_disk(tmp_path: Path) -> None:
    Dataset.from_dict({"text": ["a"]}).save_to_disk(str(tmp_path / "in"))
    make(tmp_path / "in", "cache-0123.arrow")
    assert left_out(tmp_path / "in") == ""
    assert "(1 .jsonl: 'more.jsonl'), beside 1 .arrow read" in left_out(make(tmp_path / "in", "more.jsonl"))


def test_a_large_folder(tmp_path: Path) -> None:
    folder = make(tmp_path, *(f"train-{index}.txt" for index in range(1001)), "other.txt")
    assert "holds 1 data file that is not read (1 .txt: 'other.txt'), beside 1,001 .txt read" in left_out(folder)


def test_a_folder_in_storage_is_read_without_what_is_no_data() -> None:
    import fsspec

    system = fsspec.filesystem("memory")
    for name in ("a.jsonl", "README.md", "LICENSE", ".hidden.jsonl"):
        system.pipe(f"/left/{name}", LINE)
    [file] = resolve(SourceConfig("memory://left")).splits["train"]
    assert file.path == "memory:///left/a.jsonl"
    system.pipe("/left/b.csv", b"text\na\n")
    with pytest.raises(SourceError, match=r"several formats \(csv, json\)"):
        resolve(SourceConfig("memory://left"))


def test_it_is_printed_as_a_warning(hf_toedit: HfToEdit, tmp_path: Path) -> None:
    make(tmp_path / "in", *MIXED)
    command = "plan", tmp_path / "in", "-o", tmp_path / "run"
    done = hf_toedit(*command)
    [line, toy] = done.stderr.splitlines()
    assert done.code == 0 and "holds 3 data files that are not read" in line
    assert toy.startswith("the embedded prior is a toy") and "HuggingFaceTB/SmolLM2-135M" in toy
    assert "toy" not in hf_toedit("plan", "sample", "-o", tmp_path / "other").stderr
    assert hf_toedit(*command, "-q").stderr == hf_toedit(*command, "--json").stderr == ""


WORDS = ["a", "b", "train", "test", "dev", "train-0", "eval_1", "LICENSE", "README", ".hidden", "config"]
TAILS = [".parquet", ".jsonl", ".JSONL", ".json", ".csv", ".txt", ".jsonl.gz", ".md", ".png", ".py", ""]
PATHS = st.builds(
    lambda folder, word, tail: f"{folder}{word}{tail}",
    st.sampled_from(["", "", "data/", "train/", ".git/", "__x/"]), st.sampled_from(WORDS), st.sampled_from(TAILS),
)  # fmt: skip


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.sets(PATHS, min_size=1, max_size=6))
def test_every_data_file_is_read_or_counted(names: set[str]) -> None:
    assume(not any(f"{name}/" in other for name in names for other in names))  # no file name is also a folder
    with tempfile.TemporaryDirectory() as scratch:
        folder = make(Path(scratch).resolve(), *sorted(names))
        for name in ("config.json", "README.md"):
            (folder / name).unlink(missing_ok=True)
        try:
            found = resolve(SourceConfig(scratch))
        except SourceError:
            return
        read = {
            os.path.relpath(os.path.join(str(found.root), file.path), folder)
            for files in found.splits.values()
            for file in files
        }
    no_data = {name for name in names if name.startswith((".git/", "__x/")) or Path(name).name.startswith(".hidden")}
    no_data |= {name for name in names if Path(name).suffix in (".md", ".png", ".py", "")}
    no_data |= {name for name in names if Path(name).stem in ("LICENSE", "README") and ".jsonl" not in name.lower()
                and Path(name).suffix in (".txt", ".json")}  # fmt: skip
    no_data |= {name for name in names if Path(name).name == "config.json"}
    unread = sorted(names - read - no_data)
    if not unread:
        assert found.left_out == ""
        return
    assert f"holds {len(unread)} data file" in found.left_out
    assert all(repr(name) in found.left_out for name in unread[:3])
