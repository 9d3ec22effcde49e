"""The front matter of a card: what the Hub and `datasets` read of it."""

from __future__ import annotations

from glob import escape
from typing import Any

from hf_toedit.cards.data import CardData
from hf_toedit.cards.origin import license_link, title

_TAGS = ("toedit", "hf-toedit", "synthetic", "token-editing")
_MAGNITUDES = ("1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T")


def metadata(data: CardData) -> dict[str, Any]:
    """Keys and values; licence, language and tasks are the source's, and no others are made up."""
    card = data.plan.provenance.get("source_card", {})
    inherited = {name: card[name] for name in ("license_name", "language", "task_ids") if name in card}
    link = license_link(data)
    tasks = card.get("task_categories", ["text-generation"])
    return {
        "pretty_name": title(data),
        "license": card.get("license", "other"),
        **({"license_link": link} if link else {}),
        **inherited,
        "tags": list(_TAGS),
        **({"source_datasets": [data.source_repo]} if data.source_repo else {}),
        "task_categories": [tasks] if isinstance(tasks, str) else tasks,
        "size_categories": [size_category(data.generations[-1].num_rows)],
        "configs": _configs(data),
        "dataset_info": list(data.infos),
    }


def size_category(num_rows: int) -> str:
    """The Hub's word for a number of rows."""
    for number, magnitude in enumerate(_MAGNITUDES):
        if num_rows < 1000 * 10**number:
            return f"{_MAGNITUDES[number - 1]}<n<{magnitude}" if number else f"n<{magnitude}"
    return f"n>{_MAGNITUDES[-1]}"


def _configs(data: CardData) -> list[dict[str, Any]]:
    """One a generation, the last one default."""
    last = data.plan.generations[-1]
    return [
        {
            "config_name": data.config_name(generation),
            "data_files": [
                {"split": split, "path": f"{escape(data.path(f'data/gen{generation}'))}/{split}-*.parquet"}
                for split in data.plan.splits
            ],
            **({"default": True} if generation == last else {}),
        }
        for generation in data.plan.generations
    ]
