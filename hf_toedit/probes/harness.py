"""Tasks of lm-eval (the Language Model Evaluation Harness), on which trained models are evaluated."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from hf_toedit.config import content_hash
from hf_toedit.errors import SourceError, UsageError, did_you_mean, in_one_line
from hf_toedit.fingerprint import file_fingerprints
from hf_toedit.probes.config import ProbeConfig
from hf_toedit.probes.task_scores import TaskScore

_PRIMARY = ("acc_norm", "acc")
"""Metrics that are reported if a task has them; otherwise its first metric is."""

_BATCH_SIZE = 8


@dataclass(frozen=True)
class Harness:
    """The tasks of a probe.

    Attributes:
        loaded: Output of `TaskManager.load`, by the name that was asked for.
        limit: Maximum number of documents per task.
        folder: Fingerprint of the folder of the user's own tasks; empty without.
    """

    loaded: Mapping[str, Mapping[str, Any]]
    limit: int | None
    folder: str

    @classmethod
    def of(cls, asked: ProbeConfig, load: bool = True) -> Harness:
        """Find the tasks, and load their documents.

        Args:
            asked: Settings of the probe.
            load: Whether to load the documents.

        Raises:
            UsageError: lm-eval is not installed, or has no such task.
            SourceError: The folder of tasks does not exist, or the documents of a task cannot be loaded.
        """
        if find_spec("lm_eval") is None:
            raise UsageError("--tasks needs lm-eval. Install it: pip install 'hf-toedit[tasks]'")
        folder = asked.task_folder or None
        if folder is not None and not Path(folder).is_dir():
            raise SourceError(f"there is no folder {folder}. Name the folder of your tasks with --task-folder.")
        manager = _manager(folder, asked.tasks)
        for name in asked.tasks:
            if name not in manager.all_tasks:
                own = " Name the folder of your own tasks with --task-folder." if folder is None else ""
                raise UsageError(f"lm-eval has no task {name!r}.{did_you_mean(name, manager.all_tasks)}{own}")
        loaded = {name: _loaded(manager, name) for name in asked.tasks} if load else {}
        return cls(loaded, asked.task_limit, _fingerprint(folder) if folder else "")

    def evaluate(self, name: str, model: Any, tokenizer: Any) -> dict[str, TaskScore]:
        """Evaluate a model on a task, with the settings that lm-eval has by default.

        Args:
            name: Name of a task, a group or a tag.
            model: A causal model of `transformers`.
            tokenizer: Its tokenizer.

        Returns:
            The score of the task, or of the group if it has a score of its own; otherwise those of its tasks.

        Raises:
            SourceError: lm-eval cannot evaluate the task.
        """
        with _hushed():
            from lm_eval import evaluate
            from lm_eval.models.huggingface import HFLM

            try:
                _seed(self.loaded[name])
                found = evaluate(
                    lm=HFLM(pretrained=model, tokenizer=tokenizer, batch_size=_BATCH_SIZE),
                    task_dict=self.loaded[name],
                    limit=self.limit,
                    bootstrap_iters=0,
                )
            except Exception as error:
                raise _failure(name, "be evaluated", error) from error
        return _scores(name, found)


def _manager(folder: str | None, names: Sequence[str]) -> Any:
    """Return the index of all tasks; only of the user's own if no other is asked for, as it takes seconds to read."""
    with _hushed():
        from lm_eval.tasks import TaskManager

        if folder is not None:
            own = TaskManager(include_path=folder, include_defaults=False)
            if set(names) <= set(own.all_subtasks):  # a group may have tasks of lm-eval
                return own
        return TaskManager(include_path=folder)


def _loaded(manager: Any, name: str) -> Mapping[str, Any]:
    try:
        with _hushed():
            found: Mapping[str, Any] = manager.load([name])
    except Exception as error:
        raise _failure(name, "be loaded", error) from error
    for task in found["tasks"].values():
        if task.get_config("num_fewshot") is None:
            task.set_config(key="num_fewshot", value=0)
    return found


def _seed(loaded: Mapping[str, Any]) -> None:
    """Set the random seeds that `lm_eval.simple_evaluate` has by default, so that scores are those of its command.

    It is not called itself: it asks git and pip about the environment, again for each model and task.
    """
    import random

    import torch

    random.seed(0)
    np.random.seed(1234)  # noqa: NPY002
    torch.manual_seed(1234)
    for task in loaded["tasks"].values():
        task.set_fewshot_seed(seed=1234)


def _failure(name: str, what: str, error: Exception) -> SourceError:
    return SourceError(
        f"task {name!r} of lm-eval cannot {what}: {in_one_line(error).rstrip('.')}. Check the task with lm-eval, or "
        f"leave it out of --tasks."
    )


def _scores(name: str, found: Mapping[str, Any]) -> dict[str, TaskScore]:
    """Return the scores in the output of lm-eval for one task, group or tag."""
    leaves = [task for task in found["results"] if task in found["samples"]]
    whole = _score(name, leaves, found) if name not in leaves and name in found["results"] else None
    if whole is not None:
        return {name: whole}
    scores = {task: _score(task, [task], found) for task in leaves}
    return {task: score for task, score in scores.items() if score is not None}


def _score(name: str, leaves: Sequence[str], found: Mapping[str, Any]) -> TaskScore | None:
    """Return the score by the primary metric; None if there is no metric, as for a group that only lists tasks."""
    values: dict[str, tuple[str, float]] = {}
    for key, value in found["results"][name].items():
        metric, _, used = key.partition(",")
        if used and not metric.endswith("_stderr") and isinstance(value, int | float):
            values.setdefault(metric, (used, float(value)))
    if not values:
        return None
    metric = next((one for one in _PRIMARY if one in values), next(iter(values)))
    used, value = values[metric]
    higher = found.get("higher_is_better", {}).get(name, {}).get(metric)
    samples = [sample for leaf in leaves for sample in found["samples"][leaf] if sample["filter"] == used]
    version = found.get("versions", {}).get(name)
    return TaskScore(
        metric, value, higher is not False, "" if version in (None, "N/A") else str(version), len(samples),
        _documents([sample.get(metric) for sample in samples], value),
    )  # fmt: skip


def _documents(values: Sequence[Any], mean: float) -> np.ndarray | None:
    """Return the metric of each document; None if the metric of a task is not the mean over documents."""
    try:
        found = np.array(values, np.float64)
    except (TypeError, ValueError):
        return None
    return found if found.ndim == 1 and len(found) and np.isclose(found.mean(), mean, atol=1e-9) else None


def _fingerprint(folder: str) -> str:
    """Return a fingerprint of the files of a folder of tasks."""
    paths = sorted(path for path in Path(folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    facts = zip(paths, file_fingerprints([str(path) for path in paths]), strict=True)
    return content_hash([(path.relative_to(folder).as_posix(), size, stamp) for path, (size, stamp) in facts])


@contextmanager
def _hushed() -> Iterator[None]:
    """Keep logs, progress bars and prints of lm-eval and its tasks out of the output."""
    logger = logging.getLogger("lm_eval")
    before = logger.level
    logger.setLevel(logging.ERROR)
    with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        try:
            yield
        finally:
            logger.setLevel(before)
