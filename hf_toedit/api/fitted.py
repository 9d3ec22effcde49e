"""Scorers that are fitted to data before they score rows."""

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
    """Fit importance weights of a source for a target, after counting the n-grams of both.

    Args:
        source: Source to select from.
        target: Data that the selected rows should resemble.
        folder: Run folder whose steps these are.
        engines: Creates the engine of each task.
        progress: Show progress bars.
        shape: How the source is split into shards.

    Raises:
        UsageError: The target is the source, or one of them has no words.
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
    """Fit densities to a sample of the texts of a source.

    Args:
        source: Source to select from.
        folder: Run folder whose step this is, on this machine.
        shape: How the source is split into shards.
        seed: Random seed for the sample.

    Raises:
        UsageError: The folder is not on this machine, or no text has a word.
    """
    from hf_toedit.api.sampled import sample_texts
    from hf_toedit.scorers.density import DensityConfig

    if "://" in folder:
        raise UsageError("--by density keeps a file beside the run, which must be on this machine. Name a folder here.")
    task = MeasureTask()
    texts = sample_texts(RunRequest(source, task, **shape).plan(task.resolved), seed % 2**64)  # NumPy's are positive
    if not any(map(words, texts)):
        raise UsageError("no text of the source has a word. Name the column of its texts with --text-column.")
    path = Path(step_folder(folder, "density.npz"))
    path.parent.mkdir(parents=True, exist_ok=True)
    return DensityConfig.fitted(texts, path)
