"""The dataset card of a run: plan and statistics in, Markdown out. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import yaml

from hf_toedit.runs.plan import Plan
from hf_toedit.stats import EditStats


def render_card(plan: Plan, generations: Sequence[EditStats]) -> str:
    """Write the `README.md` of a run folder: one config a generation, the last one default, and the edit statistics.

    Args:
        plan: of the run.
        generations: statistics of each, over all shards.
    """
    front_matter = yaml.safe_dump(
        {"tags": ["toedit", "hf-toedit", "synthetic"], "configs": _configs(plan)}, sort_keys=False
    )
    rows = [
        f"| {number} | {stats.num_tokens:,} | {stats.selected_rate:.2%} | {stats.changed_rate:.2%} |"
        for number, stats in enumerate(generations, start=1)
    ]
    return "\n".join(
        [
            f"---\n{front_matter}---",
            "",
            "# Edited with hf-toedit",
            "",
            "A dataset edited token by token with ToEdit ([arXiv 2412.14689](https://arxiv.org/abs/2412.14689)).",
            "All settings are in `toedit/plan.json`.",
            "",
            "| generation | tokens | selected | changed |",
            "| ---: | ---: | ---: | ---: |",
            *rows,
            "",
        ]
    )


def _configs(plan: Plan) -> list[dict]:
    return [
        {
            "config_name": f"gen{generation}",
            "data_files": [
                {"split": split, "path": f"data/gen{generation}/{split}-*.parquet"} for split in plan.splits
            ],
            **({"default": True} if generation == plan.generations[-1] else {}),
        }
        for generation in plan.generations
    ]
