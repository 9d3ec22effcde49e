"""The data of a run's card, read only from the run folder. No wording."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from hf_toedit.cards.escape import url
from hf_toedit.config import URL_LIST
from hf_toedit.errors import RunError
from hf_toedit.mergeable import Statistics
from hf_toedit.program import command_line
from hf_toedit.runs.passes import Pass
from hf_toedit.runs.plan import Plan, Shard

if TYPE_CHECKING:
    from datasets import DatasetInfo, Features
    from typing_extensions import Self

    from hf_toedit.runs.store import RunFolder


@dataclass(frozen=True)
class CardData:
    """A finished run, with the data that the card of any task needs.

    Attributes:
        plan: The run's plan.
        name: Name of the run folder; its address if `datasets` loads it from there.
        stats: Statistics of each pass that writes rows, by split.
        features: Columns of the rows, as `datasets` describes them in YAML, each with a name and a type.
        infos: `dataset_info` of each of these passes, as `datasets` writes it.
        repo_id: `org/name` on the Hub; None for a card of the folder.
        prefix: Folder of the repository that contains the run; empty for its root.
    """

    plan: Plan
    name: str
    stats: tuple[dict[str, Statistics], ...]
    features: dict[str, Any]
    infos: tuple[dict[str, Any], ...]
    repo_id: str | None
    prefix: str

    @classmethod
    def from_run(cls, plan: Plan, folder: RunFolder, *, repo_id: str | None = None, prefix: str = "") -> Self:
        """Read a finished run.

        Args:
            plan: The run's plan.
            folder: The run folder.
            repo_id: Target repository.
            prefix: Target folder in the repository.

        Raises:
            RunError: The run is not finished, or is damaged.
        """
        return cls(**cls.facts(plan, folder, repo_id, prefix))

    @staticmethod
    def facts(plan: Plan, folder: RunFolder, repo_id: str | None, prefix: str) -> dict[str, Any]:
        """Return the attributes of this class by name, for `from_run` of subclasses."""
        prefix = prefix.strip("/")
        passes = plan.data_passes
        return {
            "plan": plan,
            "name": folder.name,
            "stats": tuple(
                {split: folder.merged_stats(plan, pass_, split) for split in plan.splits} for pass_ in passes
            ),
            "features": dict(plan.output_features),
            "infos": tuple(
                _info(plan, _config_name(prefix, pass_), data_files(plan, folder, pass_)) for pass_ in passes
            ),
            "repo_id": repo_id,
            "prefix": prefix,
        }

    @cached_property
    def totals(self) -> list[Statistics]:
        """Statistics of each pass that writes rows, over all splits."""
        return [self.plan.task.statistics.merged(by_split.values()) for by_split in self.stats]

    @property
    def source_repo(self) -> str | None:
        """Hub dataset of the source or of its listed files, as `org/name`; None if there is none."""
        from hf_toedit.sources.resolve import hub_dataset

        if self.plan.reading.root is not None:
            return None
        source = self.plan.source.source
        return hub_dataset(source if source.startswith(URL_LIST) else self.plan.files[0].path)

    @property
    def place(self) -> str:
        """Argument that loads the run: its repository, or its folder as a path that no format or Hub dataset hides."""
        return self.repo_id or (self.name if self.name.startswith("hf://") else f"./{self.name}")

    @property
    def model_repo(self) -> str | None:
        """Hub model that the task needs, as `org/name`; None if there is none."""
        model = self.plan.task.model
        return model.name if model and model.commit else None

    def config_name(self, pass_: Pass) -> str:
        """Return the config name of a pass in `load_dataset`."""
        return _config_name(self.prefix, pass_)

    def path(self, inner: str) -> str:
        """Return the path of a run file in the repository."""
        return str(PurePosixPath(self.prefix) / inner)

    def link(self, inner: str) -> str:
        """Return the path of a run file in the repository, quoted for links."""
        return url(self.path(inner))


def _config_name(prefix: str, pass_: Pass) -> str:
    return "-".join([*(prefix.split("/") if prefix else ()), pass_.name])


class DataFile(NamedTuple):
    """The Parquet file of a shard."""

    shard: Shard
    num_rows: int
    num_bytes: int
    download_size: int


def data_files(plan: Plan, folder: RunFolder, pass_: Pass) -> list[DataFile]:
    """Read the sizes of a pass's files from their footers.

    Raises:
        RunError: A file cannot be read.
    """
    import pyarrow as pa

    from hf_toedit.storage.files import each

    sizes = folder.data_sizes(pass_)

    def read(shard: Shard) -> DataFile:
        try:
            with folder.parquet(pass_, shard) as file:
                footer = file.metadata
                num_bytes = sum(footer.row_group(group).total_byte_size for group in range(footer.num_row_groups))
                return DataFile(shard, footer.num_rows, num_bytes, sizes[f"{shard.name}.parquet"])
        except (OSError, pa.ArrowException) as error:
            path = folder.data_path(pass_, shard)
            damaged = f"Delete it, then: {command_line('run', folder.root)}"
            advice = "Check its permissions." if isinstance(error, PermissionError) else damaged
            raise RunError(f"{path} cannot be read: {error}. {advice}") from error

    return [file for _, file in each(read, plan.shards, folder.root)]


def _info(plan: Plan, config_name: str, files: list[DataFile]) -> dict[str, Any]:
    """Return the `dataset_info` of a pass."""
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
    """Return `dataset_info` for a card; without features if `datasets` could not read them back from YAML."""
    written = info._to_yaml_dict()
    if info.features is not None and not _survives_yaml(info.features):
        del written["features"]
    return {name: value for name, value in written.items() if value is not None}


def _survives_yaml(features: Features) -> bool:
    try:
        return bool(type(features)._from_yaml_list(features._to_yaml_list()) == features)
    except (TypeError, ValueError, KeyError, AttributeError):
        return False
