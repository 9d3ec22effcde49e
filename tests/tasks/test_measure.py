"""Runs without rows: texts are measured, or read by a prior, and only statistics are written."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset

import hf_toedit as package
from hf_toedit import EditStats, PriorConfig, Run, RunError, SourceConfig, Statistics, UsageError, sketch
from hf_toedit.analysis.variant import QUANTILES
from hf_toedit.api.begin import plan_run
from hf_toedit.api.request import RunRequest
from hf_toedit.features.ngrams import HashedNgrams
from hf_toedit.features.text_stats import TextStats
from hf_toedit.runs.task import Task
from hf_toedit.tasks.measure import MeasureTask
from hf_toedit.tasks.read import ReadTask
from tests.cli.command import HfToEdit, prior
from tests.cli.fixtures import load, stories
from tests.shared import shared, texts

SEED = 3
GIVEN = [*texts("web_dolma_cc_en_head"), *texts("synthetic_tinystories_500")[:150], "one", " \n "]
EMPTY = [None, "", None]
SKIPPED = {"null": 2, "empty": 1}


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return texts, and rows without one among them."""
    path = tmp_path_factory.mktemp("documents") / "documents.parquet"
    Dataset.from_dict({"text": [*GIVEN[:20], *EMPTY, *GIVEN[20:]], "id": range(len(GIVEN) + len(EMPTY))}).to_parquet(
        path
    )
    return path


def planned(source: Path, folder: Path, task: Task, num_shards: int = 1, **of_source: Any) -> Run[Any]:
    """Plan a run that has not started."""
    asked = RunRequest(SourceConfig(str(source), **of_source), task, num_shards=num_shards)
    return plan_run(asked, str(folder))


def untimed(stats: Statistics) -> Statistics:
    """Return statistics without times."""
    return replace(stats, seconds={})  # type: ignore[type-var]


def direct(documents: list[str], num_rows: int, skipped: Mapping[str, int] | None = None) -> TextStats:
    """Compute the expected statistics in one call."""
    stats = TextStats(num_rows=num_rows)
    stats.add(documents, HashedNgrams(), SEED)
    for cause, count in (skipped or {}).items():
        for _ in range(count):
            stats.add_skipped(cause)
    return stats


@pytest.fixture(scope="module")
def expected() -> TextStats:
    return direct(GIVEN, len(GIVEN) + len(EMPTY), SKIPPED)


@pytest.fixture(scope="module")
def measured(documents: Path, tmp_path_factory: pytest.TempPathFactory) -> Run[TextStats]:
    """Execute a run of three shards; read-only for tests."""
    run = tmp_path_factory.mktemp("measured") / "run"
    return package.run_task(documents, run, MeasureTask(SEED), num_shards=3, workers=0, progress=False)


def test_statistics_are_those_of_one_call(measured: Run[TextStats], expected: TextStats) -> None:
    stats = measured.stats()
    assert untimed(stats) == expected and set(stats.seconds) == {"count"}
    assert stats.num_skipped == SKIPPED and stats.num_read == len(GIVEN)
    assert measured.stats("texts") == stats
    assert repr(measured).endswith("measured in 3 shards, texts)")
    assert (
        not list(Path(str(measured.path)).rglob("*.parquet")) and not (Path(str(measured.path)) / "README.md").exists()
    )


@pytest.mark.parametrize(("num_shards", "workers"), [(1, 0), (4, 2)])
def test_shards_and_workers_make_no_difference(
    num_shards: int, workers: int, documents: Path, expected: TextStats, tmp_path: Path
) -> None:
    run = package.run_task(
        documents, tmp_path / "run", MeasureTask(SEED), num_shards=num_shards, workers=workers, progress=False
    )
    assert len(run.plan.shards) == num_shards
    assert untimed(run.stats()) == expected


def test_a_run_goes_on_where_it_was_stopped(documents: Path, expected: TextStats, tmp_path: Path) -> None:
    run = planned(documents, tmp_path / "run", MeasureTask(SEED), num_shards=3)
    status = run.execute(workers=0, shard_group="1/3", progress=False)
    assert (status.is_finished, status.num_done) == (False, 1)
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("stats/texts/*")}
    assert len(files) == 1
    assert Run.open(tmp_path / "run").execute(workers=0, progress=False).is_finished
    assert {path: path.stat().st_mtime_ns for path in files} == files
    assert untimed(run.stats()) == expected


def test_a_run_that_was_killed_goes_on(keeping: HfToEdit, tmp_path: Path) -> None:
    source, run = shared("data/biomed_pubmedqa_l.jsonl"), tmp_path / "run"
    num_shards = planned(source, run, MeasureTask(SEED), num_shards=16, limit=400).status().num_shards
    done = keeping("run", run, "--quiet", kill_when=lambda: any(run.glob("toedit/stats/texts/[!.]*")))
    assert done.code == -signal.SIGKILL
    assert 0 < Run.open(run).status().num_done < num_shards == 16
    assert keeping("run", run, "--quiet").code == 0
    given = texts("biomed_pubmedqa_l")[:400]
    assert untimed(Run.open(run).stats()) == direct(given, len(given))
    assert not list(run.glob("toedit/work/*"))


