"""Help texts are short, grouped and in plain words; shell completion."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest
from click.shell_completion import BashComplete
from click.testing import CliRunner

from hf_toedit.cli import completion
from hf_toedit.cli.help import GENERAL, Command, Option, is_rare
from hf_toedit.cli.main import cli

MAX_LINES = 60
WIDTH = 80
HEAVY = {"torch", "transformers", "matplotlib", "datasets", "pyarrow", "numpy", "rich"}
ARCHAIC = re.compile(
    r"\b(told|tells?|lies|stands?|standing|mend|anew|drawn again|draws?|is no|are no|say --|whoever|whatever|"
    r"passed over|as may|goes on|go on|of its own|is there|was there|thereof|therein|beforehand|be it)\b",
    re.IGNORECASE,
)
NO_NOUN_OR_VERB = re.compile(r"(Of|As|By|At|On|In|If|It|Only|How|What|Who|Whose|Which|Where|That|Likewise)\b")


def _commands(group: click.Group, path: str = "") -> Iterator[tuple[str, click.Command]]:
    yield path, group
    for name, command in group.commands.items():
        below = f"{path} {name}".strip()
        if isinstance(command, click.Group):
            yield from _commands(command, below)
        else:
            yield below, command


COMMANDS = dict(_commands(cli))


@cache
def _help(name: str, flag: str = "--help") -> str:
    done = CliRunner().invoke(cli, [*name.split(), flag], prog_name="hf-toedit", terminal_width=WIDTH)
    assert done.exit_code == 0, done.output
    return done.output


def _words(command: click.Command) -> str:
    """Return the help text of a command as one line."""
    helps = [param.help or "" for param in command.params if isinstance(param, click.Option)]
    return " ".join(" ".join([command.help or "", command.short_help or "", command.epilog or "", *helps]).split())


@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_a_screen(name: str) -> None:
    lines = _help(name).splitlines()
    assert len(lines) <= MAX_LINES
    assert [line for line in lines if len(line) > WIDTH] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_all_options_are_under_headings_and_rare_ones_are_shown_on_request(name: str) -> None:
    command = COMMANDS[name]
    options = [param for param in command.params if isinstance(param, click.Option) and param.name != "version"]
    assert all(isinstance(option, Option) and option.group for option in options)
    shown = {flag for flag in re.findall(r"(?m)^  (?:-\w, )?(--[\w-]+)", _help(name))}
    rare = {option.opts[-1] for option in options if is_rare(option)}
    common = {max(option.opts, key=len) for option in options if not is_rare(option)}
    assert common <= shown
    assert rare & shown == set()
    assert ("--help-all" in shown) == bool(rare)
    assert _help(name, "--help-all") == _help(name) or rare
    if rare:
        everything = set(re.findall(r"(?m)^  (?:-\w, )?(--[\w-]+)", _help(name, "--help-all")))
        assert everything == shown | rare
        assert f"{len(rare)} rare options" in _help(name)


def test_commands_are_listed_by_purpose_each_in_one_line() -> None:
    text = _help("")
    purposes = {command.purpose for command in cli.commands.values() if isinstance(command, Command)}
    assert purposes == {"Edit", "Score and select", "Judge", "Run at scale", "Hub"}
    for purpose in purposes:
        assert f"\n{purpose}:\n" in text
    for name, command in cli.commands.items():
        assert re.search(rf"(?m)^  {name} +{re.escape(command.short_help or '')}$", text), name


def test_general_options_come_last() -> None:
    assert re.findall(r"(?m)^(\w[\w ]*):$", _help("edit")) == [
        "Source", "How to edit", "Prior", "Machine", "Output", "Hub", GENERAL,
    ]  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_words_are_plain(name: str) -> None:
    assert ARCHAIC.findall(_words(COMMANDS[name])) == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_text_begins_with_a_noun_or_a_verb_and_is_a_sentence(name: str) -> None:
    for option in COMMANDS[name].params:
        if isinstance(option, click.Option):
            assert option.help and not NO_NOUN_OR_VERB.match(option.help), option.name
            assert re.search(r"[.…](  \[default: .*\])?$", option.help), option.name


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_have_options_that_exist(name: str) -> None:
    """The examples of a help text use its own command, and only existing options and choices."""
    text = (COMMANDS[name].help or "").replace("\\\n", " ")
    for line in re.findall(r"(?m)^ +hf-toedit (.*)$", text):
        words = shlex.split(line.partition(" > ")[0])
        path = max((known for known in COMMANDS if f"{' '.join(words)} ".startswith(f"{known} ")), key=len)
        assert path == name
        args = words[len(path.split()) :]
        with click.Context(cli, info_name="hf-toedit") as parent:
            COMMANDS[name].make_context(name, args, parent=parent).close()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("re", [("plain", "revert"), ("plain", "reproduce")]),
        ("jobs s", [("plain", "submit"), ("plain", "status")]),
        ("edit --thr", [("plain", "--threshold")]),
        ("edit --help-", [("plain", "--help-all")]),
        ("edit --top-", [("plain", "--top-k"), ("plain", "--top-p")]),
        ("edit sa", [("file", "sa"), ("plain", "sample")]),
        ("edit sample --preset ca", [("plain", "careful")]),
        ("edit sample --protect nu", [("plain", "numbers")]),
        ("edit sample --config a", [("file", "a")]),
        ("edit sample --config missing.yaml --see", [("plain", "--seed")]),
        ("edit sample --public --see", [("plain", "--seed")]),
        ("edit sample -o r", [("dir", "r")]),
        ("edit sample --prior e", [("dir", "e"), ("plain", "embedded")]),
        ("score sample --scorer r", [("plain", "rouge1"), ("plain", "random")]),
        ("score sample --scorer d", []),
        ("select sample --by d", [("plain", "density"), ("plain", "dsir")]),
        ("reproduce 'Theorem 2'", [("plain", "Theorem 2")]),
        ("status r", [("dir", "r")]),
    ],
)
def test_completion(line: str, expected: list[tuple[str, str]]) -> None:
    """Test the kinds and values that bash gets for a line with an incomplete last word."""
    *words, incomplete = shlex.split(line)
    found = BashComplete(cli, {}, "hf-toedit", "_HF_TOEDIT_COMPLETE").get_completions(words, incomplete)
    assert sorted((item.type, item.value) for item in found) == sorted(expected)


CODE = """
import sys, atexit
atexit.register(lambda: print("loaded", *{name.partition(".")[0] for name in sys.modules}, file=sys.stderr))
from hf_toedit.cli.main import cli
cli(prog_name="hf-toedit")
"""


def _process(*args: str, cwd: Path, **env: str) -> tuple[list[str], set[str]]:
    """Return the lines that a process prints, and the modules that it imports."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, *args], capture_output=True, text=True, cwd=cwd, env=os.environ | env, check=True
    )
    return done.stdout.splitlines(), set(done.stderr.splitlines()[-1].split())


