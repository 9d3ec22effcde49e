"""A `plan.json` may be untrusted: after any change it is read as it is, or refused in one line."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hf_toedit.config import EditConfig, PriorConfig, RunConfig, SourceConfig, content_hash
from hf_toedit.errors import RunError
from hf_toedit.runs.plan import Plan, RowRange, Shard
from hf_toedit.runs.planning import make_plan
from hf_toedit.runs.store import PLAN, RunFolder, plan_text
from hf_toedit.sources.model import FileExtent, Reading, SourceFile
from hf_toedit.tasks.edit import EditTask

EXAMPLES = int(os.environ.get("HF_TOEDIT_EXAMPLES", "120"))


def _values() -> dict[str, Any]:
    files = [FileExtent(SourceFile(f"{name}.parquet", 100, 5), 4, 40) for name in "ab"]
    plan = make_plan(
        source_config=SourceConfig("org/stories", split="train", limit=8, columns=("text", "id:string")),
        source_revision="0" * 40,
        reading=Reading("parquet", {"columns": ["text"]}, "here", {"text": {"dtype": "string", "_type": "Value"}}),
        extents={"train": files, "test": files[:1]},
        task=EditTask(
            PriorConfig("org/tiny", "1" * 40, device="cuda:1"),
            EditConfig(protect=("numbers",), drop_below=0.5),
            RunConfig(2, score_result=True),
            "1" * 40,
        ),
        version="0.1.0",
        num_shards=2,
    )
    values = json.loads(plan_text(plan))
    card = {"license": "mit", "language": ["en", "de"]}
    values["provenance"] = {"command": "hf-toedit edit", "python": "3.11", "versions": {"torch": "2"},
                            "source_card": card, "prior_card": {}}  # fmt: skip
    return values


VALUES = _values()


def _signed(values: dict[str, Any]) -> dict[str, Any]:
    """Add the hash that an attacker would compute."""
    facts = {name: value for name, value in values.items() if name not in ("format", "version", "hash", "provenance")}
    task = facts.pop("task", None)
    facts |= {name: value for name, value in task.items() if name != "kind"} if isinstance(task, dict) else {}
    for group, names in (("prior", ["device"]), ("reading", ["root"]), ("run", ["generations", "score_result"])):
        if isinstance(facts.get(group), dict):
            facts[group] = {name: value for name, value in facts[group].items() if name not in names}
    return {**values, "hash": content_hash(facts)}


def _paths(value: Any, path: tuple = ()) -> list[tuple]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, part in items for found in _paths(part, (*path, key)))]


PATHS = _paths(VALUES)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=3)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS | st.sampled_from([-1, 0, 1, 10**30, "../x", "a/b", "..", "\0"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
)  # fmt: skip


def _change(path: tuple, how: str, new: Any) -> Any:
    """Return the plan with one changed value."""
    values = deepcopy(VALUES)
    *outer, last = path or ("",)
    inner = values
    for key in outer:
        inner = inner[key]  # type: ignore[index]
    if how == "replace":
        return new if not path else [values, inner.__setitem__(last, new)][0]  # type: ignore[func-returns-value]
    if how == "delete":
        del inner[last]
        return values
    there = inner[last] if path else values
    there.update({"new": new}) if isinstance(there, dict) else there.append(new)
    return values


@st.composite
def changed(draw: st.DrawFn) -> Any:
    path, how = draw(st.sampled_from(PATHS)), draw(st.sampled_from(["replace", "delete", "add"]))
    found: Any = VALUES
    for key in path:
        found = found[key]
    if how == "add" and not isinstance(found, dict | list) or how == "delete" and not path:
        how = "replace"
    return _change(path, how, draw(JSON))


@settings(max_examples=4 * EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=changed(), is_signed=st.booleans())
def test_a_changed_plan_is_read_as_it_is_or_refused_in_one_line(values: Any, is_signed: bool, tmp_path: Path) -> None:
    if is_signed and isinstance(values, dict):
        values = _signed(values)
    path = tmp_path / PLAN
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(values), encoding="utf-8")
    try:
        plan = RunFolder(tmp_path).plan()
    except RunError as error:
        assert str(error).startswith(f"cannot read {path}: "), error
        assert str(error).endswith(" Plan the run again, in another folder."), error
        assert "\n" not in str(error) and len(str(error)) < 800, error
        return
    assert plan.to_json() in (values, VALUES)
    assert plan.num_bytes >= 0 and plan.splits and plan.content_hash


def _set(*path: Any, to: Any) -> Callable[[], Any]:
    return lambda: _change(path, "replace", to)


def _without(*path: Any) -> Callable[[], Any]:
    return lambda: _change(path, "delete", None)


def _with(*path: Any) -> Callable[[], Any]:
    return lambda: _change(path, "add", 1)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (_without("hash"), "it has no 'hash'."),
        (_without("format"), "it has no 'format'; this version reads 1 to 2."),
        (_set("format", to=3), "it is of format 3; this version reads 1 to 2."),
        (_set("format", to=True), "it is of format true; this version reads 1 to 2."),
        (lambda: [VALUES], "it must be an object, not ["),
        (_without("files"), "it has no 'files'."),
        (_without("task", "edit", "seed"), "task.edit has no 'seed'."),
        (_without("task", "run", "generations"), "task.run has no 'generations'."),
        (_without("shards", 0, "pieces"), "shards[0] has no 'pieces'."),
        (_with(), "it cannot have 'new'."),
        (_with("task", "edit"), "task.edit cannot have 'new'. Known: select, "),
        (_with("shards", 1), "shards[1] cannot have 'new'."),
        (_set("task", "edit", to=[]), "task.edit must be an object, not []."),
        (_set("task", "edit", "top_k", to="8"), "task.edit.top_k must be a whole number, not '8'."),
        (_set("task", "edit", "top_k", to=None), "task.edit.top_k must be a whole number, not null."),
        (_set("task", "edit", "seed", to=True), "task.edit.seed must be a whole number, not true."),
        (_set("task", "edit", "top_k", to=0), "task.edit.top_k 0 is out of range: it must be between 1 and 1,000,000."),
        (_set("task", "edit", "select", to="abov"), "task.edit.select 'abov' is not known. Did you mean 'above'?"),
        (_set("task", "edit", "protect", to="numbers"), "task.edit.protect must be a list of strings, not 'numbers'."),
        (_set("source", "roles", to=None), "source.roles must be a list of strings, not null."),
        (_set("task", "edit", "protect", 0, to=3), "task.edit.protect[0] must be a string, not 3."),
        (_set("task", "edit", "protect", 0, to="nope"), "task.edit: unknown protect pattern 'nope'."),
        (_set("task", "prior", "device", to="gpu"), "task.prior.device 'gpu' is not one of auto, cpu, "),
        (_set("task", "run", "generations", to=10**30), "task.run.generations 1000000000000000000000000000000 is out"),
        (_set("reading", "features", to=[]), "reading.features must be an object, not []."),
        (_set("files", 0, to=["a", 1]), "files[0] must be a list of length 3, not ['a', 1]."),
        (_set("files", 0, 1, to=-1), "files[0][1] must be a whole number >= 0, not -1."),
        (_set("files", 0, 2, to=1.5), "files[0][2] must be a whole number or a string, not 1.5."),
        (_set("files", to=[]), "it has 0 files and 4 shards."),
        (_set("shards", to=[]), "it has 3 files and 0 shards."),
        (_set("shards", 0, to=3), "shards[0] must be an object, not 3."),
        (_set("shards", 0, "index", to=-1), "shards[0].index must be a whole number >= 0, not -1."),
        (_set("shards", 0, "index", to=2), "shards[0]: index 2 must be below count, which is 2."),
        (_set("shards", 1, "index", to=0), "shards[1] is train-00000-of-00002 again, as shards[0] is."),
        (_set("shards", 0, "count", to=10**6), "shards[0].count must be a whole number <= 100000, not 1000000."),
        (_set("shards", 0, "split", to="../x"), "shards[0]: split '../x' is not the name of a split."),
        (_set("shards", 0, "split", to="a\0"), r"shards[0]: split 'a\x00' is not the name of a split."),
        (_set("shards", 0, "pieces", 0, to=[3, 0, 4]), "shards[0]: pieces[0] names file 3 of 3 files."),
        (_set("shards", 0, "pieces", 0, to=[-1, 0, 4]), "shards[0].pieces[0][0] must be a whole number >= 0, not -1."),
        (_set("shards", 0, "pieces", 0, to=[0, 4, 3]), "pieces[0] ends at row 3, before it begins at row 4."),
        (_set("provenance", "command", to=1), "provenance.command must be a string, not 1."),
        (_set("provenance", "source_card", to=[]), "provenance.source_card must be an object, not []."),
        (_set("provenance", "prior_card", to={"license": 3}), "provenance.prior_card"),
        (_set("task", "edit", "seed", to=5), "its hash does not fit: it was changed by hand"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_by_its_path(make: Callable[[], Any], expected: str) -> None:
    values = make()
    with pytest.raises(RunError) as caught:
        Plan.from_json(_signed(values) if "hash does not fit" not in expected and "hash" in values else values)
    assert expected in str(caught.value), caught.value


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "it is not JSON: "),
        (b"{", "it is not JSON: "),
        (b"\xff", "it is not JSON: "),
        (b'"\\ud800"', "it is not JSON: "),
        (b'{"format": NaN}', "it is not JSON: "),
        (b'{"format": 1e999}', "it is not JSON: "),
        (b"9" * 5000, "it is not JSON: "),
        (b"[" * 100_000, "it is not JSON: "),
        (b"null", "it must be an object, not null."),
    ],
)
def test_what_is_no_json(content: bytes, expected: str) -> None:
    with pytest.raises(RunError) as caught:
        Plan.read(content)
    assert str(caught.value).startswith(expected)
    assert "\n" not in str(caught.value)


def test_what_other_versions_note_of_the_origin_is_kept() -> None:
    values = _with("provenance")()
    assert Plan.from_json(values).to_json() == values


def test_a_stamp_may_be_a_text() -> None:
    values = _signed(_set("files", 0, 2, to='"etag"')())
    assert Plan.from_json(values).files[0] == SourceFile("a.parquet", 100, '"etag"')


def test_a_plan_of_before_is_read_with_the_hash_that_it_has() -> None:
    """As 0.1.0 wrote it; its hash is that of its JSON, and must not change."""
    assert VALUES["hash"] == "1dd30b3ff5f936f12008543afb35a386caa5dfc87ad30a815dfa97556e6ac275"
    plan = Plan.read(json.dumps(VALUES).encode())
    assert plan.shards[0] == Shard("train", 0, 2, 4, 40, (RowRange(0, 0, 4),))
    assert plan.to_json() == VALUES