def test_several_texts_of_a_row_are_counted(tmp_path: Path) -> None:
    turns = [[("user", "Hello."), ("assistant", "a b c"), ("assistant", "d")], [], [("assistant", ""), ("user", "x y")]]
    rows = [{"messages": [{"role": role, "content": content} for role, content in row]} for row in turns]
    (tmp_path / "chats.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = package.run_task(
        tmp_path / "chats.jsonl",
        tmp_path / "run",
        MeasureTask(SEED),
        messages_column="messages",
        workers=0,
        progress=False,
    )
    assert untimed(run.stats()) == direct(["a b c", "d"], num_rows=3, skipped={"empty": 1})


def test_status_shows_the_pass(hf_toedit: HfToEdit, measured: Run[TextStats]) -> None:
    status = hf_toedit("status", measured.path, "--json").json
    [figures] = status["passes"]
    assert (status["task"], status["finished"], figures["name"]) == ("measure", True, "texts")
    assert figures["num_documents"] == len(GIVEN) + len(EMPTY) and figures["num_words"] > 10_000
    said = hf_toedit("status", measured.path)
    assert said.code == 0 and "compression ratio" in said.stdout


@pytest.mark.parametrize(
    ("command", "code", "expected"),
    [
        (("verify", "{run}"), 2, "are measured, and none are written, so there is nothing to be verified."),
        (("card", "{run}"), 2, "are measured, and none are written, so there is nothing to be described by a card."),
        (("push", "{run}", "org/name"), 2, "are measured, and none are written, so there is nothing to be pushed."),
        (("revert", "{run}", "-o", "{run}-out"), 2, "are edited, and those of this run are measured"),
        (("edit", "{run}", "-o", "{run}-out"), 1, "is a run folder, and not finished, or without rows"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else None,
)
def test_what_needs_rows_fails_in_one_line(
    command: tuple[str, ...], code: int, expected: str, hf_toedit: HfToEdit, measured: Run[TextStats]
) -> None:
    args = [word.format(run=measured.path) for word in command]
    assert expected in hf_toedit.fails(*args, code=code)


def test_there_is_no_dataset(measured: Run[TextStats]) -> None:
    with pytest.raises(UsageError, match=r"pass 'texts' of .* writes no rows. Its figures are in stats\(\)."):
        measured.dataset()
    with pytest.raises(UsageError, match="has no 'gen1', only texts"):
        measured.dataset(1)


def test_another_run_is_not_mixed_in(documents: Path, measured: Run[TextStats]) -> None:
    with pytest.raises(RunError, match="--seed is 3 in the run and 4 here"):
        package.run_task(documents, str(measured.path), MeasureTask(SEED + 1), num_shards=3, workers=0, progress=False)


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a source that a prior can read quickly."""
    path = tmp_path_factory.mktemp("short") / "short.parquet"
    Dataset.from_dict({"text": [*stories(30, length=100), *EMPTY]}).to_parquet(path)
    return path


@pytest.fixture(scope="module")
def read(short: Path, tmp_path_factory: pytest.TempPathFactory) -> Run[EditStats]:
    """Execute a run in which a prior reads them."""
    task = ReadTask(PriorConfig(prior()[1]))
    return package.run_task(
        short, tmp_path_factory.mktemp("read") / "run", task, num_shards=2, workers=0, progress=False
    )


def test_what_a_prior_read_is_what_an_edit_that_selects_nothing_counts(
    hf_toedit: HfToEdit, short: Path, read: Run[EditStats], tmp_path: Path
) -> None:
    done = hf_toedit("edit", short, "-o", tmp_path / "run", *prior(), "--select", "none", "-q")
    assert done.code == 0, done
    counts = read.stats().to_json()
    texts = counts.pop("texts")
    assert untimed(EditStats.from_json(counts)) == untimed(Run.open(tmp_path / "run").stats())
    assert len(texts) == len(set(stories(30, length=100)))  # each text once
    assert read.stats().num_skipped == SKIPPED and read.stats().num_read == 30


def test_perplexities_are_those_of_scores(
    hf_toedit: HfToEdit, short: Path, read: Run[EditStats], tmp_path: Path
) -> None:
    done = hf_toedit("score", short, "-o", tmp_path / "run", "--scorer", "perplexity", *prior(), "-q")
    assert done.code == 0, done
    scores = [row["perplexity"] for row in load(tmp_path / "run")["train"]["scores"]]
    scored = [score for score in scores if score["nll"] is not None]
    nll, tokens = (np.array([score[name] for score in scored], float) for name in ("nll", "num_tokens"))
    stats = read.stats()
    assert len(nll) == stats.num_read
    for q in QUANTILES:
        exact = np.exp(np.sort(nll)[max(int(np.ceil(q * len(nll))), 1) - 1])
        assert sketch.quantile(stats.perplexity_bins, q) == pytest.approx(exact, rel=0.01)
    assert stats.num_tokens == tokens.sum()
    assert stats.nll == pytest.approx((nll * tokens).sum() / tokens.sum(), rel=1e-6)


def test_a_run_that_reads_tells_of_itself(hf_toedit: HfToEdit, read: Run[EditStats]) -> None:
    status = hf_toedit("status", read.path, "--json").json
    assert (status["task"], status["finished"], status["passes"][0]["name"]) == ("read", True, "reading")
    assert "the rows of this run are read, and none are written" in hf_toedit.fails("verify", read.path, code=2)
