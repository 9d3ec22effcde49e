"""Names that are not UTF-8, and streams and locales with ASCII or a single code page."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import click
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import example, given
from hypothesis import strategies as st

from hf_toedit.checked import checked
from hf_toedit.cli.main import Commands, cli
from hf_toedit.cli.streams import encodable_streams
from hf_toedit.config import EditConfig, PriorConfig, SourceConfig
from hf_toedit.errors import SourceError, UsageError
from hf_toedit.launch.slurm import array_script, script_bytes
from hf_toedit.runs.store import RunFolder
from hf_toedit.sources.resolve import resolve
from hf_toedit.storage.temporary import is_alive
from tests.cli.command import eager

BAD = os.fsdecode(b"bad\xff")
TEXT = "Lily and Émile went to the café ≥ 中 😀 and played with a big ball."
ASCII_ONLY = {"LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there, names are Unicode")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inside = tmp_path / "données"
    inside.mkdir()
    line = json.dumps({"text": TEXT, "é": TEXT}, ensure_ascii=False)
    (inside / "é.jsonl").write_text(f"{line}\n" * 3, encoding="utf-8")
    return inside


def _run(*args: object, cwd: Path, **environment: str) -> tuple[int, bytes, str]:
    """Return exit code, standard output and standard error of a separate process."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LANG", "LC_", "PYTHON"))}
    command = [sys.executable, "-m", "hf_toedit", *map(str, args)]
    done = subprocess.run(command, cwd=cwd, env={**clean, **environment, "HF_HUB_OFFLINE": "1"}, capture_output=True)
    return done.returncode, done.stdout, done.stderr.decode()


def test_a_preview_where_python_knows_ascii_only(folder: Path) -> None:
    (folder / "é.jsonl").rename(folder.parent / "plain.jsonl")
    code, stdout, stderr = _run("preview", "plain.jsonl", "-n", 1, *eager(), cwd=folder.parent, **ASCII_ONLY)
    assert (code, stderr) == (0, "")
    assert r"row 0 \u00b7 " in stdout.decode("ascii")
    code, stdout, stderr = _run("preview", "données", cwd=folder.parent, **ASCII_ONLY)
    assert (code, stdout) == (2, b"")
    assert stderr == (
        r"Error: SOURCE 'donn\udcc3\udca9es' is not valid ascii, the encoding of this system. "
        "Set PYTHONUTF8=1 if it is UTF-8.\n"
    )


def test_an_edit_where_the_locale_is_c(folder: Path) -> None:
    args = "edit", folder, "-o", "édité", "--text-column", "é", *eager(), "--workers", 1
    code, stdout, stderr = _run(*args, cwd=folder.parent, LC_ALL="C", PYTHONIOENCODING="cp1252")
    assert (code, stderr) == (0, "")
    assert "Run folder: édité\n" in stdout.decode("cp1252").replace("\r", "")
    rows = pq.read_table(next(folder.parent.glob("édité/data/gen1/*.parquet")))["text"].to_pylist()
    assert rows == [TEXT] * 3


def test_json_to_one_page_of_code(folder: Path) -> None:
    done = CliRunner(charset="cp1252").invoke(cli, ["preview", str(folder / "é.jsonl"), "--json", *eager()])
    assert done.exit_code == 0
    assert json.loads(done.stdout_bytes.decode("cp1252"))["texts"][0]["before"] == TEXT


def test_a_file_name_in_a_folder(folder: Path) -> None:
    bad = folder / f"{BAD}.jsonl"
    bad.write_bytes((folder / "é.jsonl").read_bytes())
    done = CliRunner().invoke(cli, ["plan", str(folder), "-o", str(folder.parent / "run"), *eager()])
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == f"Error: the path of the source's file {str(bad)!r} is not valid UTF-8. Rename it.\n"
    with pytest.raises(SourceError, match="is not valid UTF-8"):
        resolve(SourceConfig(str(folder)))


