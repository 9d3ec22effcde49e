"""The README says what the program says."""

from __future__ import annotations

import os
import re
from pathlib import Path

import click
from click.testing import CliRunner

from hf_toedit.cli.main import cli
from tests.cli.command import HfToEdit
from tests.hub_server import HubServer
from tests.snippets import run_snippet

README = Path(__file__).parents[1] / "README.md"
MARKED = re.compile(r"(?s)(<!-- help: begin -->\n).*?(<!-- help: end -->)")


def commands() -> dict[str, click.Command]:
    """Every command that people type, by its words."""
    found: dict[str, click.Command] = {}
    for name, command in sorted(cli.commands.items()):
        found[name] = command
        inner = command.commands if isinstance(command, click.Group) else {}
        found |= {f"{name} {word}": inner[word] for word in sorted(inner) if not inner[word].hidden}
    return found


def help_texts() -> str:
    """The help of every command, as it stands in the README."""
    blocks = []
    for name in commands():
        result = CliRunner().invoke(cli, [*name.split(), "--help"], prog_name="hf-toedit", terminal_width=100)
        assert result.exit_code == 0
        blocks.append(f"<details>\n<summary><code>hf-toedit {name} --help</code></summary>\n\n")
        blocks.append(f"```text\n{result.output}```\n\n</details>\n\n")
    return "".join(blocks)


def test_help_texts_are_those_of_the_program() -> None:
    text = README.read_text(encoding="utf-8")
    expected = MARKED.sub(lambda match: match[1] + help_texts() + match[2], text)
    if os.environ.get("HF_TOEDIT_WRITE_DOCS"):
        README.write_text(expected, encoding="utf-8")
    assert expected == README.read_text(encoding="utf-8"), "run `make docs`"


def test_every_option_has_help() -> None:
    options = [
        (name, option)
        for name, command in commands().items()
        for option in command.params
        if isinstance(option, click.Option)
    ]
    assert options
    assert [f"{name} {option.name}" for name, option in options if not option.help] == []


def test_python_examples_run(tmp_path: Path, hub_server: HubServer, hf_toedit: HfToEdit) -> None:  # noqa: F811
    """Each in a process of its own; one loads from the Hub what a push leaves there."""
    blocks = re.findall(r"(?s)```python\n(.*?)```", README.read_text(encoding="utf-8"))
    checks = (
        "assert result.revert()[0].startswith('Once upon')",
        "assert edited.column_names[-1] == 'toedit'",
        "assert run.verify(progress=False).problems == [] and run.stats(3).num_changed > 0",
        "assert 0 < kept.num_rows < rows.num_rows",
        "assert set(rows['mixed_from'][:]) == {'long', 'all'} and rows.num_rows > run.stats().num_rows // 2",
        "assert dataset['train'].num_rows == 3 and next(iter(first))['toedit']['num_tokens'] > 100",
        "assert again.cache_files == edited.cache_files and next(iter(stream)) == edited[0]\n"
        "assert source.column_names == edited.column_names[:-1]",
    )
    run = hf_toedit.edit("sample", tmp_path / "pushed", "--limit", 3, "--generations", 2)
    hub_server.create_repo("dataset", "org/stories-toedit", run)
    whole = 'hf_toedit.edit("sample", "run", generations=3)', 'hf_toedit.score("sample", "scores")'
    for call in whole:  # of all rows of the sample, of which some show the same
        [number] = [number for number, block in enumerate(blocks) if call in block]
        blocks[number] = blocks[number].replace(call, f"{call[:-1]}, limit=20)")
    for block, check in zip(blocks, checks, strict=True):
        environment = {**hub_server.env, "HF_TOKEN": hub_server.token}
        run_snippet(block, check, tmp_path, environment)
