"""Comparison of datasets, as in `hf-toedit compare`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from hf_toedit.analysis.report import JSON, TITLE, markdown_report
from hf_toedit.api.begin import do_by, do_planned
from hf_toedit.api.engine import Workers, local_engine
from hf_toedit.api.named import check_names, shown_priors, shown_source, source_of
from hf_toedit.api.report_folder import as_json, report_folder, write_whole_report
from hf_toedit.api.request import RunRequest
from hf_toedit.api.run import Run
from hf_toedit.checked import checked
from hf_toedit.config import PriorConfig, Resources, SourceConfig
from hf_toedit.errors import UsageError
from hf_toedit.runs.store import is_run
from hf_toedit.settings import SourceSettings

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from hf_toedit.analysis.variant import Variant
    from hf_toedit.api.begin import Engines
    from hf_toedit.api.edited import Edited
    from hf_toedit.features.text_stats import TextStats
    from hf_toedit.runs.task import Task

WORK = "work"
"""Folder of a report with the runs of its variants, which continue where they stopped."""

_Seed = Annotated[int, Meta(ge=0, le=2**32 - 1)]
"""Range of the seeds of NumPy and scikit-learn."""

_MEASURE = "measure"
"""Folder in which a variant is measured."""


class CompareSettings(SourceSettings, total=False):
    """Keyword arguments of `compare` that apply to all of its variants."""

    split: str | None


def compare(
    variants: Mapping[str, str | PathLike[str]],
    folder: str | PathLike[str],
    *,
    priors: Sequence[str | PathLike[str]] = (),
    embedder: str | PathLike[str] | None = None,
    epsilon: float | None = None,
    sample: int | None = None,
    seed: int = 0,
    workers: Workers = "auto",
    token_budget: int | None = None,
    engines: Engines | None = None,
    progress: bool = True,
    **settings: Unpack[CompareSettings],
) -> dict[str, Any]:
    """Report how datasets differ from the first of them, as `hf-toedit compare` does; an interrupted call is continued.

    Args:
        variants: Names and sources, see `plan`; `RUN:gen2` is a pass of a run folder. The first one is the reference.
        folder: Report folder: `report.md`, `report.html`, `report.json`, `assets/`, and `work/`, which may be deleted.
        priors: Priors that score all texts, so that perplexities are compared as well.
        embedder: Model that embeds some documents, whose vectors are compared and plotted: one of
            `sentence-transformers` (`model2vec` included), or a causal language model, by its mean last hidden states.
            Needs the extra `analysis`.
        epsilon: Bits of KL divergence up to which data are semi-synthetic (Zhu et al. 2024, Eq. 9); None is twice the
            noise floor.
        sample: Number of rows to sample evenly from each source: each file contributes its share. None is all rows.
        seed: Random seed.
        workers: Number of worker processes; see `edit`.
        token_budget: Target number of tokens per forward pass.
        engines: Creates the engine of each task, such as a `RayEngine`, instead of that of this machine.
        progress: Show progress bars.
        **settings: Settings of all sources (`split`, `limit`, `columns`) and of their texts (`text_column`,
            `messages_column`, `roles`, …), as in `plan`.

    Returns:
        The content of `report.json`; see `analysis.comparison.compared`.

    Raises:
        UsageError: There are fewer than two variants, one has no text, or a setting is unknown or out of range.
        SourceError: A source cannot be found, or has no texts as requested.
        PriorError: A prior cannot be loaded.
        RunError: The folder cannot be written, or contains something else.
    """
    from hf_toedit.analysis.comparison import compared
    from hf_toedit.analysis.divergence import check_epsilon
    from hf_toedit.analysis.embedding import check_embeddable
    from hf_toedit.analysis.plots import draw_plots
    from hf_toedit.analysis.similarity import similarities
    from hf_toedit.api.edited import Edited, overlaps
    from hf_toedit.api.embeddings import embedded
    from hf_toedit.engines.elsewhere import each_done

    named = {name: checked(source, str, "source") for name, source in variants.items()}
    readers = [checked(prior, str, "prior") for prior in priors]
    _check_names(named, readers)
    check_epsilon(epsilon)
    seed = checked(seed, _Seed, "seed")
    if sample is not None and sample < 1:
        raise UsageError(f"sample {sample} is out of range: it must be 1 or more. Name a number of rows.")
    target = report_folder(folder, _is_report)
    sources = {name: source_of(source, settings) for name, source in named.items()}
    if engines is None:
        engines = partial(local_engine, workers, resources=Resources(token_budget), progress=progress)
    work = _Work(target / WORK, readers, sample, seed, engines, progress)
    measured = each_done({name: partial(work.measured, name, source) for name, source in sources.items()})
    for name, run in measured.items() if embedder else ():
        check_embeddable(name, run.stats().num_read)
    edited = {name: found for name, source in named.items() if (found := Edited.of(source)) is not None}
    read = {
        name: partial(work.variant, name, named[name], sources[name], run, edited.get(name))
        for name, run in measured.items()
    }
    parts = list(each_done(read).values())
    view = embedded(parts, checked(embedder, str, "embedder"), seed, progress) if embedder else None
    similar = similarities(parts)
    figures = compared(
        parts,
        epsilon=epsilon,
        seed=seed,
        sampled_rows=sample,
        overlaps=overlaps(edited),
        view=view,
        similar=similar,
    )
    report = as_json(figures)
    write_whole_report(target, report, markdown_report(report), draw_plots(parts, similar, view), TITLE)
    return report


def measured_run(folder: str | PathLike[str], name: str) -> Run[TextStats]:
    """Open the run that measured the texts of a variant, which has more than the report: its hashed n-grams.

    Args:
        folder: Folder of the report; its `work/` is still there, and no sample was taken.
        name: Name of the variant.

    Raises:
        RunError: There is no such run.
    """
    return Run.open(Path(folder) / WORK / name / _MEASURE)


def _check_names(variants: Mapping[str, str], priors: Sequence[str]) -> None:
    if len(variants) < 2:
        raise UsageError(
            "a comparison needs two variants or more. Write them as human=org/web edited=run:gen1; the first is the "
            "reference."
        )
    check_names(variants, "variant")
    for prior in priors:
        if priors.count(prior) > 1:
            raise UsageError(f"prior {prior} is given twice. Name each prior once.")


def _is_report(folder: Path) -> bool:
    """Whether a folder contains a comparison, finished or not."""
    return (folder / JSON).exists() or any((folder / WORK).glob(f"*/{_MEASURE}*"))


@dataclass(frozen=True)
class _Work:
    """How variants are measured and scored: as runs, which continue where they stopped.

    Attributes:
        folder: Folder of the runs.
        priors: Priors that score all texts.
        num_rows: Number of rows sampled from each source; None for all.
        seed: Random seed for groups and samples.
        engines: Creates the engine of each task.
        progress: Show progress bars.
    """

    folder: Path
    priors: Sequence[str]
    num_rows: int | None
    seed: int
    engines: Engines
    progress: bool

    def measured(self, name: str, source: SourceConfig) -> Run[TextStats]:
        """Measure the texts of a variant and check that there are any, before priors score them, which takes long."""
        from hf_toedit.analysis.variant import check_texts
        from hf_toedit.tasks.measure import MeasureTask

        run: Run[TextStats] = self._done(MeasureTask(self.seed), source, f"{name}/{_MEASURE}")
        check_texts(name, source.source, run.stats())
        return run

    def variant(
        self, name: str, given: str, source: SourceConfig, measured: Run[TextStats], edited: Edited | None
    ) -> Variant:
        """Score a measured variant with each prior, unless its own run has recorded the scores.

        Args:
            name: Name of the variant.
            given: Name of its source as given by the user.
            source: Settings of its source.
            measured: The run that measured it.
            edited: The generation of an edit run that it is; None if it is not one.
        """
        from hf_toedit.analysis.variant import Variant, check_reading
        from hf_toedit.api.sampled import sample_texts
        from hf_toedit.tasks.read import ReadTask

        readings = {}
        for prior, shown_prior in shown_priors(self.priors).items():
            config = PriorConfig(prior)
            # Runs do not record single texts, which agreement between priors needs.
            known = (
                edited.reading(config, source) if edited and self.num_rows is None and len(self.priors) == 1 else None
            )
            reading = known or self._done(ReadTask(config), source, f"{name}/read-{_short_hash(prior)}").stats()
            check_reading(name, prior, reading)
            readings[shown_prior] = reading
        texts = sample_texts(measured.plan, self.seed)
        generations = edited.generations() if edited else []
        plan = measured.plan
        shown = shown_source(given, plan)
        return Variant(name, shown, plan.source_revision, measured.stats(), readings, texts, generations)

    def _done(self, task: Task, source: SourceConfig, name: str) -> Run[Any]:
        """Execute a run over all rows, or over the sampled ones, which have a folder of their own."""
        asked = RunRequest(source, task)
        if self.num_rows is None:
            return do_by(asked, str(self.folder / name), self.engines, self.progress)
        from hf_toedit.api.sampled import sampled_shards

        folder = str(self.folder / f"{name}-{self.num_rows}-{self.seed}")
        plan = asked.plan(task.resolved)
        shards = Run.open(folder).plan.shards if is_run(folder) else sampled_shards(plan, self.num_rows, self.seed)
        return do_planned(replace(plan, shards=shards), folder, self.engines, self.progress)


def _short_hash(name: str) -> str:
    """Hash the name of a prior, which may contain any character, for use in a folder name."""
    return hashlib.sha256(name.encode()).hexdigest()[:10]
