"""What a card tells of a run: gathered from its folder here, and from nowhere else. No wording."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from hf_toedit.cards.escape import url
from hf_toedit.config import URL_LIST
from hf_toedit.editing.piece_table import PieceTable
from hf_toedit.errors import RunError
from hf_toedit.runs.plan import Plan, Shard
from hf_toedit.stats import EditStats

if TYPE_CHECKING:
    from datasets import DatasetInfo, Features

    from hf_toedit.runs.store import RunFolder

_EDITED_EXAMPLES = 3
_GROUPS_LOOKED_AT = 8
"""Row groups that are read, at most, to find examples."""


class Example(NamedTuple):
    """A text of the last generation.

    Attributes:
        split: of its row.
        row: its number in the split.
        path: of the text in the row; None where a row holds one text.
        table: the text and its differences from the source.
    """

    split: str
    row: int
    path: str | None
    table: PieceTable


class ReadStats(NamedTuple):
    """Texts as the prior read them at one time.

    Attributes:
        after: generations of edits behind them; 0 is the source.
        stats: of that reading.
    """

    after: int
    stats: EditStats


@dataclass(frozen=True)
class CardData:
    """A finished run, as its card needs it.

    Attributes:
        plan: of the run.
        name: of the run folder; its address where `datasets` loads it from there.
        stats: of each generation, by split.
        result: statistics of the last generation read once more; None where it was not.
        features: the columns of the rows, as `datasets` describes them in YAML, with a name and a type each.
        infos: `dataset_info` of each generation, as `datasets` writes it.
        examples: edited texts, then one that is not.
        repo_id: `org/name` on the Hub; None for a card of the folder.
        prefix: folder of the repository that the run lies in; empty for its root.
    """

    plan: Plan
    name: str
    stats: tuple[dict[str, EditStats], ...]
    result: EditStats | None
    features: dict[str, Any]
    infos: tuple[dict[str, Any], ...]
    examples: tuple[Example, ...]
    repo_id: str | None = None
    prefix: str = ""

    @classmethod
    def from_run(cls, plan: Plan, folder: RunFolder, *, repo_id: str | None = None, prefix: str = "") -> CardData:
        """Read a finished run; a few row groups of its rows at most, however large it is.

        Args:
            plan: of the run.
            folder: of the run.
            repo_id: of the repository that it goes to.
            prefix: folder of the repository that it goes to.

        Raises:
            RunError: the run is not finished, or damaged.
        """
        stats = tuple(
            {split: folder.merged_stats(plan, generation, split) for split in plan.splits}
            for generation in plan.generations
        )
        result = folder.merged_result_stats(plan)
        if plan.run.score_result and result is None:
            raise RunError(
                f"the result of {folder.root} is not read once more in every shard, as it was planned to be. "
                f"Finish it: hf-toedit run {folder.root}"
            )
        prefix = prefix.strip("/")
        files = {generation: _files(plan, folder, generation) for generation in plan.generations}
        names = {generation: _config_name(prefix, generation) for generation in plan.generations}
        return cls(
            plan=plan,
            name=folder.name,
            stats=stats,
            result=result,
            features=dict(plan.output_features),
            infos=tuple(_info(plan, names[generation], files[generation]) for generation in plan.generations),
            examples=tuple(_examples(plan, folder, files[plan.generations[-1]])),
            repo_id=repo_id,
            prefix=prefix,
        )

    @cached_property
    def generations(self) -> list[EditStats]:
        """Statistics of each generation over all splits."""
        return [EditStats.merged(by_split.values()) for by_split in self.stats]

    @property
    def is_scored(self) -> bool:
        """Whether any token has a probability."""
        return self.generations[0].num_scored > 0

    @property
    def has_decay(self) -> bool:
        """Whether there is a first generation to hold further ones against."""
        return len(self.generations) > 1 and self.generations[0].num_selected > 0

    @property
    def readings(self) -> list[ReadStats]:
        """The source as it was read, and behind it what was read last, where that is something else."""
        last = len(self.generations)
        later = ReadStats(last - 1, self.generations[-1]) if self.result is None else ReadStats(last, self.result)
        both = [ReadStats(0, self.generations[0]), *([later] if later.after else [])]
        return [reading for reading in both if reading.stats.num_scored]

    @property
    def source_repo(self) -> str | None:
        """The Hub dataset that the source is, or that names its files, as `org/name`; None where it is none."""
        from hf_toedit.sources.resolve import hub_dataset

        if self.plan.reading.root is not None:
            return None
        source = self.plan.source.source
        return hub_dataset(source if source.startswith(URL_LIST) else self.plan.files[0].path)

    @property
    def place(self) -> str:
        """What loads the run: its repository, or its folder, which no name of a format or of a Hub dataset hides."""
        return self.repo_id or (self.name if self.name.startswith("hf://") else f"./{self.name}")

    @property
    def prior_repo(self) -> str | None:
        """The Hub model that the prior is; None where it is none."""
        return self.plan.prior.prior if self.plan.prior.revision else None

    def config_name(self, generation: int) -> str:
        """How a generation is called in `load_dataset`."""
        return _config_name(self.prefix, generation)

    def path(self, inner: str) -> str:
        """Where a file of the run lies in the repository."""
        return str(PurePosixPath(self.prefix) / inner)

    def link(self, inner: str) -> str:
        """The same, as links have it."""
        return url(self.path(inner))


def _config_name(prefix: str, generation: int) -> str:
    return "-".join([*(prefix.split("/") if prefix else ()), f"gen{generation}"])


class _File(NamedTuple):
    """The Parquet file of a shard."""

    shard: Shard
    num_rows: int
    num_bytes: int
    download_size: int


def _files(plan: Plan, folder: RunFolder, generation: int) -> list[_File]:
    """What the footers of a generation's files say."""
    import pyarrow as pa

    from hf_toedit.storage.files import each

    sizes = folder.data_sizes(generation)

    def read(shard: Shard) -> _File:
        try:
            with folder.parquet(generation, shard) as file:
                footer = file.metadata
                num_bytes = sum(footer.row_group(group).total_byte_size for group in range(footer.num_row_groups))
                return _File(shard, footer.num_rows, num_bytes, sizes[f"{shard.name}.parquet"])
        except (OSError, pa.ArrowException) as error:
            path = folder.data_path(generation, shard)
            raise RunError(f"{path} cannot be read: {error}. Delete it, then: hf-toedit run {folder.root}") from error

    return [file for _, file in each(read, plan.shards, folder.root)]


