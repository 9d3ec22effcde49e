"""Plans: settings that affect the result affect the hash, and differences are named."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_toedit.config import EditConfig, PriorConfig, RunConfig, SourceConfig
from hf_toedit.errors import RunError
from hf_toedit.runs.plan import Plan, RowRange, Shard
from hf_toedit.runs.planning import make_plan
from hf_toedit.runs.store import RunFolder
from hf_toedit.sources.model import FileExtent, Reading, SourceFile
from hf_toedit.storage.layout import PLAN
from hf_toedit.tasks.edit import EditTask, edit_of


def _extents(*rows: int | None, row_groups: tuple[int, ...] = ()) -> list[FileExtent]:
    """Return a file for each number of rows; a row has 10 bytes of text, and a file with unknown rows 100."""
    return [
        FileExtent(SourceFile(f"{number}.parquet", 1000, 5), count, 100 if count is None else 10 * count, row_groups)
        for number, count in enumerate(rows)
    ]


TEXT = {"text": {"dtype": "string", "_type": "Value"}}


@pytest.fixture
def plan() -> Plan:
    return _plan({"train": _extents(3), "test": _extents(2)})


def _plan(extents: dict[str, list[FileExtent]], **options: int) -> Plan:
    return make_plan(
        source_config=SourceConfig("org/stories", split="train"),
        source_revision="0" * 40,
        reading=Reading("parquet", {}, "here", TEXT),
        extents=extents,
        task=EditTask(PriorConfig("org/tiny", device="cpu"), EditConfig(protect=("numbers",)), RunConfig(2), "1" * 40),
        version="0.1.0",
        **options,
    )


def test_json_round_trip(plan: Plan) -> None:
    again = Plan.from_json(json.loads(json.dumps(plan.to_json())))
    assert again == plan
    assert again.content_hash == plan.content_hash
    assert plan.shards == (
        Shard("train", 0, 1, 3, 30, (RowRange(0, 0, 3),)),
        Shard("test", 0, 1, 2, 20, (RowRange(1, 0, 2),)),
    )
    assert (plan.num_rows, plan.num_bytes) == (5, 50)
    assert [shard.name for shard in plan.shards] == ["train-00000-of-00001", "test-00000-of-00001"]
    assert [pass_.name for pass_ in plan.passes] == ["gen1", "gen2"]


def test_device_version_and_root_do_not_decide_the_result(plan: Plan) -> None:
    reading = replace(plan.reading, root="elsewhere")
    other = replace(plan, task=plan.task.on("cuda:1"), version="9", reading=reading)
    assert other.content_hash == plan.content_hash
    assert plan.differences(other) == []


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"source_revision": "2" * 40}, "the files of the source differ"),
        ({"source": SourceConfig("org/stories")}, "--split is train in the run and not given here"),
        ({"source": SourceConfig("org/other", split="train")}, "SOURCE is org/stories in the run and org/other here"),
        ({"prior": PriorConfig("org/tiny", dtype="float16")}, "--dtype is auto in the run and float16 here"),
        ({"prior": PriorConfig("org/tiny", prune=True)}, "--prune is not given in the run and given here"),
        ({"prior_revision": "2" * 40}, "the files of the prior differ"),
        ({"prior": PriorConfig("org/big"), "prior_revision": "2"}, "--prior is org/tiny in the run and org/big here"),
        ({"edit": EditConfig()}, "--protect is numbers in the run and not given here"),
        ({"run": RunConfig(2, "log")}, "--edit-log-column is toedit in the run and log here"),
        ({"reading": Reading("parquet", {}, "here", {})}, "the columns of the source differ"),
        ({"reading": Reading("json", {}, "here", TEXT)}, "the columns of the source differ"),
        ({"files": ()}, "the files of the source differ"),
        ({"files": (), "shards": (), "source_revision": ""}, "the files of the source differ"),
        ({"shards": ()}, "--shard-size or --num-shards cut other shards: 2 in the run and 0 here"),
    ],
)
def test_everything_else_does_and_is_named(changed: dict, named: str, plan: Plan) -> None:
    task = {name: changed[name] for name in changed if name in ("prior", "prior_revision", "edit", "run")}
    rest = {name: value for name, value in changed.items() if name not in task}
    other = replace(plan, task=replace(edit_of(plan), **task), **rest)
    assert other.content_hash != plan.content_hash
    [said] = plan.differences(other)
    assert said == named


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{", "cannot read"),
        ("{}", "cannot read"),
        ("[]", "cannot read"),
        ('{"format": 99}', "is of format 99; this version reads 1 to 2"),
    ],
)
def test_a_plan_that_cannot_be_read(content: str, expected: str, tmp_path, plan: Plan) -> None:
    folder = RunFolder(tmp_path)
    folder.open(plan)
    assert folder.plan() == plan
    (tmp_path / PLAN).write_text(content)
    with pytest.raises(RunError, match=expected):
        folder.plan()


def _pieces(plan: Plan) -> list[list[tuple[int, int, int | None]]]:
    return [[tuple(piece) for piece in shard.pieces] for shard in plan.shards]


@pytest.mark.parametrize(
    ("extents", "options", "expected"),
    [
        (_extents(10), {"num_shards": 3}, [[(0, 0, 3)], [(0, 3, 7)], [(0, 7, 10)]]),
        (_extents(2), {"num_shards": 16}, [[(0, 0, 1)], [(0, 1, 2)]]),
        (_extents(10), {"shard_bytes": 60}, [[(0, 0, 5)], [(0, 5, 10)]]),
        (_extents(4, 4), {"num_shards": 1}, [[(0, 0, 4), (1, 0, 4)]]),
        (_extents(6, 2), {"num_shards": 2}, [[(0, 0, 4)], [(0, 4, 6), (1, 0, 2)]]),
        (_extents(None, None, None), {"num_shards": 2}, [[(0, 0, None), (1, 0, None)], [(2, 0, None)]]),
        (_extents(None, None), {"num_shards": 9}, [[(0, 0, None)], [(1, 0, None)]]),
        (_extents(None, 10), {"num_shards": 4}, [[(0, 0, None)], [(1, 0, 5)], [(1, 5, 10)]]),
        (_extents(100, row_groups=(0, 48, 96)), {"num_shards": 2}, [[(0, 0, 48)], [(0, 48, 100)]]),
        (_extents(100, row_groups=(0, 40, 80)), {"num_shards": 2}, [[(0, 0, 50)], [(0, 50, 100)]]),
        (_extents(0, 3, 0), {"num_shards": 3}, [[(1, 0, 1)], [(1, 1, 2)], [(1, 2, 3)]]),
        (_extents(0), {"num_shards": 3}, [[]]),
    ],
)
def test_sources_are_cut_in_order(
    extents: list[FileExtent], options: dict[str, int], expected: list[list[tuple[int, int, int | None]]]
) -> None:
    plan = _plan({"train": extents}, **options)
    assert _pieces(plan) == expected
    assert [shard.index for shard in plan.shards] == list(range(len(expected)))
    assert {shard.count for shard in plan.shards} == {len(expected)}


@given(st.lists(st.one_of(st.none(), st.integers(0, 50)), min_size=1, max_size=12), st.integers(1, 40))
def test_every_row_is_in_one_shard_and_in_order(rows: list[int | None], num_shards: int) -> None:
    plan = _plan({"a": _extents(*rows), "b": _extents(*rows)}, num_shards=num_shards)
    for split, first in (("a", 0), ("b", len(rows))):
        shards = [shard for shard in plan.shards if shard.split == split]
        assert 1 <= len(shards) <= num_shards
        found = [
            (piece.file - first, row)
            for shard in shards
            for piece in shard.pieces
            for row in (range(piece.start, piece.stop) if piece.stop is not None else [None])
        ]
        assert found == [(file, row) for file, count in enumerate(rows)
                         for row in (range(count) if count is not None else [None])]  # fmt: skip
        counts = [shard.num_rows for shard in shards]
        assert None in rows or sum(counts) == sum(rows)
