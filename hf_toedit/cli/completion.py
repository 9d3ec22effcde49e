"""What a shell completes: files, folders and known names; nothing heavy is imported for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

Completion = Callable[[click.Context, click.Parameter, str], "list[CompletionItem]"]


def _paths(kind: str, *names: str) -> Completion:
    def complete(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        known = [CompletionItem(name) for name in names if name.startswith(incomplete)]
        return [CompletionItem(incomplete, type=kind), *known]  # the paths first: bash forgets what comes before them

    return complete


def known(names: Callable[[], Iterable[str]]) -> Completion:
    """Complete names of a registry, which is asked for them only then."""

    def complete(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        return [CompletionItem(name) for name in names() if name.startswith(incomplete)]

    return complete


files = _paths("file")
folders = _paths("dir")
sources = _paths("file", "sample")
priors = _paths("dir", "embedded")


def _scorers() -> Iterable[str]:
    from hf_toedit.scorers.registry import SCORERS

    return SCORERS


scorers = known(_scorers)
