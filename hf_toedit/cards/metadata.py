"""The front matter of a card, for the Hub and `datasets`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from glob import escape
from typing import TYPE_CHECKING, Any

import yaml

from hf_toedit.cards.data import CardData, yaml_info
from hf_toedit.cards.origin import license_link

if TYPE_CHECKING:
    from datasets import Features

_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]*")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[\w-]+)?|code|multilingual")
"""Valid licences and languages on the Hub; it rejects a card with others, and the push with it."""

_MAGNITUDES = ("1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T")


def metadata(data: CardData, title: str, tags: Sequence[str]) -> dict[str, Any]:
    """Return keys and values; licence, language and tasks are only those of the source.

    Args:
        data: The card data.
        title: Title of the dataset.
        tags: Tags of the dataset.
    """
    card = data.plan.provenance.get("source_card", {})
    link = license_link(data)
    languages = [language for language in _listed(card.get("language", [])) if _LANGUAGE.fullmatch(language)]
    return {
        "pretty_name": title,
        **_license(card),
        **({"license_link": link} if link else {}),
        **({"language": languages} if languages else {}),
        **({"task_ids": card["task_ids"]} if "task_ids" in card else {}),
        "tags": list(tags),
        **({"source_datasets": [data.source_repo]} if data.source_repo else {}),
        "task_categories": _listed(card.get("task_categories", "text-generation")),
        "size_categories": [size_category(data.totals[-1].num_rows)],
        "configs": _configs(data),
        "dataset_info": list(data.infos),
    }


def features_card(features: Features) -> str:
    """Return a card with only the features of a dataset, because Parquet files do not determine every feature."""
    from datasets import DatasetInfo

    return f"---\n{yaml.safe_dump({'dataset_info': yaml_info(DatasetInfo(features=features))}, sort_keys=False)}---\n"


def _license(card: dict[str, Any]) -> dict[str, Any]:
    """Return the source's licence; one that the Hub does not list becomes `other`, with its name."""
    given = card.get("license", "other")
    if all(_LICENSE.fullmatch(name) for name in _listed(given)):
        return {"license": given, **({"license_name": card["license_name"]} if "license_name" in card else {})}
    return {"license": "other", "license_name": card.get("license_name", ", ".join(_listed(given)))}


def _listed(words: str | list[str]) -> list[str]:
    return [words] if isinstance(words, str) else words


def size_category(num_rows: int) -> str:
    """Return the Hub's size category for a number of rows."""
    for number, magnitude in enumerate(_MAGNITUDES):
        if num_rows < 1000 * 10**number:
            return f"{_MAGNITUDES[number - 1]}<n<{magnitude}" if number else f"n<{magnitude}"
    return f"n>{_MAGNITUDES[-1]}"


def _configs(data: CardData) -> list[dict[str, Any]]:
    """Return one config per pass, the last one as default; each lists exactly the files of the run."""
    last = data.plan.data_passes[-1]
    counts = {shard.split: shard.count for shard in data.plan.shards}
    return [
        {
            "config_name": data.config_name(pass_),
            "data_files": [
                {
                    "split": split,
                    "path": escape(data.path(f"data/{pass_.name}/{split}-")) + f"*-of-{count:05d}.parquet",
                }
                for split, count in counts.items()
            ],
            **({"default": True} if pass_ == last else {}),
        }
        for pass_ in data.plan.data_passes
    ]
