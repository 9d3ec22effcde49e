"""Lists of URLs as sources, and selected columns: pinned, read in parts, independent of other fields."""

from __future__ import annotations

import gzip
import json
import logging
import math
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Features, Value

from hf_toedit.config import SourceConfig
from hf_toedit.errors import SourceError, ToEditError, UsageError
from hf_toedit.runs.counting import Effort, count_tokens
from hf_toedit.sources.reading import RowReader
from hf_toedit.sources.source import Source, open_source
from tests.runs.test_counting import plan_of


class Web:
    """A file server that can close connections, refuse requests or change its answers.

    Attributes:
        files: Files by name.
        answers: Status codes of the next requests; 0 closes the connection in the middle of the body.
        in_parts: Whether it supports range requests.
        moved: Redirect targets by name.
        headers: Additional headers of all answers.
        seen: Headers of all requests.
        asked: Requested ranges by name.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.answers: list[int] = []
        self.in_parts = True
        self.moved: dict[str, str] = {}
        self.headers: dict[str, str] = {}
        self.seen: list[dict[str, str]] = []
        self.asked: list[tuple[str, str]] = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # headers and body are sent in one packet
            disable_nagle_algorithm = True
            web = self

            def do_GET(self) -> None:
                self.web.answer(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 128

        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        name = handler.path.split("?")[0].strip("/")
        span = handler.headers.get("Range", "")
        self.asked.append((name, span))
        self.seen.append({key.lower(): value for key, value in handler.headers.items()})
        if name in self.moved:
            handler.send_response(302)
            handler.send_header("Location", self.moved[name])
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        told = self.answers.pop(0) if self.answers else 206
        data = self.files.get(name)
        status = told if told not in (0, 206) else 404 if data is None else 206 if self.in_parts else 200
        first, last = map(int, re.findall(r"\d+", span) or (0, 0))
        body = (data or b"")[first : last + 1] if status == 206 else b"" if status >= 400 else data or b""
        if status == 206 and first >= len(data or b""):
            status = 416
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        handler.send_header("ETag", f'"{hash(data)}"')
        if status in (206, 416):
            extent = f"{first}-{first + len(body) - 1}" if body else "*"
            handler.send_header("Content-Range", f"bytes {extent}/{len(data or b'')}")
        for key, value in self.headers.items():
            handler.send_header(key, value)
        handler.end_headers()
        handler.wfile.write(body[: len(body) // 2] if told == 0 else body)
        if told == 0:
            handler.close_connection = True

    def put_lines(self, name: str, rows: list[dict[str, Any]]) -> str:
        lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
        self.files[name] = gzip.compress(lines) if name.endswith(".gz") else lines
        return f"{self.url}/{name}"


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)  # conftest.py sets it for the tests
    web = Web()
    thread = threading.Thread(target=web.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield web
    web.server.shutdown()
    web.server.server_close()
    thread.join()


def list_of(folder: Path, *urls: str) -> str:
    path = folder / "list.txt"
    path.write_text("# files\n\n" + "\n".join(urls) + "\n")
    return f"urls:{path}"


def opened(name: str, *columns: str, **options: Any) -> Source:
    return open_source(SourceConfig(name, columns=columns, **options))


def rows(source: Source) -> list[dict[str, Any]]:
    return [row for table in source.tables("train") for row in table.to_pylist()]


def test_fields_that_differ_from_file_to_file_are_left_out_or_kept_as_json(web: Web, tmp_path: Path) -> None:
    metadata: list[Any] = [{"a": 1}, {"a": {"b": [1]}, "c": None}, "word", 3, None, [1, "é"]]
    texts = [{"id": number, "text": f"text {number}", "metadata": value} for number, value in enumerate(metadata)]
    texts[3]["added"] = "2023-05-13T18:54:08"
    name = list_of(tmp_path, web.put_lines("a.json.gz", texts[:2]), web.put_lines("b.json.gz", texts[2:]))
    source = opened(name, "text", "id:string", "added:string")
    assert source.features == Features({"text": Value("string"), "id": Value("string"), "added": Value("string")})
    assert rows(source) == [{"text": row["text"], "id": str(row["id"]), "added": row.get("added")} for row in texts]
    kept = [row["metadata"] for row in rows(opened(name, "metadata:string"))]
    assert kept == ['{"a": 1}', '{"a": {"b": [1]}, "c": null}', "word", "3", None, '[1, "é"]']
    assert [list(row) for row in rows(opened(name, "id", "text"))] == [["id", "text"]] * 6


def test_files_are_pinned_and_each_is_a_shard(web: Web, tmp_path: Path) -> None:
    names = [f"{number}.jsonl" for number in range(40)]
    urls = [web.put_lines(name, [{"text": f"{name} {index}"} for index in range(3)]) for name in names]
    web.files["empty.jsonl"] = b""
    name = list_of(tmp_path, *urls, f"{web.url}/empty.jsonl")
    source = opened(name, "text")
    assert [file.path for file in source.splits["train"]] == [*urls, f"{web.url}/empty.jsonl"]
    assert [file.size for file in source.splits["train"]] == [len(data) for data in web.files.values()]
    assert opened(name, "text") == source
    before = len(web.asked)
    extents = source.extents("train", ["text"], shard_bytes=None)
    assert [extent.num_rows for extent in extents] == [None] * 40 + [0]
    assert len(web.asked) - before <= 3 * 40  # to sample rows; none is counted
    web.put_lines("0.jsonl", [{"text": f"1.jsonl {index}"} for index in range(3)])  # the same length as before
    changed = opened(name, "text")
    assert changed.revision != source.revision
    assert changed.splits["train"][1:] == source.splits["train"][1:]
    with pytest.raises(SourceError, match="0.jsonl has changed since it was planned"):
        rows(source)


def test_connections_may_break_and_servers_may_be_busy(web: Web, tmp_path: Path) -> None:
    texts = [{"text": f"{number} {'word ' * 200}"} for number in range(200)]
    source = opened(list_of(tmp_path, web.put_lines("a.json.gz", texts)), "text")
    web.answers = [206, 0, 503]
    assert [row["text"] for row in rows(source)] == [row["text"] for row in texts]
    assert web.answers == []


def test_a_server_that_asks_to_wait_is_waited_for_aloud(
    web: Web, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "hf_toedit")
    name = list_of(tmp_path, web.put_lines("a.jsonl", [{"text": "a"}]))
    web.headers = {"Retry-After": "2"}
    web.answers = [429]
    begun = time.monotonic()
    assert rows(opened(name, "text")) == [{"text": "a"}]
    assert time.monotonic() - begun >= 2
    assert caplog.messages == ["127.0.0.1 asks to try again later (429); retrying 2 of 8 in 2 s"]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_rows_are_drawn_from_the_middle_of_files(name: str, web: Web, tmp_path: Path) -> None:
    """Uncompressed files are not downloaded completely."""
    many = [{"text": f"{number} {'word ' * (number // 100)}"} for number in range(3000)]
    plan = plan_of(list_of(tmp_path, web.put_lines(name, many)), columns=("text",))
    before = len(web.asked)

    def count(table: pa.Table) -> np.ndarray:
        return np.array([text.count(" ") for text in table["text"].to_pylist()])

    tokens = count_tokens(plan, count, Effort(all_bytes=0, num_places=8, seconds=math.inf)).num_tokens
    assert tokens.low is not None
    assert tokens.high is not None
    assert tokens.low <= sum(row["text"].count(" ") for row in many) <= tokens.high
    assert len(web.asked) - before < 30


def test_files_may_have_moved_and_no_token_goes_with_the_question(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secretsecretsecret")
    web.put_lines("there.jsonl", [{"text": "a"}])
    web.moved = {
        "near.jsonl": "/there.jsonl?signature=1",
        "far.jsonl": f"{web.url}/there.jsonl".replace("127.0.0.1", "localhost"),
    }
    urls = [f"{web.url}/{name}" for name in web.moved]
    source = opened(list_of(tmp_path, *urls), "text")
    assert [file.path for file in source.splits["train"]] == urls
    assert rows(source) == [{"text": "a"}] * 2
    assert not any("hf_secret" in value or key == "authorization" for seen in web.seen for key, value in seen.items())
    assert "signature" not in json.dumps(source.splits)


def test_lists_of_windows_are_lists(web: Web, tmp_path: Path) -> None:
    url = web.put_lines("a.jsonl", [{"text": "a"}])
    (tmp_path / "list.txt").write_bytes(f"\ufeff{url}\r\n\r\n# none\r\n".encode())
    assert rows(opened(f"urls:{tmp_path}/list.txt", "text")) == [{"text": "a"}]


def test_servers_without_ranges_send_what_is_read_from_its_beginning(web: Web, tmp_path: Path) -> None:
    """`python -m http.server` is one: `datasets` streams rows of text and CSV."""
    web.in_parts = False
    web.files = {"a.csv": b"text\na\nb\n", "empty.csv": b""}
    source = opened(list_of(tmp_path, *(f"{web.url}/{name}" for name in web.files)))
    assert rows(source) == [{"text": "a"}, {"text": "b"}]
    assert [file.size for file in source.splits["train"]] == [9, 0]


def test_servers_that_compress_unasked_are_told_of(web: Web, tmp_path: Path) -> None:
    url = web.put_lines("a.jsonl", [{"text": "a"}])
    web.headers = {"Content-Encoding": "gzip"}
    for web.in_parts in (True, False):
        with pytest.raises(SourceError, match="does not send .* in parts"):
            opened(list_of(tmp_path, url), "text")


def test_parquet_is_read_by_its_columns(web: Web, tmp_path: Path) -> None:
    table = pa.table({"text": ["a", "b", "c"], "blob": [b"x" * 10_000] * 3, "id": [1, 2, 3]})
    pq.write_table(table, sink := pa.BufferOutputStream(), row_group_size=2)
    web.files["a.parquet"] = sink.getvalue().to_pybytes()
    source = opened(list_of(tmp_path, f"{web.url}/a.parquet?download=true"), "id:string", "text")
    assert rows(source) == [{"id": str(number), "text": text} for number, text in enumerate("abc", 1)]
    assert [extent.num_rows for extent in source.extents("train", ["text"], shard_bytes=None)] == [3]


def test_columns_that_parquet_does_not_have_are_told_of(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["a"], "meta": [{"b": 1}], "id": [1]}), path)
    with pytest.raises(SourceError, match="has no column 'txt'. Did you mean 'text'"):
        opened(str(path), "txt:string")
    with pytest.raises(SourceError, match="do not fit the source: 'meta' holds dict, not string. Convert"):
        rows(opened(str(path), "text", "meta:string"))


def test_local_files_have_columns_chosen_as_well(tmp_path: Path) -> None:
    named = tmp_path / "a #1?.jsonl.gz"
    named.write_bytes(gzip.compress(b'\xef\xbb\xbf{"text": "a", "n": 1}\r\n\n{"n": 2.5, "text": null}'))
    assert rows(opened(str(named), "n", "text")) == [{"n": 1.0, "text": "a"}, {"n": 2.5, "text": None}]


def test_what_is_wrong_is_named(web: Web, tmp_path: Path) -> None:
    url = web.put_lines("a.jsonl", [{"text": "a", "meta": {"b": 1}, "n": 1}])

    def fails(name: str, *columns: str, **options: Any) -> str:
        with pytest.raises(ToEditError) as caught:
            rows(opened(name, *(columns or ("text",)), **options))
        return str(caught.value)

    assert fails(list_of(tmp_path, url, f"{web.url}/b.jsonl")).startswith(
        f"cannot read {web.url}/b.jsonl: the server answers 404."
    )
    assert "is in lines 3 and 4" in fails(list_of(tmp_path, url, url))
    assert "line 4 of" in fails(list_of(tmp_path, url, "ftp://x/y.jsonl"))
    for held in (fails(list_of(tmp_path, "https://me:secret@x/y.jsonl")), fails("s3://me:secret@x/y.jsonl")):
        assert "holds a name or a password" in held and "secret" not in held
    for name in ("sig", "X-Amz-Signature", "access_token", "api_key", "key"):
        signed = f"{url}?v=1&{name}=abc%3D"
        for held in (fails(list_of(tmp_path, url, signed)), fails(signed)):
            assert f"holds a secret, the parameter {name!r}" in held and "abc" not in held
    assert "lists no addresses" in fails(list_of(tmp_path))
    assert "cannot read the list" in fails(f"urls:{tmp_path}/none.txt")
    assert "has no revisions" in fails(list_of(tmp_path, url), revision="main")
    assert "has no configurations" in fails(list_of(tmp_path, url), config_name="v1")
    assert fails(list_of(tmp_path, f"{web.url}/a.what")).startswith(f"cannot tell the format of '{web.url}/a.what'")
    assert "has no column 'txt'. Did you mean 'text'?" in fails(list_of(tmp_path, url), "txt")
    assert "'words' is not a type" in fails(list_of(tmp_path, url), "text:words")
    assert fails(list_of(tmp_path, url), "meta").endswith("Keep it as meta:string.")
    assert "column 'text' does not fit its type, int64" in fails(list_of(tmp_path, url), "text:int64")
    web.files["a.jsonl"] += b"{}\n[1]\n"
    assert "line 3 is not a JSON object" in fails(list_of(tmp_path, url))
    web.files["a.jsonl"] = b'{"text": "a"}\n{"text": "b"\n'
    assert "line 2 is not JSON" in fails(list_of(tmp_path, url))
    web.in_parts = False
    assert "does not send" in fails(list_of(tmp_path, url))


def test_parameters_that_grant_no_access_are_kept(web: Web, tmp_path: Path) -> None:
    url = web.put_lines("a.jsonl", [{"text": "a"}]) + "?download=true&monkey=1&design=2"
    assert rows(opened(list_of(tmp_path, url), "text")) == [{"text": "a"}]


def test_columns_of_other_formats_are_not_chosen(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,n\na,1\n")
    with pytest.raises(UsageError, match="neither Parquet nor plain JSON lines"):
        opened(str(tmp_path / "a.csv"), "text")


def test_a_file_that_is_cut_short_after_planning_is_told_of(web: Web, tmp_path: Path) -> None:
    source = opened(list_of(tmp_path, web.put_lines("a.jsonl", [{"text": "a"}] * 3)), "text")
    web.files["a.jsonl"] = web.files["a.jsonl"][:-4]
    with pytest.raises(SourceError, match="has changed since it was planned"):
        list(RowReader(source.reading).tables(source.splits["train"][0]))
