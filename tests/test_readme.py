"""The README is short, its links work on every site that shows it, and every option has a help text."""

from __future__ import annotations

import re

import click

from hf_toedit.cli.main import cli
from tests.pages import DOCS, PAGES, ROOT

PROJECT = "hf-toedit/hf-toedit"
SITE = "https://hf-toedit.github.io/hf-toedit/"
RAW = f"https://raw.githubusercontent.com/{PROJECT}/main/"
FILES = f"https://github.com/{PROJECT}/blob/main/"
COLAB = f"https://colab.research.google.com/github/{PROJECT}/blob/main/"


def commands() -> dict[str, click.Command]:
    """Return every command by its words."""
    found: dict[str, click.Command] = {}
    for name, command in sorted(cli.commands.items()):
        found[name] = command
        inner = command.commands if isinstance(command, click.Group) else {}
        found |= {f"{name} {word}": inner[word] for word in sorted(inner) if not inner[word].hidden}
    return found


def test_every_option_has_help() -> None:
    options = [
        (name, option)
        for name, command in commands().items()
        for option in command.params
        if isinstance(option, click.Option)
    ]
    assert options
    assert [f"{name} {option.name}" for name, option in options if not option.help] == []


def test_the_readme_fits_on_a_few_screens() -> None:
    assert len(PAGES["README.md"].read_text(encoding="utf-8").splitlines()) <= 150


def test_the_readme_has_absolute_links_only() -> None:
    links = re.findall(r"\]\(([^)\s]+)", PAGES["README.md"].read_text(encoding="utf-8"))
    assert links and [link for link in links if not link.startswith("https://")] == []


def test_links_to_the_project_lead_somewhere() -> None:
    """`make docs` checks links within the site."""
    for page, path in PAGES.items():
        for link in re.findall(r"\]\((https://[^)\s#]+)", path.read_text(encoding="utf-8")):
            if link.startswith(SITE):
                name = link.removeprefix(SITE).removesuffix("/")
                assert any((DOCS / f"{name}{end}").exists() for end in (".md", "/index.md")), (page, link)
            for before in (RAW, FILES, COLAB):
                if link.startswith(before):
                    assert (ROOT / link.removeprefix(before)).exists(), (page, link)
