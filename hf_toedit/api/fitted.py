"""Scorers that are fitted to data before they score."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_toedit.api.begin import do_by
from hf_toedit.api.request import RunRequest
from hf_toedit.api.scored import step_folder
from hf_toedit.engines.elsewhere import each_done
from hf_toedit.errors import UsageError
from hf_toedit.features.ngrams import words
from hf_toedit.tasks.measure import MeasureTask

if TYPE_CHECKING:
    from hf_toedit.api.begin import Engines
    from hf_toedit.api.run import Run
    from hf_toedit.config import SourceConfig
    from hf_toedit.features.text_stats import TextStats
    from hf_toedit.scorers.density import DensityConfig
    from hf_toedit.scorers.dsir import DsirConfig


def fitted_dsir(
    source: SourceConfig,
    target: SourceConfig,
    folder: str,
    engines: Engines,
    progress: bool,
    shape: Mapping[str, Any],
) -> DsirConfig:
    """Importance weights of a source for a target: n-grams of both are counted first.

    Args:
        source: what is selected from.
        target: what the rows are to be like.
        folder: of the run to which these are steps.
        engines: make what does the work.
        progress: show bars.
        shape: how the source is cut into shards.

    Raises:
        UsageError: the target is the source, or one of them has no words.
    """
    from hf_toedit.scorers.dsir import DsirConfig

    asked = {"target": RunRequest(target, MeasureTask()), "source": RunRequest(source, MeasureTask(), **shape)}
    runs: dict[str, Run[TextStats]] = each_done(
        {name: partial(do_by, request, step_folder(folder, name), engines, progress) for name, request in asked.items()}
    )
    wanted, raw = (run.stats().ngrams.both.sum(axis=0) for run in runs.values())
    if (wanted == raw).all():
        raise UsageError(
            f"the target {target.source} has the same words as the source, so that no row is more like it than "
            f"another. Name another target, or other texts of it with --target-column."
        )
    return DsirConfig.fitted(target.source, runs["target"].plan.source_revision, wanted, raw)


def fitted_density(source: SourceConfig, folder: str, shape: Mapping[str, Any], seed: int) -> DensityConfig:
    """Densities among texts of a source: a sample of them is counted first.

    Args:
        source: what is selected from.
        folder: of the run to which this is a step, on this machine.
        shape: how the source is cut into shards.
        seed: of the sample.

    Raises:
        UsageError: the folder is not on this machine, or no text has a word.
    """
    from hf_toedit.api.sampled import sample_texts
    from hf_toedit.scorers.density import DensityConfig

    if "://" in folder:
        raise UsageError("--by density keeps a file beside the run, which must be on this machine. Name a folder here.")
    task = MeasureTask()
    texts = sample_texts(RunRequest(source, task, **shape).plan(task.resolved), seed)
    if not any(map(words, texts)):
        raise UsageError("no text of the source has a word. Name the column of its texts with --text-column.")
    path = Path(step_folder(folder, "density.npz"))
    path.parent.mkdir(parents=True, exist_ok=True)
    return DensityConfig.fitted(texts, path)
