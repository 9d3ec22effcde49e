"""Scores on tasks: their files, and differences against a naive computation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hf_toedit.errors import RunError
from hf_toedit.probes.results import Job
from hf_toedit.probes.task_scores import TaskScore, TaskScores, compared, markdown_tasks

RATE, SEEDS = 0.01, 3


def score(documents: np.ndarray | None, value: float | None = None) -> TaskScore:
    mean = float(documents.mean()) if documents is not None else value
    assert mean is not None
    return TaskScore("acc", mean, True, "1.0", 50, documents)


def drawn(share: float, seed: int) -> np.ndarray:
    return (np.random.default_rng(seed).random(50) < share).astype(float)


@pytest.fixture
def scores() -> dict[Job, TaskScores]:
    found = {}
    for number, (variant, share) in enumerate((("source", 0.3), ("edited", 0.9))):
        for seed in range(SEEDS):
            one = drawn(share, 10 * number + seed)
            tasks = {"a": {"a": score(one)}, "both": {"a": score(one), "b": score(None, share + seed / 100)}}
            found[Job(variant, RATE, seed)] = TaskScores(None, "", tasks)
    return found


def test_differences_are_paired(scores: dict[Job, TaskScores]) -> None:
    found = compared(scores, ["both"], ["source", "edited"], [RATE])
    assert list(found) == ["a", "b"]
    source, edited = (np.stack([drawn(share, 10 * number + seed) for seed in range(SEEDS)])
                      for number, share in enumerate((0.3, 0.9)))  # fmt: skip
    entry = found["a"]
    means = edited.mean(axis=1)
    assert entry["scores"]["edited"]["0.01"]["value"] == pytest.approx(means.mean())
    assert entry["scores"]["edited"]["0.01"]["standard_error"] == pytest.approx(means.std(ddof=1) / SEEDS**0.5)
    difference = entry["differences"]["edited"]["0.01"]
    assert difference["value"] == pytest.approx((edited - source).mean())
    by_document = (edited - source).mean(axis=0)
    error = np.sqrt((edited - source).mean(axis=1).var(ddof=1) / SEEDS + by_document.var(ddof=1) / 50)
    half = difference["high"] - difference["value"]
    assert 1.9 * error < half < 4.4 * error and difference["value"] - difference["low"] == pytest.approx(half)
    assert entry["interval_over"] == "seeds and documents"


def test_a_metric_that_is_not_a_mean_has_an_interval_over_seeds(scores: dict[Job, TaskScores]) -> None:
    entry = compared(scores, ["both"], ["source", "edited"], [RATE])["b"]
    assert entry["interval_over"] == "seeds"
    difference = entry["differences"]["edited"]["0.01"]
    assert difference["low"] == pytest.approx(difference["high"]) == pytest.approx(0.6)  # equal for all seeds
    text = markdown_tasks({"lm_eval": "1", "limit": 7, "results": {"b_c": entry}}, "source")
    assert "at most 7 documents per task" in text and "Intervals cover seeds only, not documents." in text
    assert "| <code>edited</code> | 0.01 | 0.9100 (± 0.0058) | +0.6000 | +0.6000 to +0.6000 |" in text
    assert r"<code>b\_c</code>" in text


def test_scores_of_other_documents_are_not_compared(scores: dict[Job, TaskScores]) -> None:
    job, one = next(iter(scores.items()))
    scores[job] = one.having("a", {"a": replace(one.found["a"]["a"], num_documents=49)})
    with pytest.raises(RunError, match="were not all evaluated on the same a"):
        compared(scores, ["a"], ["source", "edited"], [RATE])


def test_files(scores: dict[Job, TaskScores], tmp_path: Path) -> None:
    """Scores are read as they were written, unless they are of another limit, or of other tasks of the user."""
    one = next(iter(scores.values()))
    path = tmp_path / "tasks.json"
    assert not TaskScores.read(path, None, "").found
    one.write(path)
    again = TaskScores.read(path, None, "")
    assert np.array_equal(again.found["a"]["a"].documents, one.found["a"]["a"].documents)
    assert again.found["both"]["b"] == one.found["both"]["b"]
    assert not TaskScores.read(path, 5, "").found and not TaskScores.read(path, None, "x").found
    path.write_text('{"limit": null}')
    with pytest.raises(RunError, match="tasks.json is damaged. Delete it"):
        TaskScores.read(path, None, "")
