"""Where two plans differ, in the words of the command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hf_toedit.runs.task import Consequence, Task

_SHOWN = 100
"""Characters of a value that a message shows."""

_OPTIONS = {"source.source": "SOURCE", "source.text_columns": "--text-column"}
"""Settings that are not named as their option on the command line."""

_CHOICE = ("source.source", "source.config_name", "source.split", "source.revision")
_CUT = "--shard-size or --num-shards cut other shards"
_CONSEQUENCES: tuple[Consequence, ...] = (
    (("source_revision", "files"), _CHOICE, "the files of the source differ"),
    (("reading.",), (*_CHOICE, "source.columns", "source_revision", "files"), "the columns of the source differ"),
    (("shards",), ("source.", "source_revision", "files", "reading."), _CUT),
)
"""What is no setting: its parts in a plan, the parts that it follows from, and how its difference is reported."""


def told_differences(mine: Mapping[str, Any], theirs: Mapping[str, Any], task: Task) -> list[str]:
    """Where the facts of two plans of the same kind of task differ, see `Plan.differences`.

    Args:
        mine: of the run's plan, as `Plan.facts` gives them.
        theirs: of the plan that is asked for.
        task: of the run's plan.
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
        _told(_option(name, task), flat.get(name), other.get(name))
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
    """The word on the command line for a setting."""
    return _OPTIONS.get(name) or task.option(name) or "--" + (name.partition(".")[2] or name).replace("_", "-")


def _told(option: str, mine: Any, theirs: Any) -> str:
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
    """A value as the command line has it; of one too long to read, its start."""
    if value is None or value == []:
        return "not given"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
