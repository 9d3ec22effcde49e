"""`load_dataset` and its builder `ToEdit`: a dataset that is edited as it is loaded, and cached.

Nothing here depends on private parts of `datasets`; `load_dataset("toedit")` of `datasets` itself, which does, is made
known to it in `registration.py`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from itertools import accumulate, pairwise
from os import PathLike, getpid
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import datasets.config
import pyarrow as pa
from datasets import (
    ArrowBasedBuilder,
    BuilderConfig,
    Dataset,
    DatasetDict,
    DatasetInfo,
    IterableDataset,
    IterableDatasetDict,
    SplitGenerator,
)
from datasets.exceptions import DatasetGenerationError

from hf_toedit.checked import checked
from hf_toedit.config import (
    Backend,
    Dtype,
    EditConfig,
    EditSettings,
    PriorConfig,
    Resources,
    RunConfig,
    SourceConfig,
    content_hash,
)
from hf_toedit.datasets_api.workers import for_rank, rank, turn
from hf_toedit.editing.editor import Editor
from hf_toedit.editing.selection import own_revisions
from hf_toedit.errors import SourceError, ToEditError, UsageError
from hf_toedit.hub import is_out_of_reach
from hf_toedit.priors.fit import check_draw
from hf_toedit.priors.registry import load_prior
from hf_toedit.rows.rows import edit_batch, edit_table, grouped, output_features
from hf_toedit.rows.texts import Texts
from hf_toedit.runs.planning import make_plan
from hf_toedit.settings import PriorSettings, ResourceSettings, SourceSettings, check_known
from hf_toedit.sources.model import SourceFile
from hf_toedit.sources.resolve import hub_dataset
from hf_toedit.sources.source import Source, open_source
from hf_toedit.sources.stamps import content_revision
from hf_toedit.tasks.edit import EditTask
from hf_toedit.version import __version__

if TYPE_CHECKING:
    from typing_extensions import Unpack

logger = logging.getLogger(__name__)

Loaded: TypeAlias = Dataset | DatasetDict | IterableDataset | IterableDatasetDict
Rows = tuple[SourceFile, int, int | None]
"""Rows `[start, stop)` of a file; to its end where `stop` is None."""

_FOREIGN = {
    "data_files": "Name files, or a glob of them, with source.",
    "data_dir": "Name a folder with source.",
    "features": "Features are those of the source; cast the result instead.",
    "token": "Log in with `hf auth login`, or set HF_TOKEN.",
    "storage_options": "Configure fsspec instead.",
}
"""What other builders of `datasets` take, and what to do here."""


class LoadSettings(EditSettings, PriorSettings, ResourceSettings, SourceSettings, total=False):
    """The settings of `ToEditConfig` as keyword arguments, for type checkers and editors; a test compares the two."""

    source_split: str | None
    generations: int
    edit_log_column: str | None
    preset: str


def load_dataset(
    source: str | PathLike[str],
    *,
    split: Any = None,
    streaming: bool = False,
    num_proc: int | None = None,
    cache_dir: str | None = None,
    config_name: str | None = None,
    **settings: Unpack[LoadSettings],
) -> Loaded:
    """Edit a dataset while loading it: `datasets.load_dataset`, with the texts edited and the edit log beside them.

    The result is cached under the commits of source and prior and all settings: the same call again reads the cache,
    and any other edits anew. Where the Hub does not answer, the same call gives what it gave the last time.

    Args:
        source: path, glob, `save_to_disk` folder, Hub id, `hf://` path, or `sample` for the bundled sample.
        split: as `datasets` has it; where one split is named, the others are not edited.
        streaming: edit as rows are read, and cache nothing.
        num_proc: processes, each with a prior of its own.
        cache_dir: where the result is kept; that of `datasets` by default.
        config_name: configuration (subset) of a Hub dataset.
        **settings: see `ToEditConfig`.

    Returns:
        A dataset, or one a split where no split is named; iterable ones where streaming.

    Raises:
        UsageError: a setting is unknown or out of range.
        SourceError: the source cannot be found, read, or edited as asked.
        PriorError: the prior cannot be found.
        LoadError: the prior or the source failed on the way.

    Example:
        >>> edited = load_dataset("sample", split="train", threshold=0.95)  # doctest: +SKIP
    """
    if streaming and num_proc is not None:
        raise UsageError("num_proc is for loading, not for streaming. Leave it out, and let a DataLoader have workers.")
    settings.setdefault("source_split", _one_split(split))
    builder = ToEdit(cache_dir=cache_dir, config_name=config_name, source=source, **settings)
    if streaming:
        return builder.as_streaming_dataset(split)
    builder.download_and_prepare(num_proc=num_proc)
    return builder.as_dataset(split)


class LoadError(ToEditError, DatasetGenerationError):
    """A source or a prior failed while a dataset was loaded; of `DatasetGenerationError`, so that it is not wrapped."""


class ToEditConfig(BuilderConfig):
    """What is edited at load time, and how.

    Attributes:
        source: settings of the source.
        prior: settings of the prior.
        edit: how tokens are edited.
        run: generations and log column.
        texts: which texts are edited.
        resources: what the prior may use of this machine.
        unreachable: why the source could not be looked up, where the Hub does not answer.
    """

    def __init__(
        self,
        name: str = "default",
        *,
        source: str | PathLike[str] | None = None,
        revision: str | None = None,
        source_split: str | None = None,
        limit: int | None = None,
        columns: str | Sequence[str] = (),
        text_column: str | Sequence[str] = (),
        context_columns: str | Sequence[str] = (),
        messages_column: str | None = None,
        roles: str | Sequence[str] = ("assistant",),
        prior: str | PathLike[str] = "embedded",
        prior_revision: str | None = None,
        dtype: Dtype = "auto",
        device: str = "auto",
        trust_remote_code: bool = False,
        backend: Backend = "transformers",
        prune: bool = False,
        token_budget: int | None = None,
        memory_fraction: float = 0.9,
        tensor_parallel: int = 1,
        generations: int = 1,
        edit_log_column: str | None = "toedit",
        preset: str = "toedit",
        **edit: Unpack[EditSettings],
    ) -> None:
        """Check the settings; nothing is looked at yet.

        Args:
            name: configuration (subset) of a Hub dataset.
            source: see `SourceConfig`.
            revision: of the source.
            source_split: the only split that is edited; None is all of them.
            limit: at most this many rows of each split, from the first.
            columns: the ones to keep, in this order, each a name or `name:type`; none given is all of them.
            text_column: whose texts are edited, one or several, see `TextConfig`; `text` where nothing is named.
            context_columns: read by the prior before each text, and not edited.
            messages_column: conversations to edit, instead of a text column.
            roles: whose messages are edited.
            prior: `embedded`, a local folder, or a Hub id.
            prior_revision: Branch, tag or commit of a Hub prior.
            dtype: Of the prior's weights; `auto` is float32 on a CPU and bfloat16 on a GPU.
            device: where it runs; with several GPUs `auto` gives each process its own.
            trust_remote_code: let the model's repository run its own code.
            backend: the library that runs the model, `transformers` or `vllm`.
            prune: Skip full logits for tokens that cannot be selected: same edits, sampled statistics.
            token_budget: tokens that a forward pass aims at; results do not depend on it.
            memory_fraction: share of a GPU's memory that may be used.
            tensor_parallel: GPUs that share one copy of the model; the vLLM backend only.
            generations: how often the result is edited again; the last one is loaded.
            edit_log_column: the struct column that makes edits reversible; None leaves it out.
            preset: One of `PRESETS`.
            **edit: Fields of `EditConfig`; they win over the preset.

        Raises:
            UsageError: a setting is unknown or out of range.
        """
        super().__init__(name=checked(name, str, "config_name"))
        if source is None:
            raise UsageError(
                "no dataset is named. Say load_dataset('toedit', source='org/name'), "
                "or './toedit' where a folder of that name is meant."
            )
        if not isinstance(source, str | PathLike):
            raise UsageError(
                f"source must be one name or path, not a {type(source).__name__}. A glob names many files."
            )
        check_known(edit, ToEditConfig)
        self.source = SourceConfig(
            text_columns=text_column,  # type: ignore[arg-type]
            context_columns=context_columns,  # type: ignore[arg-type]
            messages_column=messages_column,
            roles=roles,  # type: ignore[arg-type]
            source=source,  # type: ignore[arg-type]
            config_name=None if name == "default" else name,
            split=source_split,
            revision=revision,
            limit=limit,
            columns=columns,  # type: ignore[arg-type]
        )
        self.prior = PriorConfig(prior, prior_revision, dtype, device, trust_remote_code, backend, prune)  # type: ignore[arg-type]
        self.edit = EditConfig.from_preset(preset, **edit)
        check_draw(self.prior, self.edit)
        self.run = RunConfig(generations, edit_log_column)
        self.texts = Texts(self.source)
        self.resources = Resources(token_budget, memory_fraction, tensor_parallel)
        self.unreachable: SourceError | None = None

    @cached_property
    def opened(self) -> Source:
        """The source, found and pinned.

        Raises:
            SourceError: it cannot be found, read, or edited as asked.
        """
        source = open_source(self.source)
        self.texts.check(source.features, self.run.edit_log_column)
        return source

    @cached_property
    def pinned_prior(self) -> tuple[PriorConfig, str]:
        """Settings of the prior, commit and dtype resolved, and what pins it.

        Raises:
            PriorError: there is no such prior.
        """
        import torch

        from hf_toedit.priors.registry import pinned

        config, revision = pinned(self.prior)
        if config.dtype == "auto":
            # A mere count: to ask more of CUDA here would keep it from the processes that are forked from this one.
            on_cpu = config.device == "cpu" or (config.device == "auto" and not torch.cuda.device_count())
            config = replace(config, dtype="float32" if on_cpu else "bfloat16")
        return config, revision

    def create_config_id(self, config_kwargs: dict[str, Any], custom_features: Any = None) -> str:
        """What the cache is keyed by: the source and the prior as they are now, and all settings.

        Where the Hub does not tell what a source is now, by what was asked for, see `asked`.
        """
        try:
            source = self.opened
        except SourceError as error:
            if not (is_out_of_reach(error) and hub_dataset(self.source.source)):
                raise
            self.unreachable = error
            return self.asked
        # The commit of a list of addresses does not pin the files behind them; their stamps do. The name of the source
        # and where it is are left out: a copy with the same content is answered from the cache.
        found = {
            "source": None,
            "revision": source.revision,
            "split": content_revision(source.splits),
            "reading": asdict(source.reading.without_places),
        }
        return f"{self.name}-{self._hash(found)}"

    @property
    def asked(self) -> str:
        """Stands for what was asked for, whatever the source is now; the name of a file."""
        return f"asked-{self._hash({})}"

    def _hash(self, source: dict[str, Any]) -> str:
        prior, prior_revision = self.pinned_prior
        facts = {
            "source": {**self.source.to_json(), **source},
            "prior": {**prior.to_json(), "revision": prior_revision, "device": None},
            "edit": {**self.edit.to_json(), **({"own": own} if (own := own_revisions(self.edit)) else {})},
            "run": self.run.to_json(),
            "version": __version__,
        }
        return content_hash(facts)[:32]


class ToEdit(ArrowBasedBuilder):
    """Builder of `datasets` whose rows are those of a source, edited; see `ToEditConfig`."""

    BUILDER_CONFIG_CLASS = ToEditConfig

    def __init__(self, cache_dir: str | PathLike[str] | None = None, *args: Any, **options: Any) -> None:
        """Check the settings, find and pin source and prior; nothing is loaded yet.

        Args:
            cache_dir: see `DatasetBuilder`.
            *args: see `DatasetBuilder`.
            **options: see `DatasetBuilder` and `ToEditConfig`.

        Raises:
            UsageError, SourceError, PriorError: see `load_dataset`.
        """
        for name, advice in _FOREIGN.items():
            if options.get(name):
                raise UsageError(f"{name} cannot be set for a dataset that is edited at load time. {advice}")
        self._num_proc = 1
        self._home = getpid()
        self._editor: tuple[int, Editor] | None = None
        self._cached = Path(cache_dir or datasets.config.HF_DATASETS_CACHE).expanduser() / "toedit"
        super().__init__(cache_dir, *args, **{**options, "dataset_name": "toedit"})

    def download_and_prepare(self, *args: Any, num_proc: int | None = None, **options: Any) -> None:
        """Edit the source into the cache, where it is not there yet; see `DatasetBuilder`."""
        self._num_proc = num_proc or 1
        super().download_and_prepare(*args, num_proc=num_proc, **options)
        if (self._cached / self.config_id).is_dir() and self.config.unreachable is None:
            (self._cached / self.config.asked).write_text(self.config_id, encoding="utf-8")

    def _info(self) -> DatasetInfo:
        config = self.config
        if config.unreachable is not None:
            self.config_id = self._last_time(config.unreachable)
            return DatasetInfo()  # the cache knows more
        return DatasetInfo(features=output_features(config.opened.features, config.texts, config.run.edit_log_column))

    def _last_time(self, unreachable: SourceError) -> str:
        """Where the result of the same call lies in the cache, from the last time that the Hub answered.

        Raises:
            SourceError: nowhere.
        """
        told = self._cached / self.config.asked
        config_id = told.read_text(encoding="utf-8") if told.is_file() else ""
        if not config_id or not (self._cached / config_id).is_dir():
            raise unreachable
        logger.warning("the Hub does not answer: %s comes from the cache.", self.config.source.source)
        return config_id

    def _split_generators(self, dl_manager: Any) -> list[SplitGenerator]:
        in_parallel = self._num_proc > 1 and not dl_manager.is_streaming
        shards = self._equal_shards() if in_parallel else self._file_shards()
        return [SplitGenerator(name=split, gen_kwargs={"shards": found}) for split, found in shards.items()]

    def _file_shards(self) -> dict[str, list[tuple[Rows, ...]]]:
        """Each file as a shard, by split: without reading any of them, unless only the first rows are asked for."""
        source, limit = self.config.opened, self.config.source.limit
        if limit is None:
            return {split: [((file, 0, None),) for file in files] for split, files in source.splits.items()}
        columns = self.config.texts.columns(source.features)
        extents = {split: source.extents(split, columns, limit=limit) for split in source.splits}
        return {split: [((extent.file, 0, extent.num_rows),) for extent in found] for split, found in extents.items()}

    def _equal_shards(self) -> dict[str, list[tuple[Rows, ...]]]:
        """A shard for each process, by split, of about the same amount of text."""
        config, source = self.config, self.config.opened
        columns, limit = config.texts.columns(source.features), config.source.limit
        prior, prior_revision = config.pinned_prior
        plan = make_plan(
            source_config=config.source,
            source_revision=source.revision,
            reading=source.reading,
            extents={
                split: source.extents(split, columns, limit=limit, num_shards=self._num_proc) for split in source.splits
            },
            task=EditTask(prior, config.edit, config.run, prior_revision),
            version=__version__,
            num_shards=self._num_proc,
        )
        shards: dict[str, list[tuple[Rows, ...]]] = {split: [] for split in plan.splits}
        for shard in plan.shards:
            shards[shard.split].append(tuple((plan.files[file], start, stop) for file, start, stop in shard.pieces))
        return shards

    def _generate_more_gen_kwargs(self, shards: list[tuple[Rows, ...]]) -> Iterator[dict[str, list[tuple[Rows, ...]]]]:
        """Each row group of a Parquet file as a shard, for `IterableDataset.reshard`."""
        for file, start, stop in (rows for shard in shards for rows in shard):
            footer = self.config.opened.reader.footer(file)
            groups = range(0 if footer is None else footer.num_row_groups)
            ends = accumulate(footer.row_group(group).num_rows for group in groups)
            inner = [end for end in ends if start < end and (stop is None or end < stop)]
            if stop is None and inner:
                inner.pop()
            for first, last in pairwise([start, *inner, stop]):
                yield {"shards": [((file, first, last),)]}

    def _generate_tables(self, shards: list[tuple[Rows, ...]]) -> Iterator[tuple[tuple[int, int], pa.Table]]:
        for index, shard in enumerate(shards):
            tables = enumerate(self._edited(shard))
            while (found := self._next(tables)) is not None:
                yield (index, found[0]), found[1]

    def _next(self, tables: Iterator[tuple[int, pa.Table]]) -> tuple[int, pa.Table] | None:
        try:
            with turn():
                return next(tables, None)
        except ToEditError as error:
            raise LoadError(str(error)) from error

    def _edited(self, shard: tuple[Rows, ...]) -> Iterator[pa.Table]:
        config = self.config
        rows = (table for piece in shard for table in config.opened.reader.tables(*piece))
        for table in grouped(rows, config.texts, edit_batch(self._loaded().prior)):
            for generation in range(1, config.run.generations + 1):
                log_column = config.run.edit_log_column
                table = edit_table(self._loaded(), table, config.texts, log_column, generation)[0]
            yield table

    def _loaded(self) -> Editor:
        """The editor of this process: one that a parent process left here may have threads or a GPU that are gone."""
        here = getpid()
        if self._editor is None or self._editor[0] != here:
            config = for_rank(self.config.pinned_prior[0], None if here == self._home else rank())
            prior = load_prior(config, self.config.resources)
            self._editor = here, Editor(prior, self.config.edit)
        return self._editor[1]

    def __getstate__(self) -> dict[str, Any]:
        """All but the model: what other processes and copies get."""
        return {**super().__getstate__(), "_editor": None}


def _one_split(split: Any) -> str | None:
    """The one split that is asked for, whole or a slice; None where that may be several."""
    found = re.fullmatch(r"(\w+(?:\.\w+)*)(?:\[.*\])?", "" if split is None else str(split))
    return None if found is None or found[1] == "all" else found[1]
