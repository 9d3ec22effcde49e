"""Output of the commands: figures as JSON, differences as text, and progress only on a terminal."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from datasets import Dataset

from hf_toedit import __version__
from tests.cli.command import Finished, HfToEdit, eager
from tests.cli.fixtures import ODD, load, stories
from tests.shared import shared

ESCAPES = "\x1b]0;owned\x07\x1b[2J\x08\x9b31m \u202e\u2066\r\n"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write stories that contain terminal control sequences."""
    path = tmp_path_factory.mktemp("hostile") / "a.parquet"
    documents = [ESCAPES.join(re.split(r"(?<=\.)", story)) for story in stories(3)]
    Dataset.from_dict({"text": [*documents, ESCAPES, *ODD]}).to_parquet(path)
    return path


def _assert_tame(done: Finished) -> None:
    """Check that text consists of printable characters and line ends."""
    unwanted = {character for character in done.stdout + done.stderr if not character.isprintable()} - {"\n"}
    assert done.code == 0, done
    assert unwanted <= {"\u200d", "\ufe0f", "\xa0"}, unwanted


class TestEdit:
    """`hf-toedit edit`."""

    def test_json(self, hf_toedit: HfToEdit, source: Path, tmp_path: Path) -> None:
        done = hf_toedit("edit", source, "-o", tmp_path / "run", *eager(), "--generations", 2, "--json")
        assert (done.code, done.stderr, done.json["run"]) == (0, "", str(tmp_path / "run"))
        for figures, name in zip(done.json["generations"], ("gen1", "gen2"), strict=True):
            rows = load(tmp_path / "run", name)["train"]
            logs = rows["toedit"]
            assert f"gen{figures['generation']}" == name
            assert figures["num_rows"] == len(rows)
            assert figures["num_skipped"] == {"empty": 1, "null": 1}
            for figure in ("num_tokens", "num_selected", "num_changed", "num_dropped"):
                assert figures[figure] == sum(log[figure] for log in logs)
            assert figures["selected_rate"] == figures["num_selected"] / figures["num_tokens"]
            assert figures["changed_rate"] == figures["num_changed"] / figures["num_tokens"]
            assert figures["tokens_per_second"] > 0
            for figure in ("num_selected", "num_changed", "num_dropped"):
                assert sum(figures[f"{figure}_by_kind"].values()) == figures[figure]

    def test_text(self, hf_toedit: HfToEdit, hostile: Path, tmp_path: Path) -> None:
        done = hf_toedit("edit", hostile, "-o", tmp_path / "run", *eager(), "--generations", 2)
        _assert_tame(done)
        lines = [line.split() for line in done.stdout.splitlines()]
        assert lines[1][:3] == ["gen", "tokens", "selected"]
        assert [line[0] for line in lines[2:4]] == ["1", "2"]
        assert (lines[0], len(lines[3])) == (["selected", "changed", "chars", "tokens"], 9)
        assert lines[6][:2] == ["by", "kind"] and [line[:3] for line in lines[7:9]] == [
            ["changed,", "gen", "1"], ["changed,", "gen", "2"]
        ]  # fmt: skip
        assert sum(float(cell.rstrip("%")) for cell in lines[7][3:]) == pytest.approx(100, abs=0.5)
        assert re.search(r"\[-.*?-\]\{\+.*?\+\}", done.stdout)
        assert "Texts not read and unchanged: 2 (1 empty, 1 null)" in done.stdout
        assert re.search(r"(?m)^Done in [\d.]+ s: 9 rows edited in 2 generations\.$", done.stdout), done.stdout
        again = hf_toedit("run", tmp_path / "run")
        assert "\nNothing was left to do: 9 rows edited in 2 generations.\n" in again.stdout
        assert done.stdout.partition("Run folder: ")[2].splitlines() == [
            str(tmp_path / "run"),
            f'Load:   datasets.load_dataset("{tmp_path / "run"}")',
            f"Look:   hf-toedit space run {tmp_path / 'run'}",
            f"Verify: hf-toedit verify {tmp_path / 'run'}",
            f"Push:   hf-toedit push {tmp_path / 'run'} org/name",
        ]
        assert done.stderr == ""

    def test_roles_that_nobody_has(self, hf_toedit: HfToEdit, tmp_path: Path) -> None:
        Dataset.from_list([{"m": [{"role": "user", "content": "Hi"}]}]).to_parquet(tmp_path / "a.parquet")
        done = hf_toedit("edit", tmp_path / "a.parquet", "-o", tmp_path / "run", "--messages-column", "m", *eager())
        assert done.code == 0
        assert "No row holds a text in messages of assistant. Check --roles." in done.stdout


