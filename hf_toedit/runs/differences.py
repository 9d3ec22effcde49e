"""Differences between two plans, worded as command line options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hf_toedit.runs.task import Consequence, Task

_SHOWN = 100
"""Number of characters of a value that a message shows."""

_OPTIONS = {"source.source": "SOURCE", "source.text_columns": "--text-column"}
"""Settings whose command line option has a different name."""

_CHOICE = ("source.source", "source.config_name", "source.split", "source.revision")
_CUT = "--shard-size or --num-shards cut other shards"
_CONSEQUENCES: tuple[Consequence, ...] = (
    (("source_revision", "files"), _CHOICE, "the files of the source differ"),
    (("reading.",), (*_CHOICE, "source.columns", "source_revision", "files"), "the columns of the source differ"),
    (("shards",), ("source.", "source_revision", "files", "reading."), _CUT),
)
"""Facts that are not settings.

Each entry has name prefixes in a plan, name prefixes of the facts that they follow from, and the message
for a difference.
"""


def named_differences(mine: Mapping[str, Any], theirs: Mapping[str, Any], task: Task) -> list[str]:
    """List the differences between the facts of two plans of the same kind of task; see `Plan.differences`.

    Args:
        mine: Facts of the run's plan, from `Plan.facts`.
        theirs: Facts of the requested plan.
        task: Task of the run's plan.
    """
    flat, other = _flat(mine), _flat(theirs)
    names = [
        name
        for name in dict.fromkeys([*flat, *other])
        if not name.endswith((".device", "reading.root")) and flat.get(name) != other.get(name)
    ]
    settings = {"source", *task.facts()}
    pins = tuple(part for parts, _, _ in task.consequences for part in parts)
    said = [
        _difference(_option(name, task), flat.get(name), other.get(name))
        for name in names
        if name.partition(".")[0] in settings and not name.startswith(pins)
    ]
    if task.chooses_rows:
        names = [name for name in names if name != "shards" or said == []]
    said += [
        phrase
        for parts, causes, phrase in (*task.consequences, *_CONSEQUENCES)
        if any(name.startswith(parts) for name in names)
        and not any(name.startswith(causes) and not name.startswith(parts) for name in names)
    ]
    counts = len(mine["shards"]), len(theirs["shards"])
    return [
        f"{phrase}: {counts[0]:,} in the run and {counts[1]:,} here"
        if phrase == _CUT and counts[0] != counts[1]
        else phrase
        for phrase in said
    ]


def _option(name: str, task: Task) -> str:
    """Return the command line option for a setting."""
    return _OPTIONS.get(name) or task.option(name) or "--" + (name.partition(".")[2] or name).replace("_", "-")


def _difference(option: str, mine: Any, theirs: Any) -> str:
    if isinstance(mine, bool):
        return f"{option} is {_given(mine)} in the run and {_given(theirs)} here"
    return f"{option} is {_short(mine)} in the run and {_short(theirs)} here"


def _given(flag: Any) -> str:
    return "given" if flag else "not given"


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        nested = isinstance(value, dict) and name not in ("features", "options")
        flat |= _flat(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value}
    return flat


def _short(value: Any) -> str:
    """Format a value as on the command line, truncated if it is too long to read."""
    if value is None or value == []:
        return "not given"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
