"""Score runs: their scores equal those of editing and of `transformers`, and all features of runs work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from datasets import Dataset, load_from_disk
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import hf_toedit
from hf_toedit.api.scores import ScoreSettings
from hf_toedit.cli.score import score as score_command
from hf_toedit.errors import RunError, UsageError
from hf_toedit.mergeable import Statistics
from hf_toedit.runs.plan import Plan
from hf_toedit.runs.store import RunFolder
from hf_toedit.runs.writer import Writer
from hf_toedit.scorers.statistics import ScoreStats
from hf_toedit.tasks.score import SCORES
from tests.cli.command import HfToEdit
from tests.cli.fixtures import load, parquet, same
from tests.cli.pushing import PLAN, pushed
from tests.hub_server import HubServer
from tests.scorers.classifiers import CONTEXT, LABELS, make_classifier
from tests.shared import shared

TEXTS = 60


@pytest.fixture(scope="module")
def questions() -> Path:
    """Return real abstracts, with a column of every JSON type."""
    return shared("data/biomed_pubmedqa_l.jsonl")


@pytest.fixture(scope="module")
def prior() -> tuple[str, Path]:
    return "--prior", shared("models/stories260K")


@pytest.fixture(scope="module")
def scored(hf_toedit: HfToEdit, questions: Path, prior: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("scored") / "run"
    done = hf_toedit("score", questions, "-o", run, *prior, "--limit", TEXTS, "--num-shards", 3)
    assert (done.code, done.stderr) == (0, ""), done
    assert f"{TEXTS} documents" in done.stdout and "mean nll" in done.stdout
    return run


def _scores(run: Path, kind: str = "perplexity") -> list[dict[str, Any]]:
    return [row[kind] for row in load(run)["train"]["scores"]]


def _nll(rows: list[dict[str, Any]]) -> np.ndarray:
    return np.array([row["nll"] for row in rows])


def test_perplexity_is_that_of_the_edit_log_and_all_else_is_as_it_was(
    hf_toedit: HfToEdit, questions: Path, prior: Any, scored: Path, tmp_path: Path
) -> None:
    edited = tmp_path / "edited"
    assert hf_toedit("edit", questions, "-o", edited, *prior, "--limit", TEXTS, "--quiet").code == 0
    logs = load(edited)["train"]["toedit"]
    scores = _scores(scored)
    assert np.abs(_nll(scores) - _nll(logs)).max() <= 1e-6
    assert [row["num_tokens"] for row in scores] == [row["num_tokens"] for row in logs]
    rows = load(scored)["train"]
    assert rows.column_names[-1] == "scores"
    assert same(rows.remove_columns("scores"), Dataset.from_json(str(questions)).select(range(TEXTS)))


def test_generations_of_an_edited_run_are_scored_as_the_next_one_read_them(
    hf_toedit: HfToEdit, source: Path, run: Path, tmp_path: Path
) -> None:
    """Generation 2 logs the scores of the texts of generation 1."""
    for generation in (1, 2):
        scores = tmp_path / f"scores{generation}"
        config = "--config-name", f"gen{generation}"
        done = hf_toedit("score", run, "-o", scores, *config, "--prior", shared("models/stories260K"), "--quiet")
        assert (done.code, done.stderr) == (0, ""), done
        logs, found = load(run, f"gen{generation + 1}")["train"]["toedit"], _scores(scores)
        assert [row["nll"] for row in found] == [log["nll"] for log in logs]
        assert same(load(scores)["train"].remove_columns("scores"), load(run, f"gen{generation}")["train"])


def test_the_run_is_verified_and_tells_of_itself(hf_toedit: HfToEdit, scored: Path) -> None:
    verified = hf_toedit("verify", scored, "--json").json
    assert (verified["ok"], verified["num_rows"]) == (True, TEXTS)
    status = hf_toedit("status", scored, "--json").json
    [figures] = status["passes"]
    nll = np.sort(_nll(_scores(scored)))
    assert (status["task"], status["finished"], figures["name"], figures["num_rows"]) == (
        "score",
        True,
        "scores",
        TEXTS,
    )
    assert figures["values"]["nll"]["mean"] == pytest.approx(nll.mean(), rel=1e-6)
    assert figures["values"]["nll"]["p50"] == pytest.approx(nll[TEXTS // 2 - 1], rel=0.01)
    assert "mean nll" in hf_toedit("status", scored).stdout
    assert (scored / "README.md").exists()


def test_scores_of_another_scorer_come_beside(hf_toedit: HfToEdit, scored: Path, tmp_path: Path) -> None:
    model, run = make_classifier("bert", tmp_path / "model"), tmp_path / "run"
    done = hf_toedit("score", scored, "-o", run, "--scorer", "classifier", "--model", model, "--truncate", "--quiet")
    assert (done.code, done.stderr) == (0, ""), done
    rows = load(run)["train"]
    assert list(rows.features["scores"]) == ["perplexity", "classifier"]
    assert _scores(run) == _scores(scored)
    assert hf_toedit("verify", run).code == 0

    network, tokenizer = AutoModelForSequenceClassification.from_pretrained(model), AutoTokenizer.from_pretrained(model)
    with torch.no_grad():
        for text, found in zip(rows["text"][:8], _scores(run, "classifier"), strict=False):
            inputs = tokenizer(text, truncation=True, max_length=CONTEXT, return_tensors="pt")
            assert list(found) == list(LABELS.values())
            assert torch.allclose(torch.tensor(list(found.values())), network(**inputs).logits[0], atol=1e-6)


def test_a_run_from_python_has_the_bytes_of_the_command(
    questions: Path, prior: Any, scored: Path, tmp_path: Path
) -> None:
    run = hf_toedit.score(
        questions, tmp_path / "run", prior=prior[1], limit=TEXTS, num_shards=3, workers=0, progress=False
    )
    assert parquet(tmp_path / "run") == parquet(scored)
    stats = run.stats()
    assert isinstance(stats, ScoreStats) and stats.num_rows == TEXTS
    assert stats.values["num_tokens"].mean == pytest.approx(stats.num_tokens / TEXTS)
    assert run.dataset(streaming=True)["train"].features is not None
    assert repr(run).endswith("scored in 3 shards, scores)")
    with pytest.raises(UsageError, match="has no 'gen1', only scores"):
        run.stats(1)
    with pytest.raises(UsageError, match="rows are edited, and those of this run are scored"):
        next(run.texts())


def test_settings_have_the_names_of_the_command_line() -> None:
    options = {option.name for option in score_command.params}
    elsewhere = {"output", "plan_only", "dry_run", "price_per_hour", "config", "as_json", "quiet", "source", "engine"}
    elsewhere |= {"workers", "address", "num_workers", "cpus_per_worker", "gpus_per_worker"}
    elsewhere |= {name for name in options if name.startswith("push_")} | {"public", "unverified"}
    resources = {"token_budget", "memory_fraction", "tensor_parallel"}
    assert set(ScoreSettings.__annotations__) - {"prune"} == options - elsewhere - resources


def test_a_plan_is_read_whole_and_differences_are_named(hf_toedit: HfToEdit, scored: Path, prior: Any) -> None:
    plan = RunFolder(scored).plan()
    values = json.loads((scored / PLAN).read_text())
    assert values["task"]["kind"] == "score" and values["task"]["scorer"]["scorer"] == "perplexity"
    assert Plan.from_json(values) == plan and plan.task.on("cuda:1") != plan.task
    for path, to, expected in (
        (("run",), {}, "task.run must be an object with the string 'scores_column', not {}."),
        (("scorer",), [], "task.scorer must be an object"),
        (("scorer", "scorer"), "nll", "scorer 'nll' is not known."),
        (("new",), 1, "task cannot have 'new'."),
        (("kind",), "scores", "task 'scores' is not known here. Did you mean 'score'?"),
        (("scorer", "prior", "dtype"), "int8", "task.scorer.prior.dtype 'int8' is not known."),
    ):
        changed = json.loads(json.dumps(values))
        inner = changed["task"]
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = to
        with pytest.raises(RunError) as caught:
            Plan.from_json(changed)
        assert expected in str(caught.value), caught.value


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--prior", "embedded"), "--prior is {prior} in the run and embedded here"),
        (("--scores-column", "s"), "--scores-column is scores in the run and s here"),
        (("--limit", 3), f"--limit is {TEXTS} in the run and 3 here"),
    ],
)
def test_another_run_is_not_mixed_in(
    options: tuple[object, ...], expected: str, hf_toedit: HfToEdit, questions: Path, prior: Any, scored: Path
) -> None:
    asked = "score", questions, "-o", scored, *prior, "--limit", TEXTS, "--num-shards", 3, *options
    assert expected.format(prior=prior[1]) in hf_toedit.fails(*asked)


@pytest.mark.parametrize(
    ("options", "code", "expected"),
    [
        (("--scorer", "perplexiti"), 2, "scorer 'perplexiti' is not known. Did you mean 'perplexity'?"),
        (("--scorer", "classifier"), 2, "scorer 'classifier' needs a model. Name a folder or a Hub id with --model."),
        (("--model", "org/name"), 2, "--model is for --scorer classifier."),
        (("--truncate",), 2, "--truncate is for --scorer classifier."),
        (("--scorer", "classifier", "--model", "x", "--prior", "y"), 2, "--prior is for --scorer perplexity."),
        (("--plan-only", "--dry-run"), 2, "--plan-only cannot be used with --dry-run or --push-to."),
        (("--scores-column", "meta"), 1, "the source already has a column 'meta', which does not hold scores."),
        (("--scores-column", "text"), 1, "the source already has a column 'text', which does not hold scores."),
    ],
)
def test_bad_use(
    options: tuple[object, ...], code: int, expected: str, hf_toedit: HfToEdit, source: Path, tmp_path: Path
) -> None:
    said = hf_toedit.fails("score", source, "-o", tmp_path / "run", *options, code=code)
    assert expected in said
    assert not (tmp_path / "run").exists()


def test_what_is_for_edits_is_refused(hf_toedit: HfToEdit, scored: Path, tmp_path: Path) -> None:
    assert "rows are edited" in hf_toedit.fails("revert", scored, "-o", tmp_path / "source", code=2)
    assert "have no generations" in hf_toedit.fails("run", scored, "--generations", 2, code=2)
    again = "score", scored, "-o", tmp_path / "again"
    assert "already has scores of 'perplexity' in column 'scores'" in hf_toedit.fails(*again)
    assert hf_toedit(*again, "--scores-column", "more", "--limit", 2, "--quiet").code == 0


def test_rows_that_were_changed_afterwards_are_found(scored: Path, tmp_path: Path) -> None:
    """The files are complete, and the records match them."""
    from shutil import copytree

    from hf_toedit.runs.verify import verify_run

    folder = RunFolder(copytree(scored, tmp_path / "run"))
    plan, shard = folder.plan(), folder.plan().shards[1]
    tables = pa.concat_tables(folder.tables(plan, SCORES, shard))
    stats = folder.stats(plan, SCORES, shard)
    assert stats is not None

    def problems(changed: pa.Table) -> list[str]:
        def fill(writer: Writer) -> Statistics:
            writer.write(changed)
            return stats

        folder.write_shard(plan, SCORES, shard, fill)
        return verify_run(plan, folder).problems

    def with_scores(rows: list[Any]) -> pa.Table:
        column = pa.array(rows, tables.schema.field("scores").type)
        return tables.set_column(tables.column_names.index("scores"), "scores", column)

    rows = tables["scores"].to_pylist()
    assert problems(tables) == []
    other = [{"perplexity": {**rows[0]["perplexity"], "nll": 1.0}}, *rows[1:]]
    assert ["the distribution of nll" in problem for problem in problems(with_scores(other))] == [True]
    [missing] = problems(with_scores([{"perplexity": None}, *rows[1:]]))
    assert "row 0 has no scores of 'perplexity'" in missing
    year = tables.column_names.index("year")
    [differs] = problems(tables.set_column(year, "year", pa.array(["1"] * len(tables))))
    assert "differs from its source in column 'year'" in differs


def test_a_scorer_of_ones_own_runs_where_it_is_trusted(hf_toedit: HfToEdit, source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "my_scorer.py").write_text(
        "from hf_toedit.scorers.own import OwnScorer\n\n\n"
        "class Length(OwnScorer):\n"
        '    fields = {"characters": "int32"}\n\n'
        "    def score_texts(self, texts):\n"
        '        return [{"characters": len(text)} for text in texts]\n'
    )
    run = tmp_path / "run"
    with hf_toedit.beside(PYTHONPATH=str(folder)) as own:
        done = own("score", source, "-o", run, "--scorer", "my_scorer:Length", "--plan-only", "--quiet")
        assert (done.code, done.stderr) == (0, ""), done
        assert "the plan names Python code (scorer 'my_scorer:Length')" in own.fails("run", run, code=2)
        assert own("run", run, "--trust-remote-code", "--workers", 1, "--quiet").code == 0
        again = own.fails("score", run, "-o", tmp_path / "again", "--scorer", "my_scorer:Length")
        assert "already has scores of 'length' in column 'scores'" in again
    found = [row["length"]["characters"] if row["length"] else None for row in load(run)["train"]["scores"]]
    assert found == [len(text) if text else None for text in load(run)["train"]["text"]]
    assert hf_toedit("verify", run).code == 0, "without the code"
    assert hf_toedit("card", run, "--quiet").code == 0


def test_scores_go_to_the_hub_and_back(
    command: HfToEdit, hub: HubServer, questions: Path, prior: Any, scored: Path, tmp_path: Path
) -> None:
    name = "org/scored-questions"
    done = command("score", questions, "-o", tmp_path / "run", *prior, "--limit", 20, "--push-to", name, "--quiet")
    assert (done.code, done.stderr) == (0, ""), done
    files = pushed(hub, name).head("main").files
    assert {path: data for path, data in files.items() if path.endswith(".parquet")} == parquet(tmp_path / "run")
    assert "scores" in files["README.md"].decode()
    back = tmp_path / "back"
    assert command("pull", name, "-o", back, "--quiet").code == 0
    assert parquet(back) == parquet(tmp_path / "run") and command("verify", name).code == 0
    assert _scores(back) == _scores(scored)[:20]


def test_jobs_do_a_run_that_was_planned(
    command: HfToEdit, hub: HubServer, questions: Path, scored: Path, tmp_path: Path
) -> None:
    hub.create_repo("dataset", "org/questions", {"train.jsonl": questions.read_bytes()})
    hub.create_repo("model", "org/stories", shared("models/stories260K"))
    run, name = tmp_path / "run", "org/scored-by-jobs"
    what = "--prior", "org/stories", "--limit", TEXTS, "--num-shards", 3, "--plan-only", "--quiet"
    assert command("score", "org/questions", "-o", run, *what).code == 0
    submit = "jobs", "submit", run, "--push-to", name, "--flavor", "cpu-basic", "--num-jobs", 2, "--workers", 0
    assert command(*submit, "--quiet").code == 0
    jobs = [job for job in hub.jobs.values() if name in job.spec["command"]]
    assert len(jobs) == 2 and all(job.ended.wait(600) for job in jobs)
    assert [job.stage for job in jobs] == ["COMPLETED"] * 2, [job.log.read_text() for job in jobs]
    files = pushed(hub, name).head("main").files
    assert {path: data for path, data in files.items() if path.endswith(".parquet")} == parquet(scored)
    assert command(*submit).stdout.startswith("All 3 shards and the card are on the Hub.")


def test_a_run_lies_in_storage(hf_toedit: HfToEdit, questions: Path, prior: Any, scored: Path, tmp_path: Path) -> None:
    where = f"local://{tmp_path}/run"
    done = hf_toedit("score", questions, "-o", where, *prior, "--limit", TEXTS, "--num-shards", 3, "--quiet")
    assert (done.code, done.stderr) == (0, ""), done
    assert parquet(tmp_path / "run") == parquet(scored)
    assert hf_toedit("verify", where).code == 0


def test_a_save_to_disk_folder_with_chats_is_scored(hf_toedit: HfToEdit, tmp_path: Path, prior: Any) -> None:
    chats = [[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": f"Hello {n}."}] for n in range(4)]
    Dataset.from_dict({"messages": [*chats, None, []]}).save_to_disk(tmp_path / "chats")
    how = "--messages-column", "messages", *prior
    assert hf_toedit("score", tmp_path / "chats", "-o", tmp_path / "run", *how, "--quiet").code == 0
    assert hf_toedit("edit", tmp_path / "chats", "-o", tmp_path / "edited", *how, "--quiet").code == 0
    logs = load(tmp_path / "edited")["train"]["toedit"]
    assert [(row["nll"], row["num_tokens"]) for row in _scores(tmp_path / "run")] == [
        (log["nll"], log["num_tokens"]) for log in logs
    ]
    assert len(load_from_disk(str(tmp_path / "chats"))) == 6
