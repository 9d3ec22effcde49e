"""The models of a probe: trained, scored on held-out text, and evaluated on tasks."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_toedit.api.probing import Probing

if TYPE_CHECKING:
    from hf_toedit.probes.results import Job, Result
    from hf_toedit.probes.task_scores import TaskScores

_KEPT = "model"
"""Folder with the weights of a model that the user keeps."""

_UNTIL_EVALUATED = "until-evaluated"
"""Folder with the weights of a model that is not yet evaluated on all tasks."""

_TIMED_STEPS = 6
"""Number of training steps of a dry run."""


@dataclass
class _State:
    """What is there of a model.

    Attributes:
        folder: Its folder.
        result: Its result; None before it is trained.
        scores: Its scores on tasks.
        missing: Names of the tasks that it is not evaluated on.
        keep: Whether its weights are to be kept.
    """

    folder: Path
    result: Result | None
    scores: TaskScores | None
    missing: list[str]
    keep: bool = False

    @classmethod
    def of(cls, probing: Probing, folder: Path) -> _State:
        from hf_toedit.probes.results import Result

        harness, scores, missing = probing.harness, None, []
        if harness is not None:
            from hf_toedit.probes.task_scores import TaskScores

            scores = TaskScores.read(folder / "tasks.json", harness.limit, harness.folder)
            missing = [name for name in harness.loaded if name not in scores.found]
        return cls(folder, Result.read(folder / "result.json"), scores, missing, probing.asked.keep_models)

    @property
    def weights(self) -> Path | None:
        """Folder with the weights."""
        found = (self.folder / name for name in (_KEPT, _UNTIL_EVALUATED))
        return next((path for path in found if path.exists()), None)

    @property
    def is_waiting(self) -> bool:
        """Whether the model must be trained; again if its weights were not kept, for a new task or to keep them now."""
        is_gone = not (self.folder / _KEPT).exists() if self.keep else bool(self.missing) and self.weights is None
        return self.result is None or is_gone


def train_models(
    probing: Probing, folder: Path, progress: bool
) -> tuple[dict[Job, Result], dict[Job, TaskScores] | None]:
    """Train, score and evaluate all models that are not done; several processes only train together.

    Args:
        probing: The probe, with its tokens.
        folder: Folder of the models.
        progress: Show a progress bar.

    Returns:
        Results of all models, and their scores on tasks, None without tasks; complete in the main process only.
    """
    from hf_toedit.probes.processes import is_main, wait
    from hf_toedit.progress import counted_progress

    states = {job: _State.of(probing, folder / job.name) for job in probing.jobs}
    waiting = [job for job, state in states.items() if state.is_waiting]
    wait()  # before any of them changes
    steps = probing.num_blocks // probing.batch_size
    with counted_progress("training steps", len(waiting) * steps, not (progress and is_main())) as advance:
        for job, state in states.items():
            if job in waiting:
                _train(probing, job, state, probing.num_blocks, _counting(advance))
            if is_main():
                if state.missing:
                    _evaluate(probing, state)
                _remove(state.folder / _UNTIL_EVALUATED)
    results = {job: state.result for job, state in states.items() if state.result is not None}
    return results, {job: state.scores for job, state in states.items() if state.scores is not None} or None


def time_model(probing: Probing, scratch: Path) -> float:
    """Estimate the seconds to train and score a model on this machine, from a few training steps.

    Args:
        probing: The probe, with its tokens.
        scratch: Folder for files that are not kept.
    """
    from hf_toedit.probes.results import Job

    probing = replace(probing, asked=replace(probing.asked, report_to="none", keep_models=False))
    steps = probing.num_blocks // probing.batch_size
    few = min(steps, _TIMED_STEPS)
    job = Job(next(iter(probing.plans)), probing.asked.rates[0], 0)
    ends: list[float] = []
    state = _State(scratch / "timed", None, None, [])
    _train(probing, job, state, few * probing.batch_size, lambda _: ends.append(time.monotonic()))
    # The first step is slower; `ends` also has the time of the start.
    per_step = (ends[-1] - ends[1]) / (few - 1) if few > 1 else ends[-1] - ends[0]
    return (state.result.seconds if state.result else 0) + per_step * (steps - few)


def _train(probing: Probing, job: Job, state: _State, num_blocks: int, on_step: Callable[[int], None]) -> None:
    """Train a model, and store its result, after its weights if they are needed later."""
    from hf_toedit.probes.evaluation import evaluate, reader_of
    from hf_toedit.probes.models import check_trainable
    from hf_toedit.probes.processes import is_main
    from hf_toedit.probes.results import Result
    from hf_toedit.probes.training import remove_checkpoints, train

    begun = time.monotonic()
    asked, name = probing.asked, f"{job.variant}, rate {job.rate:g}, seed {job.seed}"
    model = probing.model.make(job.seed)
    check_trainable(model, asked.model)
    how = replace(asked, batch_size=probing.batch_size)
    trained = train(model, probing.blocks(job, num_blocks), state.folder, how, job.rate, job.seed, on_step, name)
    if not is_main():
        return
    if asked.keep_models or state.missing:
        _store(probing, trained.model, state.folder / (_KEPT if asked.keep_models else _UNTIL_EVALUATED))
    reader = reader_of(trained.model, probing.model.tokenizer, name, asked.context)
    state.result = Result(trained.losses, evaluate(reader, probing.sets), time.monotonic() - begun)
    state.result.write(state.folder / "result.json")
    remove_checkpoints(state.folder)


def _evaluate(probing: Probing, state: _State) -> None:
    """Evaluate a model on the tasks that are missing, and store each score.

    The model is loaded from its folder: in memory, its attention is that of a prior after `reader_of`.
    """
    assert probing.harness is not None and state.scores is not None and state.weights is not None
    model = probing.model.stored(state.weights, probing.asked.device)
    for name in state.missing:
        state.scores = state.scores.having(name, probing.harness.evaluate(name, model, probing.model.tokenizer))
        state.scores.write(state.folder / "tasks.json")


def _store(probing: Probing, model: Any, weights: Path) -> None:
    """Write a folder of weights, which is never seen half written."""
    written = weights.with_name(f"{weights.name}.written")
    shutil.rmtree(written, ignore_errors=True)
    model.save_pretrained(written)
    probing.model.tokenizer.save_pretrained(written)
    _remove(weights)
    written.rename(weights)


def _remove(weights: Path) -> None:
    """Remove a folder of weights, which is never seen half removed."""
    if weights.exists():
        removed = weights.with_name(f"{weights.name}.removed")
        shutil.rmtree(removed, ignore_errors=True)
        weights.rename(removed)
        shutil.rmtree(removed, ignore_errors=True)


def _counting(advance: Callable[[], None]) -> Callable[[int], None]:
    """Return a callback that advances a bar to the current step; training may begin at a checkpoint."""
    done = 0

    def on_step(step: int) -> None:
        nonlocal done
        for _ in range(step - done):
            advance()
        done = step

    return on_step
