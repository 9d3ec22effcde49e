"""Several named datasets: `human=org/web`, `edited=run:gen2`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING, Any

from hf_toedit.api.begin import Taken
from hf_toedit.cards.origin import place_name, shortened
from hf_toedit.checked import checked
from hf_toedit.config import SourceConfig
from hf_toedit.errors import UsageError
from hf_toedit.runs.store import is_run

if TYPE_CHECKING:
    from hf_toedit.runs.plan import Plan

_LONGEST_NAME = 40
_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{_LONGEST_NAME - 1}}}")
"""Name of a dataset. It is also a folder name, and a plot label; plots leave out labels that begin with `_`."""


def parsed(
    given: Iterable[str], what: str, form: str = "NAME=SOURCE", example: str = "human=org/web"
) -> dict[str, str]:
    """Parse `NAME=SOURCE` arguments into names and sources.

    Args:
        given: The arguments as typed.
        what: What each of them is, for messages: `variant`.
        form: Their form, for messages.
        example: An example, for messages.

    Raises:
        UsageError: An argument does not have that form, or two have the same name.
    """
    found: dict[str, str] = {}
    for one in given:
        name, equals, source = one.partition("=")
        if not (equals and name and source):
            raise UsageError(f"{what} {one!r} is not {form}. Write it as {example}, for example.")
        if name in found:
            raise UsageError(f"two {what}s are called {name!r}. Give each a name of its own.")
        found[name] = source
    return found


def check_names(names: Iterable[str], what: str) -> None:
    """Refuse names that cannot be used for folders and in plots.

    Args:
        names: Names of datasets.
        what: What each of them is, for messages.

    Raises:
        UsageError: A name cannot be used.
    """
    for name in names:
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"{what} name {name!r} must begin with a letter or digit and hold only A-Z, a-z, 0-9, '-', '_' and "
                f"'.', {_LONGEST_NAME} of them at most. Choose another name."
            )


def source_of(source: str | PathLike[str], settings: Mapping[str, Any]) -> SourceConfig:
    """Return the settings of a source; for `RUN:gen2`, of the run folder and its configuration.

    Args:
        source: Source as named by the user.
        settings: Settings of all sources.

    Raises:
        UsageError: The source is not named by a string or path, or a setting is unknown or out of range.
    """
    name: str = checked(source, str, "source")
    taken = Taken(settings)
    run, colon, pass_ = name.rpartition(":")
    is_pass = bool(colon) and is_run(run)
    found = taken.source(run if is_pass else name)
    taken.rest()
    return replace(found, config_name=pass_) if is_pass else found


def shown_source(given: str, plan: Plan) -> str:
    """Return the name of a source in a report, without a location on this machine.

    Args:
        given: Source as named by the user.
        plan: Plan of a run over it.
    """
    return place_name(given) if plan.reading.root is not None or "://" in given else given


def shown_priors(given: Sequence[str]) -> dict[str, str]:
    """Return the names of priors in a report, by the names given: of a folder, the last part, unless two share it."""
    short = {name: shortened(name) for name in given}
    alike = Counter(short.values())
    return {name: last if alike[last] == 1 else name for name, last in short.items()}
