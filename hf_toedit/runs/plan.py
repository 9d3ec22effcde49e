"""The immutable plan of a run: what is edited, by which prior, how, and as which shards."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from hf_toedit.config import EditConfig, PriorConfig, RunConfig, SourceConfig, content_hash

FORMAT = 1
"""Version of `plan.json`."""


@dataclass(frozen=True)
class Shard:
    """The unit of work, and one output file a generation.

    Attributes:
        split: of the source.
        index: among the shards of the split.
        count: shards of the split.
        num_rows: rows it holds.
    """

    split: str
    index: int
    count: int
    num_rows: int

    @property
    def name(self) -> str:
        """File name without its ending, as `datasets` names shards."""
        return f"{self.split}-{self.index:05d}-of-{self.count:05d}"


@dataclass(frozen=True)
class Plan:
    """What a run will do, resolved: nothing in it depends on when, where or in which order it is done.

    Attributes:
        source: settings of the source.
        source_revision: pins it.
        prior: settings of the prior.
        prior_revision: pins it.
        edit: how tokens are edited.
        run: generations and log column.
        features: of the source, as `datasets` writes them.
        shards: in order.
        version: of hf-toedit that planned it.
    """

    source: SourceConfig
    source_revision: str
    prior: PriorConfig
    prior_revision: str
    edit: EditConfig
    run: RunConfig
    features: dict[str, Any]
    shards: tuple[Shard, ...]
    version: str

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of all that decides the result; the device and the version are not among it."""
        facts = self.facts()
        facts["prior"].pop("device")
        return content_hash(facts)

    @property
    def generations(self) -> range:
        """1 to the last."""
        return range(1, self.run.generations + 1)

    @property
    def splits(self) -> list[str]:
        """Names of the splits, in order."""
        return list(dict.fromkeys(shard.split for shard in self.shards))

    def facts(self) -> dict[str, Any]:
        """Everything but the version, as JSON values."""
        facts = json.loads(json.dumps(asdict(self)))
        facts.pop("version")
        return facts

    def to_json(self) -> dict[str, Any]:
        """What `plan.json` holds."""
        return {"format": FORMAT, "version": self.version, "hash": self.content_hash, **self.facts()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Plan:
        """Read what `to_json` wrote.

        Raises:
            KeyError, TypeError: it did not.
        """
        return cls(
            source=SourceConfig(**values["source"]),
            source_revision=values["source_revision"],
            prior=PriorConfig(**values["prior"]),
            prior_revision=values["prior_revision"],
            edit=EditConfig(**values["edit"]),
            run=RunConfig(**values["run"]),
            features=values["features"],
            shards=tuple(Shard(**shard) for shard in values["shards"]),
            version=values["version"],
        )

    def differences(self, other: Plan) -> list[str]:
        """Where another plan differs, each as 'name: this value, not that one'."""
        mine, theirs = _flat(self.facts()), _flat(other.facts())
        names = dict.fromkeys([*mine, *theirs])
        return [
            f"{name}: {mine.get(name)!r}, not {theirs.get(name)!r}"
            for name in names
            if name != "prior.device" and mine.get(name) != theirs.get(name)
        ]


def make_plan(
    *,
    source_config: SourceConfig,
    source_revision: str,
    features: dict[str, Any],
    rows_by_split: dict[str, int],
    prior_config: PriorConfig,
    prior_revision: str,
    edit: EditConfig,
    run: RunConfig,
    version: str,
) -> Plan:
    """Plan a run of one shard a split.

    Args:
        source_config: settings of the source.
        source_revision: pins it.
        features: of its rows, as `Features.to_dict` gives them.
        rows_by_split: how many rows each split has.
        prior_config: settings of the prior.
        prior_revision: pins it.
        edit: how tokens are edited.
        run: generations and log column.
        version: of hf-toedit.
    """
    shards = tuple(Shard(split, 0, 1, num_rows) for split, num_rows in rows_by_split.items())
    features = json.loads(json.dumps(features))
    return Plan(source_config, source_revision, prior_config, prior_revision, edit, run, features, shards, version)


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        nested = isinstance(value, dict) and name != "features"
        flat |= _flat(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value}
    return flat
