"""The card of a run: configs that `datasets` understands, and the figures of each generation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from datasets import get_dataset_config_names, get_dataset_split_names

from hf_toedit.cards.card import render_card
from hf_toedit.config import EditConfig, PriorConfig, RunConfig, SourceConfig
from hf_toedit.runs.plan import FileExtent, Plan, Reading, SourceFile
from hf_toedit.runs.planning import make_plan
from hf_toedit.stats import EditStats


def _plan(generations: int, **rows_by_split: int) -> Plan:
    return make_plan(
        source_config=SourceConfig("org/stories"),
        source_revision="0" * 40,
        reading=Reading("parquet", {}, None, {}),
        extents={
            split: [FileExtent(SourceFile("a.parquet", 1, None), num_rows, 10)]
            for split, num_rows in rows_by_split.items()
        },
        prior_config=PriorConfig(),
        prior_revision="1" * 40,
        edit=EditConfig(),
        run=RunConfig(generations),
        version="0",
    )


def _parts(card: str) -> tuple[dict[str, Any], str]:
    empty, front_matter, body = card.split("---\n", 2)
    assert empty == ""
    return yaml.safe_load(front_matter), body


@pytest.mark.parametrize("generations", [1, 3])
def test_configs(generations: int) -> None:
    stats = [EditStats(num_tokens=1_234_567, num_selected=154_321, num_changed=1_235)] * generations
    metadata, body = _parts(render_card(_plan(generations, train=3, validation=1), stats))
    assert "toedit" in metadata["tags"]
    assert [config["config_name"] for config in metadata["configs"]] == [f"gen{n + 1}" for n in range(generations)]
    assert [bool(config.get("default")) for config in metadata["configs"]] == [False] * (generations - 1) + [True]
    assert metadata["configs"][0]["data_files"] == [
        {"split": "train", "path": "data/gen1/train-*.parquet"},
        {"split": "validation", "path": "data/gen1/validation-*.parquet"},
    ]
    assert body.count("| 1,234,567 | 12.50% | 0.10% |") == generations


def test_a_run_without_tokens_has_a_card() -> None:
    assert "| 1 | 0 | 0.00% | 0.00% |" in render_card(_plan(1, train=1), [EditStats(num_rows=1)])


def test_the_same_run_gives_the_same_card() -> None:
    plan, stats = _plan(2, train=3), [EditStats(num_tokens=10)] * 2
    assert render_card(plan, stats) == render_card(Plan.from_json(json.loads(json.dumps(plan.to_json()))), stats)


def test_datasets_reads_the_configs_of_a_run(run: Path) -> None:
    assert get_dataset_config_names(str(run)) == ["gen1", "gen2", "gen3"]
    assert get_dataset_split_names(str(run), "gen2") == ["train"]
