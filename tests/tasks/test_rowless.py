"""Tasks that write no rows: what they count does not depend on shards and workers, and nothing asks them for rows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import hf_toedit
from hf_toedit import Run, UsageError
from hf_toedit.api.begin import do_run
from hf_toedit.api.request import RunRequest
from hf_toedit.config import PriorConfig, Resources, SourceConfig
from hf_toedit.features.ngrams import HashedNgrams
from hf_toedit.features.text_stats import TextStats
from hf_toedit.mergeable import Statistics
from hf_toedit.runs.plan import Plan
from hf_toedit.runs.task import Task
from hf_toedit.tasks.measure import MeasureTask
from hf_toedit.tasks.read import ReadTask
from tests.cli.command import HfToEdit, prior
from tests.cli.fixtures import rows, stories

DOCUMENTS = [*stories(12), "", None, "Ein Satz. 東京", "twice", "twice"]


@pytest.fixture
def source(tmp_path: Path) -> str:
    rows(DOCUMENTS).to_parquet(tmp_path / "a.parquet")
    return str(tmp_path / "a.parquet")


def _run(source: str, folder: Path, task: Task, *, num_shards: int = 1, workers: int = 0) -> Run[Any]:
    return hf_toedit.run_task(source, folder, task, num_shards=num_shards, workers=workers, progress=False)


def _counted(stats: Statistics) -> dict[str, Any]:
    return {name: value for name, value in stats.to_json().items() if name != "seconds"}


def _reader() -> ReadTask:
    return ReadTask(PriorConfig(prior()[1]))


def test_texts_are_counted_whatever_the_shards(source: str, tmp_path: Path) -> None:
    direct = TextStats(num_rows=len(DOCUMENTS), num_skipped={"empty": 2})
    direct.add([text for text in DOCUMENTS if text], HashedNgrams(), seed=3)
    direct.num_documents += 2
    for number, how in enumerate([{}, {"num_shards": 3}, {"num_shards": 4, "workers": 2}]):
        run = _run(source, tmp_path / str(number), MeasureTask(seed=3), **how)
        assert _counted(run.stats()) == _counted(direct)
        assert run.status().is_finished
        files = {path.name for path in Path(str(run.path)).rglob("*") if path.is_file()}
        assert not any(name.endswith((".parquet", ".md", ".png")) for name in files)


def test_a_reading_is_that_of_a_score_and_of_an_edit(source: str, tmp_path: Path) -> None:
    read = _run(source, tmp_path / "read", _reader()).stats()
    parts = _run(source, tmp_path / "parts", _reader(), num_shards=3).stats()
    assert _counted(parts) == _counted(read)
    scores = hf_toedit.score(source, tmp_path / "scores", prior=prior()[1], workers=0, progress=False)
    nll = scores.stats().values["nll"]
    documents = [row["perplexity"] for row in scores.dataset()["train"]["scores"]]
    total = sum(score["nll"] * score["num_tokens"] for score in documents if score["num_tokens"])
    assert read.nll * read.num_tokens == pytest.approx(total, rel=1e-5)
    assert sum(read.perplexity_bins.values()) == nll.num_values == len(DOCUMENTS) - 2
    edited = hf_toedit.edit(source, tmp_path / "edited", prior=prior()[1], workers=0, progress=False, threshold=1.0)
    first = edited.stats(1)
    assert read.probability_histogram == first.probability_histogram
    assert read.perplexity_bins == first.perplexity_bins
    assert (read.num_selected, read.num_changed) == (0, 0)


def test_a_run_that_was_stopped_goes_on(source: str, tmp_path: Path) -> None:
    run = _run(source, tmp_path / "run", MeasureTask(), num_shards=3)
    whole = _counted(run.stats())
    written = sorted((tmp_path / "run/toedit/stats/texts").iterdir())
    kept = {path: path.read_bytes() for path in written[:2]}
    written[2].unlink()
    assert not Run.open(tmp_path / "run").status().is_finished
    again = _run(source, tmp_path / "run", MeasureTask(), num_shards=3)
    assert _counted(again.stats()) == whole
    assert {path: path.read_bytes() for path in kept} == kept
    with pytest.raises(hf_toedit.RunError, match="--seed is 0 in the run and 1 here"):
        _run(source, tmp_path / "run", MeasureTask(seed=1), num_shards=3)


def test_figures_of_another_plan_do_not_count(source: str, tmp_path: Path) -> None:
    run = _run(source, tmp_path / "run", MeasureTask())
    other = _run(source, tmp_path / "other", MeasureTask(seed=1))
    name = "toedit/stats/texts/train-00000-of-00001.json"
    (Path(str(run.path)) / name).write_bytes((Path(str(other.path)) / name).read_bytes())
    assert not run.status().is_finished


@pytest.mark.parametrize("task", [MeasureTask(seed=7), ReadTask(PriorConfig("org/tiny", device="cpu"), "1" * 40)])
def test_a_plan_holds_it(task: Task, source: str, tmp_path: Path) -> None:
    plan = replace(hf_toedit.plan(source, tmp_path / "run", prior=prior()[1]).plan, task=task)
    again = Plan.read(json.dumps(plan.to_json()).encode())
    assert again.task == task and again.content_hash == plan.content_hash
    assert task.passes[0].writes_rows is False


def test_several_texts_of_a_row_are_counted(tmp_path: Path) -> None:
    said = [{"role": "user", "content": "one two"}, {"role": "assistant", "content": "three four five"}]
    (tmp_path / "a.jsonl").write_text(json.dumps({"messages": said}) + "\n")
    source = SourceConfig(str(tmp_path / "a.jsonl"), messages_column="messages", roles=("user", "assistant"))
    run: Run[Any] = do_run(RunRequest(source, MeasureTask()), str(tmp_path / "run"), 0, Resources(), progress=False)
    assert (run.stats().num_documents, run.stats().num_words) == (2, 5)


def test_nobody_gets_rows_of_it(hf_toedit: HfToEdit, source: str, tmp_path: Path) -> None:
    run = _run(source, tmp_path / "run", MeasureTask())
    shown = hf_toedit("status", run.path)
    assert shown.code == 0 and "compression ratio" in shown.stdout
    [entry] = hf_toedit("status", run.path, "--json").json["passes"]
    assert (entry["name"], entry["num_rows"]) == ("texts", len(DOCUMENTS))
    for command, word in ((("verify",), "verified"), (("card",), "described"), (("push", "org/name"), "pushed")):
        said = hf_toedit.fails(command[0], run.path, *command[1:], code=2)
        assert "the rows of this run are measured, and none are written" in said and word in said
    assert "those of this run are measured" in hf_toedit.fails("revert", run.path, "-o", tmp_path / "x", code=2)
    with pytest.raises(UsageError, match="writes no rows"):
        run.dataset()