_NAMES = [
    ("SOURCE", "plan", BAD, "-o", "run"), ("--output", "plan", "sample", "-o", BAD), ("RUN", "status", BAD),
    ("ORG/NAME", "push", "run", BAD), ("--prefix", "push", "run", "org/name", "--prefix", BAD), ("RUN", "verify", BAD),
    ("--output", "pull", "org/name", "-o", BAD), ("--html", "preview", "sample", "--html", BAD), ("RUN", "card", BAD),
    ("--output", "revert", "run", "-o", BAD), ("--logs", "slurm", "run", "--array", "1", "--logs", BAD),
    ("ORG/NAME", "jobs", "status", BAD), ("SOURCE", "space", "run", BAD),
    *((option, "plan", "sample", "-o", "run", option, BAD) for option in (
        "--prior", "--prior-revision", "--revision", "--split", "--config-name", "--text-column", "--messages-column",
        "--context-columns", "--roles", "--columns", "--edit-log-column", "--shard-size", "--device", "--protect",
        "--config")),
]  # fmt: skip


@pytest.mark.parametrize("words", _NAMES, ids=lambda words: " ".join(map(ascii, words)))
def test_a_name_that_is_not_utf_8(words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name, *args = words
    done = CliRunner().invoke(cli, args)
    assert (done.exit_code, done.stdout) == (2, ""), done
    assert done.stderr == rf"Error: {name} 'bad\udcff' is not valid UTF-8. Rename it." + "\n"
    assert list(tmp_path.iterdir()) == []


def test_a_value_in_a_file_that_is_not_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text('seed: 3\nsplit: "bad\\uDCFF"\n', encoding="utf-8")
    done = CliRunner().invoke(cli, ["plan", "sample", "-o", str(tmp_path / "run"), "--config", str(path)])
    assert (done.exit_code, done.stderr) == (
        2,
        rf"Error: {path}, line 2: split 'bad\udcff' is not valid UTF-8. Rename it." + "\n",
    )


def test_settings_in_a_file_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("protect: 're:é+'\nseed: 3\n", encoding="utf-8-sig")
    assert EditConfig.from_yaml(path) == EditConfig(protect=("re:é+",), seed=3)


def test_the_folder_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / BAD).mkdir()
    monkeypatch.chdir(tmp_path / BAD)
    with pytest.raises(UsageError, match="the path of the run folder .* is not valid UTF-8. Rename it."):
        RunFolder("run")


@given(st.text(st.characters()))
@example(BAD)
def test_any_text_is_a_setting_or_refused(text: str) -> None:
    is_valid = text == text.encode(errors="replace").decode()
    for make in (SourceConfig, PriorConfig, lambda name: checked([name], tuple[str, ...], "names")):
        try:
            make(text)
        except UsageError as error:
            assert ("is not valid UTF-8" in str(error)) == (not is_valid)
            str(error).encode()
        else:
            assert is_valid


@given(st.text(st.characters()), st.sampled_from(["ascii", "cp1252", "latin-1", "utf-8", "shift_jis"]))
@example("\udcff≥😀", "ascii")
def test_any_text_is_printed(text: str, encoding: str) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="")
    with mock.patch.object(sys, "stdout", stream), encodable_streams():
        print(json.dumps(text, ensure_ascii=False), end="")  # noqa: T201
    stream.flush()
    assert stream.errors == "strict"
    printed = stream.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]
    expected = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    if encoding != "shift_jis":  # has a yen sign for a backslash, for example
        assert json.loads(printed) == expected


def test_what_no_option_holds_is_refused_in_one_line() -> None:
    def fail() -> None:
        "secret é".encode("ascii")

    done = CliRunner().invoke(Commands("hf-toedit", commands={"fail": click.Command("fail", callback=fail)}), ["fail"])
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (
        r"Error: '\xe9' in the name of a file or in an environment variable is not valid ascii. "
        "Rename it, or set PYTHONUTF8=1 if the name is valid UTF-8.\n"
    )


def test_a_script_of_slurm_is_utf_8_with_names_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", f"/é/{BAD}")
    script = array_script("rün", 1, typed="hf-toedit", sbatch={}, logs=Path("logs"), max_requeues=0)
    written = script_bytes(script)
    assert b"export HF_HOME='/\xc3\xa9/bad\xff'\n" in written
    assert "hf-toedit status 'rün'".encode() in written


@pytest.fixture
def process_with_half_a_character() -> Iterator[int]:
    """Linux truncates the name of a process to 15 bytes, here within an `é`."""
    rename = "import pathlib, sys; pathlib.Path('/proc/self/comm').write_bytes(b'a' * 14 + b'\\xc3'); print(); input()"
    with subprocess.Popen([sys.executable, "-c", rename], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdin
        process.stdout.readline()
        yield process.pid
        process.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
def test_the_name_of_a_process_that_is_not_utf_8(process_with_half_a_character: int) -> None:
    assert is_alive(process_with_half_a_character)