class TestPreview:
    """`hf-toedit preview`."""

    def test_text(self, hf_toedit: HfToEdit, hostile: Path) -> None:
        done = hf_toedit("preview", hostile, "--first", "-n", 9, "--candidates", *eager())
        _assert_tame(done)
        assert re.search(r"\[-.*?-\]\{\+.*?\+\}", done.stdout)
        assert r"\x1b]0;owned\x07" in done.stdout
        assert "row 4 · not read, unchanged: null" in done.stdout
        assert "row 5 · not read, unchanged: empty" in done.stdout
        assert done.stderr == ""

    def test_json(self, hf_toedit: HfToEdit, hostile: Path, tmp_path: Path) -> None:
        done = hf_toedit("preview", hostile, "--first", "-n", 6, "--candidates", "--json", *eager())
        rows = done.json["texts"]
        texts = Dataset.from_parquet(str(hostile), cache_dir=str(tmp_path))["text"][:6]
        assert [row["before"] for row in rows] == texts
        assert [row["skipped"] for row in rows] == [None] * 4 + ["null", "empty"]
        assert [row["before"] != row["after"] for row in rows] == [row["edits"] != [] for row in rows]
        for row in rows[:3]:
            assert len(row["selected"]) == row["num_selected"]
            for token in row["selected"]:
                assert row["before"][token["start"] :].startswith(token["text"])
                assert 0.9 <= token["probability"] <= 1
                assert len(token["candidates"]) == 8
                assert token["candidates"][token["rank"] - 1][0] == token["text"]
            assert row["num_changed"] == sum(token["replacement"] is not None for token in row["selected"])
        (figures,) = done.json["generations"]
        assert (figures["generation"], figures["num_rows"]) == (1, 6)

    def test_shows_what_edit_does_and_writes_nothing(
        self, hf_toedit: HfToEdit, source: Path, run: Path, tmp_path: Path
    ) -> None:
        edited = load(run, "gen1")["train"]["text"]
        before = {path: path.stat().st_mtime_ns for path in source.parent.rglob("*")}
        done = hf_toedit("preview", source, "--first", "-n", 14, "--json", *eager(), cwd=tmp_path)
        assert [row["after"] for row in done.json["texts"]] == edited
        assert list(tmp_path.iterdir()) == []
        assert {path: path.stat().st_mtime_ns for path in before} == before

    def test_rows_are_limited(self, hf_toedit: HfToEdit, source: Path) -> None:
        for options, count in ((("-n", 1), 1), (("-n", 4, "--limit", 2), 2), ((), 5)):
            done = hf_toedit("preview", source, "--first", "--json", *options, *eager())
            assert len(done.json["texts"]) == count


def test_progress_is_shown_on_a_terminal_alone(source: Path, tmp_path: Path) -> None:
    """Run the real console script: colours and a progress bar on a terminal."""
    asked = ["edit", str(source), "-o", str(tmp_path / "run"), *eager(), "--generations", "2"]
    said, code = in_terminal(Path(sys.executable).with_name("hf-toedit"), *asked)
    assert code == 0, said
    assert "tokens/s" in said and " 0 tokens/s" not in said
    assert "\x1b[" in said
    assert "[-" not in said
    quiet, code = in_terminal(Path(sys.executable).with_name("hf-toedit"), *asked, "--quiet")
    assert (quiet, code) == ("", 0)


def in_terminal(*command: object, env: Mapping[str, str] = os.environ) -> tuple[str, int]:
    """Return the output of a command on a terminal, and its exit code."""
    terminal, inside = pty.openpty()
    env = {**env, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"}
    env = {name: value for name, value in env.items() if name not in ("CI", "NO_COLOR")}
    with subprocess.Popen([str(part) for part in command], stdin=inside, stdout=inside, stderr=inside, env=env) as done:
        os.close(inside)
        said = b""
        try:
            while part := os.read(terminal, 65536):
                said += part
        except OSError:  # Linux raises this when the other end is closed
            pass
    os.close(terminal)
    return said.decode(), done.returncode


@pytest.mark.parametrize("command", [["hf-toedit"], ["python", "-m", "hf_toedit"]])
def test_version_and_streams_of_the_installed_command(command: list[str]) -> None:
    command = [str(Path(sys.executable).with_name(command[0])), *command[1:]]
    done = subprocess.run([*command, "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip().endswith(__version__)
    done = subprocess.run([*command, "edit", "sample"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: no output folder. Name one with -o")


def test_a_preview_passes_over_conversations_that_the_template_refuses(hf_toedit: HfToEdit, tmp_path: Path) -> None:
    folder = tmp_path / "prior"
    folder.mkdir()
    for path in shared("models/stories260K").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    refusal = "{% if m.role == 'tool' %}{{ raise_exception('no tools') }}{% endif %}"
    template = "{% for m in messages %}" + refusal + "{{ m.content }} {% endfor %}"
    (folder / "chat_template.jinja").write_text(template)
    rows = [
        [{"role": role, "content": "Hi."}, {"role": "assistant", "content": stories(1)[0]}] for role in ("tool", "user")
    ]
    Dataset.from_dict({"messages": rows}).to_json(tmp_path / "chats.jsonl")
    asked = "preview", tmp_path / "chats.jsonl", "--messages-column", "messages", "--prior", folder, "--json"
    done = hf_toedit(*asked)
    assert [text["name"] for text in done.json["texts"]] == ["row 1 messages[1].content"]
