"""A hook of MkDocs: the pages that mkdocs-click makes show examples and options as `--help` does."""

from __future__ import annotations

import re
from html import escape
from typing import Any

import click

_EXAMPLES = re.compile(r"<p>(Examples?):\n((?: {2}.*\n?)+?)</p>")
_OPTIONS = re.compile(
    r'(<h\d id="(hf-toedit-[\w-]+)"(?:(?!<h\d).)*?<p><strong>Options:</strong></p>\n)<div class="highlight">.*?</div>',
    re.DOTALL,
)


def on_page_content(html: str, **_: Any) -> str:
    """Keep the lines of examples, and the headings of options."""
    return _OPTIONS.sub(_options, _EXAMPLES.sub(_examples, html))


def _examples(match: re.Match[str]) -> str:
    lines = "\n".join(line.removeprefix("  ") for line in match[2].rstrip().splitlines())
    return f"<p><strong>{match[1]}:</strong></p>\n{_block(lines)}"


def _options(match: re.Match[str]) -> str:
    from hf_toedit.cli.help import SHOWS_ALL
    from hf_toedit.cli.main import cli

    command = _commands("hf-toedit", cli)[match[2]]
    if isinstance(command, click.Group):
        return match[0]
    context = command.context_class(command)
    context.meta[SHOWS_ALL] = True
    formatter = context.make_formatter()
    command.format_options(context, formatter)
    text = formatter.getvalue().strip("\n").removeprefix("Options:\n")
    return f"{match[1]}{_block(escape(text, quote=False))}"


def _commands(path: str, command: click.Command) -> dict[str, click.Command]:
    """A command and those in it, by the anchors of their headings."""
    inner = command.commands if isinstance(command, click.Group) else {}
    found = {path: command}
    for name, one in inner.items():
        found |= _commands(f"{path}-{name}", one)
    return found


def _block(text: str) -> str:
    return f'<div class="highlight"><pre><code>{text}</code></pre></div>'
