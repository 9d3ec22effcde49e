"""What a shell completes: files, folders and known names; nothing heavy is imported for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

SCORERS = (
    "classifier", "column", "exact", "length", "math-answer", "numeric", "perplexity", "random", "rouge1",
)  # fmt: skip
FITTED = ("density", "dsir")
"""Names of the registry of scorers, which takes seconds to import."""

Completion = Callable[[click.Context, click.Parameter, str], "list[CompletionItem]"]


def names(known: Callable[[], Iterable[str]], paths: str | None = None) -> Completion:
    """Complete known names, and paths of a kind.

    Args:
        known: Returns the names; called only when a shell asks for them.
        paths: `file` or `dir`.
    """

    def complete(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        items = [CompletionItem(name) for name in known() if name.startswith(incomplete)]
        # Paths come first, since the bash script of click drops what precedes them.
        return [CompletionItem(incomplete, type=paths), *items] if paths else items

    return complete


files = names(list, "file")
folders = names(list, "dir")
sources = names(lambda: ["sample"], "file")
priors = names(lambda: ["embedded"], "dir")
scorers = names(lambda: SCORERS)
all_scorers = names(lambda: [*SCORERS, *FITTED])
