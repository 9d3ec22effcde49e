"""The documentation matches the program: its examples run, its commands exist, and its output is current."""

from __future__ import annotations

import os
import re
import runpy
import shlex
from pathlib import Path

import click
import pytest
import yaml

import hf_toedit as package
from hf_toedit.cli.main import cli
from tests.cli.command import HfToEdit
from tests.hub_server import HubServer
from tests.pages import DOCS, PAGES, ROOT, Block, blocks, prose
from tests.snippets import run_snippet

RUN_ELSEWHERE = {"docs/extending.md": "tests/test_extending.py"}
"""Pages whose Python code another test runs."""

CHECKS = {
    "README.md": ("assert result.edits[0]",),
    "docs/index.md": ("assert edited.num_rows == 3 and edited.column_names[-1] == 'toedit'",),
    "docs/start/first-edit.md": (
        "assert last.num_rows == first.num_rows == 3 and last['toedit'] != first['toedit']",
        "assert run.verify(progress=False).problems == [] and run.stats(3).num_changed > 0",
        "assert result.revert()[0].startswith('Once upon')",
    ),
    "docs/guides/preview.md": ("assert any(token.replacement for token in result.tokens(0))",),
    "docs/guides/structured-text.md": ("assert result.stats.num_tokens < 20",),
    "docs/guides/datasets-api.md": (
        "assert again.cache_files == edited.cache_files and next(iter(stream)) == edited[0]\n"
        "assert source.column_names == edited.column_names[:-1]",
        "assert edited.column_names[-1] == 'toedit'",
    ),
    "docs/guides/score.md": ("assert 0 < kept.num_rows < rows.num_rows",),
    "docs/guides/select.md": ("assert run.verify(progress=False).problems == []",),
    "docs/guides/mix.md": (
        "assert set(rows['mixed_from'][:]) == {'long', 'all'} and rows.num_rows > run.stats().num_rows // 2",
    ),
    "docs/guides/hub.md": (
        "assert dataset['train'].num_rows == 3 and next(iter(first))['toedit']['num_tokens'] > 100",
    ),
}
"""Assertions after the Python code of a page, block by block."""

SHORTER = ('hf_toedit.edit("sample", "run", generations=3)', 'hf_toedit.score("sample", "scores")')
"""Calls that edit or score the whole sample; some of its rows are enough for the tests."""

ARCHAIC = re.compile(
    r"\b(?:told|tells|lies|stands|mends?|mended|anew|drawn again|draws? again|(?<!there )is no)\b|\bsay `?--",
    re.IGNORECASE,
)

SHOWN = re.compile(r"(?s)(<!-- output of: ([^\n]+?)( \(timed\))? -->\n```text\n)(.*?)(```\n)")
"""The output of a command; figures are ignored if the command measures time."""

WITH_OUTPUT = [page for page, path in PAGES.items() if SHOWN.search(path.read_text(encoding="utf-8"))]
_OPERATORS = ("|", ">", ">>", "&&", "||", ";")


@pytest.mark.parametrize("page", CHECKS)
def test_python_examples_run(page: str, tmp_path: Path, hub_server: HubServer, hf_toedit: HfToEdit) -> None:
    """Each runs in a separate process and folder; one loads from the Hub what a push leaves there."""
    examples = [block.code for block in blocks(page, "python") if _is_run(block)]
    environment = {**hub_server.env, "HF_TOKEN": hub_server.token}
    for number, (code, check) in enumerate(zip(examples, CHECKS[page], strict=True)):
        folder = tmp_path / str(number)
        folder.mkdir()
        if 'load_dataset("run"' in code and "hf_toedit.edit" not in code:
            hf_toedit.edit("sample", folder / "run", "--limit", 3, "--generations", 2)
        if "org/stories-toedit" in code:
            run = hf_toedit.edit("sample", tmp_path / "pushed", "--limit", 3, "--generations", 2)
            hub_server.create_repo("dataset", "org/stories-toedit", run)
        for call in SHORTER:
            code = code.replace(call, f"{call[:-1]}, limit=20)")
        run_snippet(code, check, folder, environment)


def test_all_python_is_run_or_says_why_not() -> None:
    with_code = {page for page in PAGES if any(map(_is_run, blocks(page, "python")))}
    assert with_code == CHECKS.keys() | RUN_ELSEWHERE.keys()


def _is_run(block: Block) -> bool:
    """Whether the tests run a block: not if it states a reason, nor if other tests run it as a file."""
    return block.reason is None and not block.code.startswith("--8<--")


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "bash")])
def test_commands_are_those_of_the_program(page: str) -> None:
    lines = "\n".join(block.code for block in blocks(page, "bash")).replace("\\\n", " ").splitlines()
    for line in lines:
        if (words := _command_line(line)) is not None:
            try:
                _parse(words)
            except (click.ClickException, KeyError) as error:
                pytest.fail(f"{page}: {line}\n{getattr(error, 'message', error)!r}")