def _info(plan: Plan, config_name: str, files: list[_File]) -> dict[str, Any]:
    """`dataset_info` of a generation."""
    from datasets import DatasetInfo, SplitDict, SplitInfo

    splits = SplitDict()
    for split in plan.splits:
        own = [file for file in files if file.shard.split == split]
        num_bytes, num_rows = sum(file.num_bytes for file in own), sum(file.num_rows for file in own)
        splits.add(SplitInfo(split, num_bytes, num_rows))
    info = DatasetInfo(
        features=plan.output_features,
        splits=splits,
        download_size=sum(file.download_size for file in files),
        dataset_size=sum(file.num_bytes for file in files),
    )
    return {"config_name": config_name, **yaml_info(info)}


def yaml_info(info: DatasetInfo) -> dict[str, Any]:
    """`dataset_info` as a card has it; without features where `datasets` would not read from YAML what it wrote."""
    written = info._to_yaml_dict()
    if info.features is not None and not _survives_yaml(info.features):
        del written["features"]
    return {name: value for name, value in written.items() if value is not None}


def _survives_yaml(features: Features) -> bool:
    try:
        return bool(type(features)._from_yaml_list(features._to_yaml_list()) == features)
    except (TypeError, ValueError, KeyError, AttributeError):
        return False


def _examples(plan: Plan, folder: RunFolder, files: list[_File]) -> Iterator[Example]:
    """Edited texts of the last generation and one that is not edited, from row groups that the seed chooses."""
    edited: list[Example] = []
    unedited: list[Example] = []
    draw = random.Random(plan.edit.seed)
    for group in _row_groups(plan, folder, files, draw):
        found = list(group)
        for kept, wanted, kind in ((edited, _EDITED_EXAMPLES, True), (unedited, 1, False)):
            alike = [example for example in found if bool(example.table.edits) is kind]
            kept += draw.sample(alike, min(wanted - len(kept), len(alike)))
        if len(edited) == _EDITED_EXAMPLES and unedited:
            break
    order = {split: number for number, split in enumerate(plan.splits)}
    yield from sorted(edited, key=lambda example: (order[example.split], example.row, example.path or ""))
    yield from unedited


def _row_groups(plan: Plan, folder: RunFolder, files: list[_File], draw: random.Random) -> Iterator[Iterator[Example]]:
    """The texts of a few row groups, drawn."""
    if plan.run.edit_log_column is None:
        return
    firsts = _first_rows(files)
    num_left = _GROUPS_LOOKED_AT
    for file in draw.sample(files, len(files)):
        with folder.parquet(plan.generations[-1], file.shard) as parquet:
            lengths = [parquet.metadata.row_group(group).num_rows for group in range(parquet.num_row_groups)]
            for group in draw.sample(range(len(lengths)), min(len(lengths), num_left)):
                yield _texts(plan, parquet, group, file.shard.split, firsts[file.shard.name] + sum(lengths[:group]))
                num_left -= 1
        if num_left == 0:
            return


def _first_rows(files: list[_File]) -> Mapping[str, int]:
    """The number in its split of the first row of each shard."""
    firsts: dict[str, int] = {}
    ends: dict[str, int] = {}
    for file in files:
        firsts[file.shard.name] = ends.get(file.shard.split, 0)
        ends[file.shard.split] = firsts[file.shard.name] + file.num_rows
    return firsts


def _texts(plan: Plan, parquet: Any, group: int, split: str, first: int) -> Iterator[Example]:
    from hf_toedit.rows.rows import piece_tables
    from hf_toedit.rows.texts import Texts
    from hf_toedit.sources.row_groups import row_group_tables

    texts = Texts(plan.source)
    log_column = plan.run.edit_log_column or ""
    columns = [*texts.columns(plan.reading.features), log_column]
    for rows in row_group_tables(parquet, [group], columns):
        for text, table in zip(texts.read(rows), piece_tables(rows, texts, log_column), strict=True):
            if table is not None and (table.edits or table.text.strip()):
                yield Example(split, first + text.row, None if texts.one_a_row else text.label, table)
        first += len(rows)
