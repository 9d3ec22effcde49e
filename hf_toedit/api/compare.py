"""Datasets compared, as `hf-toedit compare` does."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_toedit.api.begin import Taken, do_run
from hf_toedit.api.engine import Workers
from hf_toedit.api.request import RunRequest
from hf_toedit.config import PriorConfig, Resources, SourceConfig
from hf_toedit.errors import RunError, UsageError
from hf_toedit.runs.store import is_run
from hf_toedit.settings import SourceSettings

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from hf_toedit.analysis.variant import Variant
    from hf_toedit.api.run import Run
    from hf_toedit.runs.plan import Plan
    from hf_toedit.runs.task import Task

WORK = "work"
"""The folder of a report in which the runs of its variants are: they go on where they were stopped."""

JSON, MARKDOWN = "report.json", "report.md"

_SAMPLE_BYTES = 4_000_000
_PLACES = 500
_SAMPLE_S = 20.0


class CompareSettings(SourceSettings, total=False):
    """What `compare` takes as keyword arguments for all of its variants."""

    split: str | None


def compare(
    variants: Mapping[str, str | PathLike[str]],
    folder: str | PathLike[str],
    *,
    priors: Sequence[str | PathLike[str]] = (),
    epsilon: float | None = None,
    seed: int = 0,
    workers: Workers = "auto",
    token_budget: int | None = None,
    progress: bool = True,
    **settings: Unpack[CompareSettings],
) -> dict[str, Any]:
    """Say how datasets differ from the first of them, as `hf-toedit compare` does; what was interrupted goes on.

    Args:
        variants: names and sources, see `plan`; `RUN:gen2` is a pass of a run folder. The first one is the reference.
        folder: of the report: `report.md`, `report.json`, `assets/`, and `work/`, which may be deleted.
        priors: each reads all texts, so that their perplexities are compared as well.
        epsilon: bits of KL divergence up to which data are semi-synthetic (Zhu et al. 2024, Eq. 9); None is twice the
            noise floor.
        seed: of random choices.
        workers: processes; see `edit`.
        token_budget: tokens that a forward pass aims at.
        progress: show bars.
        **settings: of all sources (`split`, `limit`, `columns`) and of their texts (`text_column`, `messages_column`,
            `roles`, …), as of `plan`.

    Returns:
        What `report.json` holds; see `analysis.comparison.compared`.

    Raises:
        UsageError: fewer than two variants, or a setting is unknown or out of range.
        SourceError: a source cannot be found, or has no texts as asked.
        PriorError: a prior cannot be loaded.
        RunError: the folder cannot be written, or holds something else.
    """
    from hf_toedit.analysis.comparison import compared
    from hf_toedit.analysis.report import draw_plots, markdown_report

    named = {name: fspath(source) for name, source in variants.items()}
    _check_names(named)
    if epsilon is not None and not epsilon > 0:
        raise UsageError(f"epsilon {epsilon} is out of range: it must be above 0.")
    target = Path(folder)
    _check_target(target)
    work = _Work(target / WORK, [fspath(prior) for prior in priors], seed, workers, Resources(token_budget), progress)
    found = [work.variant(name, _source(source, settings)) for name, source in named.items()]
    report = compared(found, epsilon=epsilon, seed=seed)
    files = {f"assets/{name}": image for name, image in draw_plots(report, found).items()}
    files[MARKDOWN] = markdown_report(report).encode()
    files[JSON] = (json.dumps(report, indent=2, ensure_ascii=False) + "\n").encode()
    for name, content in files.items():
        _write(target / name, content)
    return report


def parsed_variants(given: Sequence[str]) -> dict[str, str]:
    """Names and sources of `NAME=SOURCE` each.

    Raises:
        UsageError: one is not of that form, or two have the same name.
    """
    found: dict[str, str] = {}
    for variant in given:
        name, equals, source = variant.partition("=")
        if not (equals and name and source):
            raise UsageError(f"variant {variant!r} is not NAME=SOURCE. Write it as human=org/web, for one.")
        if name in found:
            raise UsageError(f"two variants are called {name!r}. Give each a name of its own.")
        found[name] = source
    return found


def _check_names(variants: Mapping[str, str]) -> None:
    if len(variants) < 2:
        raise UsageError("a comparison needs two variants or more: the first is the reference, as human=org/web.")
    for name in variants:
        if not name.replace("-", "").replace("_", "").replace(".", "").isalnum() or name.startswith("."):
            raise UsageError(f"variant name {name!r} must be of letters, digits, '-', '_' and '.'. Choose another.")


def _check_target(target: Path) -> None:
    """Refuse a folder that holds something else than a report."""
    if target.is_file():
        raise RunError(f"{target} is a file. Name a folder for the report with -o.")
    if target.is_dir() and any(target.iterdir()) and not ((target / JSON).exists() or (target / WORK).exists()):
        raise RunError(f"folder {target} is not empty and holds no report. Name a new folder with -o.")


def _source(source: str, settings: Mapping[str, Any]) -> SourceConfig:
    """The settings of a source; of `RUN:gen2`, the run folder and the configuration in it."""
    taken = Taken(settings)
    run, colon, pass_ = source.rpartition(":")
    if colon and is_run(run):
        found = taken.source(run)
        taken.rest()
        return SourceConfig.from_mapping({**_facts(found), "config_name": pass_})
    found = taken.source(source)
    taken.rest()
    return found


def _facts(config: SourceConfig) -> dict[str, Any]:
    return {field.name: getattr(config, field.name) for field in fields(config)}


@dataclass(frozen=True)
class _Work:
    """How variants are measured and read: as runs, which go on where they were stopped.

    Attributes:
        folder: of the runs.
        priors: each reads all texts.
        seed: of groups and samples.
        workers: see `edit`.
        resources: what a prior may use.
        progress: show bars.
    """

    folder: Path
    priors: Sequence[str]
    seed: int
    workers: Workers
    resources: Resources
    progress: bool

    def variant(self, name: str, source: SourceConfig) -> Variant:
        """Measure a variant, and have each prior read it."""
        from hf_toedit.analysis.variant import Variant
        from hf_toedit.tasks.measure import MeasureTask
        from hf_toedit.tasks.read import ReadTask

        measured = self._done(MeasureTask(self.seed), source, f"{name}/measure")
        readings = {
            prior: self._done(ReadTask(PriorConfig(prior)), source, f"{name}/read-{number}").stats()
            for number, prior in enumerate(self.priors, start=1)
        }
        revision, sample = measured.plan.source_revision, _sample(measured.plan, self.seed)
        return Variant(name, source.source, revision, measured.stats(), readings, sample)

    def _done(self, task: Task, source: SourceConfig, name: str) -> Run[Any]:
        asked = RunRequest(source, task)
        return do_run(asked, str(self.folder / name), self.workers, self.resources, self.progress)


def _sample(plan: Plan, seed: int) -> list[str]:
    """Texts of about 4 MB, from everywhere in a source; all of them where there are not more."""
    import numpy as np

    from hf_toedit.runs.sampling import Sampler
    from hf_toedit.runs.shard import source_rows

    if plan.num_bytes <= _SAMPLE_BYTES:
        tables = [table for shard in plan.shards for table in source_rows(plan, shard)]
    else:
        tables = [drawn.cluster.table for drawn in Sampler(plan, _PLACES, _SAMPLE_S, seed)]
        tables = [tables[index] for index in np.random.default_rng(seed).permutation(len(tables))]
    found: list[str] = []
    num_bytes = 0
    for table in tables:
        for text in plan.texts.read(table):
            if text.text and num_bytes < _SAMPLE_BYTES:
                found.append(text.text)
                num_bytes += len(text.text.encode())
    return found


def _write(path: Path, content: bytes) -> None:
    from hf_toedit.storage.files import whole_file

    with whole_file(path) as temporary:
        temporary.write_bytes(content)
