"""Scores of trained models on tasks of lm-eval: their files, their comparison, and their tables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hf_toedit.cards.escape import Markdown, code
from hf_toedit.cards.tables import table
from hf_toedit.errors import RunError
from hf_toedit.probes.results import Job
from hf_toedit.probes.verdict import estimates
from hf_toedit.storage.files import whole_file


@dataclass(frozen=True)
class TaskScore:
    """The score of a model on a task.

    Attributes:
        metric: Name of the metric.
        value: Its value.
        higher_is_better: Whether higher values are better.
        version: Version of the task.
        num_documents: Number of documents of the task that the model was evaluated on.
        documents: Metric of each document, whose mean is `value`; float64 `[n]`. None if the metric is not a mean.
    """

    metric: str
    value: float
    higher_is_better: bool
    version: str
    num_documents: int
    documents: np.ndarray | None


@dataclass(frozen=True)
class TaskScores:
    """The scores of a model on tasks.

    Attributes:
        limit: Maximum number of documents per task.
        folder: Fingerprint of the folder of the user's own tasks.
        found: Scores by the name that was asked for, and by the names of the tasks that it stands for.
    """

    limit: int | None
    folder: str
    found: Mapping[str, Mapping[str, TaskScore]]

    def having(self, name: str, scores: Mapping[str, TaskScore]) -> TaskScores:
        """Return the scores, with those of another task."""
        return replace(self, found={**self.found, name: scores})

    def write(self, path: Path) -> None:
        """Write the scores atomically.

        Raises:
            RunError: The file cannot be written.
        """
        found = {name: {task: _to_json(score) for task, score in part.items()} for name, part in self.found.items()}
        value = {"limit": self.limit, "folder": self.folder, "found": found}
        with whole_file(path) as temporary:
            temporary.write_text(json.dumps(value), encoding="utf-8")

    @classmethod
    def read(cls, path: Path, limit: int | None, folder: str) -> TaskScores:
        """Read the scores; none if there is no file, or if it is of another limit or other tasks of the user.

        Raises:
            RunError: The file is damaged.
        """
        empty = cls(limit, folder, {})
        if not path.exists():
            return empty
        try:
            value = json.loads(path.read_bytes())
            found = {
                name: {task: _from_json(score) for task, score in part.items()} for name, part in value["found"].items()
            }
            return cls(limit, folder, found) if [value["limit"], value["folder"]] == [limit, folder] else empty
        except (ValueError, KeyError, TypeError) as error:
            raise RunError(f"{path} is damaged. Delete it, and run the same command again.") from error


def compared(
    scores: Mapping[Job, TaskScores], names: Sequence[str], variants: Sequence[str], rates: Sequence[float]
) -> dict[str, Any]:
    """Return the figures of all tasks for `report.json`.

    The interval of a difference is that of `verdict.estimates`: over seeds and documents, or over seeds only if a
    metric is not a mean over documents.

    Args:
        scores: Scores of all models.
        names: Names that were asked for.
        variants: Names of the variants; the first is the reference.
        rates: Learning rates.

    Raises:
        RunError: Models were evaluated on different documents.
    """
    found: dict[str, Any] = {}
    first = next(iter(scores.values()))
    for name in names:
        for task, example in first.found[name].items():
            by_model = {job: one.found[name][task] for job, one in scores.items()}
            if len({(score.metric, score.version, score.num_documents) for score in by_model.values()}) > 1:
                raise RunError(f"the models in work/ were not all evaluated on the same {task}. Name a new folder.")
            values = {
                (variant, rate): [score for job, score in by_model.items() if job[:2] == (variant, rate)]
                for variant in variants
                for rate in rates
            }
            by_document = all(score.documents is not None for score in by_model.values())
            found[task] = {
                "metric": example.metric,
                "higher_is_better": example.higher_is_better,
                "version": example.version,
                "num_documents": example.num_documents,
                "interval_over": "seeds and documents" if by_document else "seeds",
                "scores": {one: {f"{rate:g}": _mean(values[one, rate]) for rate in rates} for one in variants},
                "differences": {
                    one: {
                        f"{rate:g}": _difference(values[one, rate], values[variants[0], rate], by_document)
                        for rate in rates
                    }
                    for one in variants[1:]
                },
            }
    return found


def markdown_tasks(tasks: Mapping[str, Any], reference: str) -> str:
    """Return the section of a report about tasks.

    Args:
        tasks: Entry `tasks` of the report.
        reference: Name of the reference.
    """
    limit = "" if tasks["limit"] is None else f", at most {tasks['limit']:,} documents per task"
    parts = [
        "## Tasks",
        f"By lm-eval {tasks['lm_eval']} with its default settings{limit}. Scores are means over seeds, with the "
        f"standard error of these means. Differences to {code(reference)} are paired by seed and document, with "
        "95 % intervals. The verdict is on perplexity, not on tasks: small models are near chance on many tasks.",
    ]
    for name, entry in tasks["results"].items():
        better = "higher" if entry["higher_is_better"] else "lower"
        over = "" if entry["interval_over"] != "seeds" else " Intervals cover seeds only, not documents."
        parts += [
            f"### {code(name)}",
            f"{code(entry['metric'])} on {entry['num_documents']:,} documents; {better} is better.{over}",
            _table(entry, reference),
        ]
    return "\n\n".join(parts)


def _table(entry: Mapping[str, Any], reference: str) -> Markdown:
    rows = []
    for variant, by_rate in entry["scores"].items():
        for rate, score in by_rate.items():
            cells = ("", "")
            if variant != reference:
                one = entry["differences"][variant][rate]
                cells = f"{one['value']:+.4f}", f"{one['low']:+.4f} to {one['high']:+.4f}"
            rows.append((code(variant), rate, f"{score['value']:.4f} (± {score['standard_error']:.4f})", *cells))
    return table(("dataset", "learning rate", entry["metric"], "difference", "95 % interval"), rows, left=1)


def _mean(scores: Sequence[TaskScore]) -> dict[str, float]:
    values = np.array([score.value for score in scores])
    return {"value": float(values.mean()), "standard_error": float(values.std(ddof=1) / len(values) ** 0.5)}


def _difference(scores: Sequence[TaskScore], reference: Sequence[TaskScore], by_document: bool) -> dict[str, float]:
    """Return the difference of the means, with its interval."""
    ours, others = (
        np.stack([score.documents if by_document else np.array([score.value]) for score in part])  # type: ignore[misc]
        for part in (scores, reference)
    )
    found = ours - others
    estimate = estimates({"task": found}, {"task": np.ones(found.shape[1], np.int64)})["task"]
    return {
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "seed_share": estimate.seed_share,
    }


def _to_json(score: TaskScore) -> dict[str, Any]:
    documents = None if score.documents is None else score.documents.tolist()
    return {**vars(score), "documents": documents}


def _from_json(value: Mapping[str, Any]) -> TaskScore:
    documents = None if value["documents"] is None else np.array(value["documents"], np.float64)
    return TaskScore(**{**value, "documents": documents})
