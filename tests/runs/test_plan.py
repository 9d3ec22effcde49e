"""Plans: what decides the result decides the hash, and differences are named."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from hf_toedit.config import EditConfig, PriorConfig, RunConfig, SourceConfig
from hf_toedit.errors import RunError
from hf_toedit.runs.plan import Plan, Shard, make_plan
from hf_toedit.runs.store import PLAN, RunFolder


@pytest.fixture
def plan() -> Plan:
    return make_plan(
        source_config=SourceConfig("org/stories", split="train"),
        source_revision="0" * 40,
        features={"text": {"dtype": "string", "_type": "Value"}},
        rows_by_split={"train": 3, "test": 2},
        prior_config=PriorConfig("org/tiny", device="cpu"),
        prior_revision="1" * 40,
        edit=EditConfig(protect=("numbers",)),
        run=RunConfig(2),
        version="0.1.0",
    )


def test_json_round_trip(plan: Plan) -> None:
    again = Plan.from_json(json.loads(json.dumps(plan.to_json())))
    assert again == plan
    assert again.content_hash == plan.content_hash
    assert plan.shards == (Shard("train", 0, 1, 3), Shard("test", 0, 1, 2))
    assert [shard.name for shard in plan.shards] == ["train-00000-of-00001", "test-00000-of-00001"]
    assert list(plan.generations) == [1, 2]


def test_device_and_version_do_not_decide_the_result(plan: Plan) -> None:
    other = replace(plan, prior=replace(plan.prior, device="cuda:1"), version="9")
    assert other.content_hash == plan.content_hash
    assert plan.differences(other) == []


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"source_revision": "2" * 40}, f"source_revision: '{'0' * 40}', not '{'2' * 40}'"),
        ({"source": SourceConfig("org/stories")}, "source.split: 'train', not None"),
        ({"prior": PriorConfig("org/tiny", dtype="float16")}, "prior.dtype: 'auto', not 'float16'"),
        ({"edit": EditConfig()}, "edit.protect: ['numbers'], not []"),
        ({"run": RunConfig(2, "log")}, "run.edit_log_column: 'toedit', not 'log'"),
        ({"features": {}}, "features: "),
        ({"shards": ()}, "shards: "),
    ],
)
def test_everything_else_does_and_is_named(changed: dict, named: str, plan: Plan) -> None:
    other = replace(plan, **changed)
    assert other.content_hash != plan.content_hash
    [said] = plan.differences(other)
    assert said.startswith(named)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{", "cannot read"),
        ("{}", "cannot read"),
        ("[]", "cannot read"),
        ('{"format": 99}', "is of format 99; this version reads 1"),
    ],
)
def test_a_plan_that_cannot_be_read(content: str, expected: str, tmp_path, plan: Plan) -> None:
    folder = RunFolder(tmp_path)
    folder.open(plan)
    assert folder.plan() == plan
    (tmp_path / PLAN).write_text(content)
    with pytest.raises(RunError, match=expected):
        folder.plan()