def test_help_and_completion_import_nothing_heavy(tmp_path: Path) -> None:
    _, loaded = _process("edit", "--help", cwd=tmp_path)
    assert loaded & HEAVY == set()
    line = {"COMP_WORDS": "hf-toedit score sample --scorer perp", "COMP_CWORD": "4"}
    lines, loaded = _process(cwd=tmp_path, _HF_TOEDIT_COMPLETE="bash_complete", **line)
    assert lines == ["plain,perplexity"]
    assert loaded & HEAVY == set()


def test_a_command_ends_without_a_search_for_cycles() -> None:
    code = """
import atexit, gc
atexit.register(lambda: print("searched:", len(gc.get_objects()), "frozen:", gc.get_freeze_count()))
from hf_toedit.cli.main import cli
cli(["preview", "--help"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    searched, frozen = map(int, done.stdout.splitlines()[-1].split()[1::2])
    assert searched < frozen / 100


def test_names_to_complete_are_those_of_the_registry() -> None:
    from hf_toedit.scorers.registry import FITTED, SCORERS

    assert {*completion.SCORERS, *completion.FITTED} == SCORERS.keys() - {"function"}  # its name is MODULE:FUNCTION
    assert completion.FITTED == FITTED


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script(shell: str) -> None:
    done = CliRunner().invoke(cli, prog_name="hf-toedit", env={"_HF_TOEDIT_COMPLETE": f"{shell}_source"})
    assert done.exit_code == 0
    assert f"_HF_TOEDIT_COMPLETE={shell}_complete" in done.output


def test_a_command_line_is_never_broken_at_a_hyphen() -> None:
    for width in (50, 60, 70, 80, 90, 100):
        done = CliRunner().invoke(cli, ["generate", "--help"], prog_name="hf-toedit", terminal_width=width)
        assert not re.search(r"\w-\n", done.output)
        assert "\u2011" not in done.output