def _command_line(line: str) -> list[str] | None:
    """Return the words after `hf-toedit` in a line of shell; None if the line does not call it."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:
        return None  # part of a longer command
    if words[:1] in (["pip"], ["uv"]):
        return None
    if words[:2] == ["hf", "toedit"]:
        words = ["hf-toedit", *words[2:]]
    start = next((at for at, word in enumerate(words) if re.search(r"^(?:[^:]*/)?hf-toedit$", word)), None)
    if start is None:
        return None
    words = words[start + 1 :]
    return words[: next((at for at, word in enumerate(words) if word in _OPERATORS), len(words))]


def _parse(words: list[str]) -> None:
    """Parse a command line with click without running it: groups, options, and the values of each."""
    command: click.Command = cli
    context = click.Context(cli, info_name="hf-toedit")
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        command, words = command.commands[words[0]], words[1:]
        context = click.Context(command, context, info_name=command.name)
    values, rest, _ = command.make_parser(context).parse_args(list(words))
    assert rest == []
    options = {option.name: option for option in command.get_params(context)}
    for name, value in values.items():
        if value is not None and not isinstance(options[name].type, click.Path | click.File):
            options[name].type_cast_value(context, value)


@pytest.mark.parametrize(
    ("line", "fails"),
    [
        ("hf-toedit edit sample -o run", False),
        ("FOO=1 /home/me/bin/hf-toedit status run --watch | tee log", False),
        ("hf-toedit edit sample --threshhold 0.9", True),
        ("hf-toedit edit sample --top-k many", True),
        ("hf-toedit edits sample", True),
        ("hf-toedit space push org/name --public", False),
    ],
)
def test_wrong_commands_are_found(line: str, fails: bool) -> None:
    words = _command_line(line)
    assert words is not None
    if fails:
        with pytest.raises((click.ClickException, KeyError)):
            _parse(words)
    else:
        _parse(words)


@pytest.mark.parametrize("page", PAGES)
def test_words_are_plain(page: str) -> None:
    if page != "docs/papers.md":  # it contains the words of the evidence
        assert [match[0] for match in ARCHAIC.finditer(prose(page))] == []


def _output(command: str, hf_toedit: HfToEdit, folder: Path) -> str:
    done = hf_toedit.beside(COLUMNS="100")(*shlex.split(command)[1:], cwd=folder)
    assert done.code == 0, done.stderr
    return "".join(f"{line.rstrip()}\n" for line in done.stdout.strip("\n").splitlines())


@pytest.mark.parametrize("page", WITH_OUTPUT)
def test_shown_output_is_that_of_the_commands(page: str, tmp_path: Path, hf_toedit: HfToEdit) -> None:
    text = PAGES[page].read_text(encoding="utf-8")
    fresh = {command: _output(command, hf_toedit, tmp_path) for _, command, *_ in SHOWN.findall(text)}
    if os.environ.get("HF_TOEDIT_WRITE_DOCS"):
        text = SHOWN.sub(lambda match: f"{match[1]}{fresh[match[2]]}{match[5]}", text)
        PAGES[page].write_text(text, encoding="utf-8")
    for _, command, timed, shown, _ in SHOWN.findall(text):
        assert _alike(shown, fresh[command], with_figures=not timed), f"{page}: {command}: run `make write-docs`"


def _alike(one: str, other: str, with_figures: bool) -> bool:
    """Whether two texts have the same words, and the same figures within two per cent, whatever time they took."""
    number = re.compile(r"\d[\d,]*(?:\.\d+)?")
    one, other = (re.sub(r"(?m)^Done in \S+(?: s)?: ", "Done: ", text) for text in (one, other))
    if not with_figures:  # an interval of no width is left out
        one, other = (re.sub(r" \(95 %: [^)]*\)", "", text) for text in (one, other))
    words, others = (re.sub(r"\s+|█+", " ", number.sub("0", text)) for text in (one, other))
    figures = [[float(found.replace(",", "")) for found in number.findall(text)] for text in (one, other)]
    return words == others and (not with_figures or figures[0] == pytest.approx(figures[1], rel=0.02, abs=0.02))


def test_the_reference_has_every_name_and_every_command() -> None:
    python = re.findall(r"(?m)^::: hf_toedit\.(\w+)$", PAGES["docs/reference/python.md"].read_text(encoding="utf-8"))
    assert sorted([*python, "__version__"]) == sorted(package.__all__)
    pages = "".join(path.read_text(encoding="utf-8") for path in sorted((DOCS / "reference/cli").iterdir()))
    commands = re.findall(r"(?m)^    :command: (\w+)$", pages)
    assert sorted(commands) == sorted(name for name, command in cli.commands.items() if not command.hidden)


def test_the_reference_shows_options_as_help_does() -> None:
    hook = runpy.run_path(str(DOCS / ".hooks/help.py"))["on_page_content"]
    made = '<h2 id="hf-toedit-status">x</h2>\n<p>Examples:\n  a -b\n  c</p>\n<p><strong>Options:</strong></p>\n'
    html = hook(f'{made}<div class="highlight"><pre>flat</pre></div><p>end</p>')
    assert "<pre><code>a -b\nc</code></pre>" in html and "flat" not in html and html.endswith("<p>end</p>")
    flags = {flag for option in cli.commands["status"].params for flag in option.opts if flag.startswith("-")}
    assert {"--watch", "--json"} <= flags <= set(re.findall(r"--?\w[\w-]*", html))


def test_the_theme_fetches_nothing_from_elsewhere() -> None:
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert config["theme"]["font"] is False
    assert not {"extra_javascript", "analytics"} & (config.keys() | config["extra"].keys())
    repository = DOCS / ".theme/partials/source.html"
    assert "data-md-component" not in repository.read_text(encoding="utf-8"), "the theme would ask GitHub for numbers"
