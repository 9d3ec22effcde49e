"""How a run begins: its source and prior found and pinned, its shards cut."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_toedit.api.engine import Workers, local_engine
from hf_toedit.api.run import Run
from hf_toedit.checked import kinds
from hf_toedit.config import EditConfig, EditSettings, PriorConfig, Resources, RunConfig, SourceConfig
from hf_toedit.editing.selection import own_facts
from hf_toedit.errors import RunError, UsageError, did_you_mean
from hf_toedit.priors.fit import check_draw
from hf_toedit.priors.registry import resolved
from hf_toedit.rows.texts import Texts
from hf_toedit.runs.plan import Plan
from hf_toedit.runs.planning import make_plan
from hf_toedit.runs.provenance import provenance
from hf_toedit.runs.store import RunFolder
from hf_toedit.runs.work import swept, waiting
from hf_toedit.settings import PriorSettings, SourceSettings
from hf_toedit.sources.parquet import check_storable
from hf_toedit.sources.source import open_source
from hf_toedit.version import __version__

if TYPE_CHECKING:
    from typing_extensions import Unpack

SHARD_SIZE = "256MB"
"""Text that a shard aims at."""


class RunSettings(EditSettings, PriorSettings, SourceSettings, total=False):
    """What `plan` and `edit` take as keyword arguments, named as on the command line."""

    config_name: str | None
    split: str | None
    generations: int
    edit_log_column: str | None
    score_result: bool
    preset: str
    shard_size: str
    num_shards: int | None


DEFAULTS: dict[str, Any] = {
    "config_name": None,
    "split": None,
    "revision": None,
    "limit": None,
    "columns": (),
    "text_column": (),
    "context_columns": (),
    "messages_column": None,
    "roles": ("assistant",),
    "prior": "embedded",
    "prior_revision": None,
    "dtype": "auto",
    "device": "auto",
    "trust_remote_code": False,
    "backend": "transformers",
    "prune": False,
    "preset": "toedit",
    "generations": 1,
    "edit_log_column": "toedit",
    "score_result": False,
    "shard_size": SHARD_SIZE,
    "num_shards": None,
}
"""Of `RunSettings`, save the fields of `EditConfig`, which have theirs there."""


def plan(source: str | PathLike[str], folder: str | PathLike[str], **settings: Unpack[RunSettings]) -> Run:
    """Plan how a dataset is edited, as `hf-toedit plan` does; `Run.execute` then does it.

    Args:
        source: path, glob, folder, Hub id, `hf://` path, `urls:` and the path of a list, or `sample`.
        folder: of the run, new or of the same run; on this machine, or an address in storage.
        **settings: of the source (`config_name`, `split`, `revision`, `limit`, `columns`), of its texts (`text_column`,
            `context_columns`, `messages_column`, `roles`), of the prior (`prior`, `prior_revision`, `dtype`, `device`,
            `trust_remote_code`, `backend`, `prune`), of the run (`generations`, `edit_log_column`, `score_result`,
            `shard_size`, `num_shards`), `preset`, and the fields of `EditConfig`.

    Raises:
        UsageError: a setting is unknown or out of range.
        SourceError: the source cannot be found, read, or edited as asked.
        PriorError: the prior cannot be found.
        RunError: the folder cannot be written, or holds another run; the settings that differ are named.

    Example:
        >>> plan("sample", "run", generations=2).execute()  # doctest: +SKIP
    """
    asked = _Asked(fspath(source), settings)
    there = new_folder(fspath(folder), asked.source)
    there.open(asked.plan(lambda: resolved(asked.prior)))
    return Run(there, there.plan())


def edit(
    source: str | PathLike[str],
    folder: str | PathLike[str],
    *,
    workers: Workers = "auto",
    token_budget: int | None = None,
    memory_fraction: float = 0.9,
    tensor_parallel: int = 1,
    progress: bool = True,
    **settings: Unpack[RunSettings],
) -> Run:
    """Edit a dataset into a run folder, as `hf-toedit edit` does; what was interrupted goes on.

    Args:
        source: see `plan`, as are `folder` and the settings.
        folder: of the run.
        workers: processes; `auto` is one a GPU, or one on a CPU; 0 edits in this process.
        token_budget: see `Resources`, as are `memory_fraction` and `tensor_parallel`.
        memory_fraction: share of a GPU's memory that may be used.
        tensor_parallel: GPUs that share one copy of the prior.
        progress: show a bar, in a terminal or a notebook.
        **settings: see `plan`.

    Raises:
        UsageError, SourceError, PriorError: as of `plan`.
        RunError: as of `plan`; or shards failed, or no text could be read. What is done is kept.

    Example:
        >>> run = edit("sample", "run", workers=0, seed=1)  # doctest: +SKIP
        >>> run.stats().changed_rate  # doctest: +SKIP
    """
    asked = _Asked(fspath(source), settings)
    there = new_folder(fspath(folder), asked.source)
    resources = Resources(token_budget, memory_fraction, tensor_parallel)
    with swept(there), local_engine(workers, asked.prior, asked.edit, resources, progress=progress) as engine:

        def ready() -> tuple[PriorConfig, str]:
            loaded = engine.ready()
            return loaded.config, loaded.revision

        there.open(asked.plan(ready))
        run = Run(there, there.plan())
        indices = waiting(run.plan, there)
        failures = run.work(engine, indices, progress=progress) if indices else []
    if (error := run.close(failures).error) is not None:
        raise error
    return run


class _Asked:
    """The settings of `plan` and `edit`, checked."""

    def __init__(self, source: str, given: Mapping[str, Any]) -> None:
        known = [*DEFAULTS, *kinds(EditConfig)]
        for name in given:
            if name not in known:
                raise UsageError(f"unknown setting {name!r}.{did_you_mean(name, known)}")
        told = {**DEFAULTS, **{name: value for name, value in given.items() if name in DEFAULTS}}
        of_edit = {name: value for name, value in given.items() if name not in DEFAULTS}

        def some(*names: str) -> dict[str, Any]:
            return {name: told[name] for name in names}

        texts = {"text_columns": told["text_column"], **some("context_columns", "messages_column", "roles")}
        where = some("config_name", "split", "revision", "limit", "columns")
        self.source = SourceConfig.from_mapping({"source": source, **where, **texts})
        how = some("prior", "dtype", "device", "trust_remote_code", "backend", "prune")
        self.prior = PriorConfig.from_mapping({**how, "revision": told["prior_revision"]})
        self.edit = EditConfig.from_preset(told["preset"], **of_edit)
        check_draw(self.prior, self.edit)
        self.run = RunConfig.from_mapping(some("generations", "edit_log_column", "score_result"))
        self._shape = some("shard_size", "num_shards")

    def plan(self, resolve: Callable[[], tuple[PriorConfig, str]]) -> Plan:
        return resolved_plan(self.source, resolve, self.edit, self.run, **self._shape)


def new_folder(output: str | Path, source: SourceConfig) -> RunFolder:
    """The folder of a run to be made.

    Raises:
        RunError: it cannot be written to, or lies inside the source.
    """
    folder = RunFolder(output)
    folder.check()
    origin = Path(source.source).expanduser()
    if origin.is_dir() and folder.is_inside(origin):
        raise RunError(
            f"{output} is the source {source.source}, or lies inside it, and would be read as a part of it. Name "
            f"another -o."
        )
    return folder


def resolved_plan(
    source: SourceConfig,
    resolve: Callable[[], tuple[PriorConfig, str]],
    edit: EditConfig,
    run: RunConfig,
    *,
    shard_size: str = SHARD_SIZE,
    num_shards: int | None = None,
    command: str | None = None,
    license: str | None = None,
) -> Plan:
    """Find a source and plan a run over it.

    Args:
        source: settings of the source.
        resolve: called when the source is found good; answers with the prior's settings, dtype and commit resolved,
            and with what pins it.
        edit: how tokens are edited.
        run: generations and log column.
        shard_size: text that a shard aims at, as `datasets` writes sizes (`256MB`); `file` makes each file one shard.
        num_shards: shards of each split, instead.
        command: that was typed, for the card.
        license: of a source whose card names none.

    Raises:
        UsageError: the size is none, or there would be too many shards.
        SourceError: the source cannot be found, read, or edited as asked.
        PriorError: the prior cannot be found.
    """
    shard_bytes = None if shard_size == "file" else _num_bytes(shard_size)
    found = open_source(source)
    texts = Texts(source)
    texts.check(found.features, run.edit_log_column)
    check_storable(found.features)
    columns = texts.columns(found.features)
    extents = {
        split: found.extents(split, columns, limit=source.limit, shard_bytes=shard_bytes, num_shards=num_shards)
        for split in found.splits
    }
    prior, revision = resolve()
    plan = make_plan(
        source_config=source,
        source_revision=found.revision,
        reading=found.reading,
        extents=extents,
        prior_config=prior,
        prior_revision=revision,
        edit=edit,
        run=run,
        version=__version__,
        shard_bytes=shard_bytes,
        num_shards=num_shards,
    )
    facts = provenance(source, found.revision, prior, command)
    if edit.own:
        facts["own"] = own_facts(edit)
    if license is not None:
        facts["source_card"].setdefault("license", license)
    return replace(plan, provenance=facts)


def _num_bytes(size: str) -> int:
    """Bytes of `256MB` or `1GiB`, as `datasets` reads them in `max_shard_size`."""
    from datasets.utils.py_utils import convert_file_size_to_int

    try:
        num_bytes = int(size) if str(size).isdigit() else convert_file_size_to_int(size)
    except ValueError:
        num_bytes = 0
    if num_bytes <= 0:
        raise UsageError(f"shard size {size!r} is not a size. Write it as 256MB or 1GiB, or say file.")
    return num_bytes
