"""`hf-toedit select`: which rows are kept, that they are unchanged, and errors."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import load_dataset

import hf_toedit as package
from hf_toedit.features.importance import gumbel_scores, log_ratios, log_weights, top_k
from hf_toedit.features.ngrams import HashedNgrams
from hf_toedit.selection.choice import keys_of
from tests.cli.command import HfToEdit, prior
from tests.cli.pushing import check_whole, load, pushed
from tests.hub_server import HubServer
from tests.shared import shared, texts


def write(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write answers of real models to GSM8K questions, with references for all of them and for every other one."""
    with shared("data/math_gsm8k_test.jsonl").open(encoding="utf-8") as lines:
        references = [json.loads(line)["answer"] for line in lines]
    with shared("data/synthetic_gsm8k_model_solutions.jsonl").open(encoding="utf-8") as lines:
        found = [json.loads(line) for _, line in zip(range(400), lines, strict=False)]
    rows = [
        {
            "text": row["text"],
            "answer": references[row["question_id"]],
            "half": references[row["question_id"]] if number % 2 else None,
            "is_correct": row["is_correct"],
            "number": number,
        }
        for number, row in enumerate(found)
    ]
    return write(tmp_path_factory.mktemp("answers") / "answers.jsonl", rows)


def kept(run: Path) -> Any:
    return load_dataset(str(run), split="train", cache_dir=str(run.parent / "cache"))


def figures(done: Any) -> Any:
    assert (done.code, done.stderr) == (0, ""), done
    return done.json["figures"]


def test_rows_that_a_verifier_passes(hf_toedit: HfToEdit, answers: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    asked = ("--by", "math-answer", "--reference-column", "half", "--threshold", 1)
    truth = ("--truth", "math-answer", "--truth-column", "answer")
    found = figures(hf_toedit("select", answers, "-o", run, *asked, *truth, "--json"))
    rows = load_dataset("json", data_files=str(answers), split="train", cache_dir=str(tmp_path / "cache"))
    expected = [row for row in rows if row["is_correct"] and row["half"] is not None]
    assert kept(run).to_list() == expected and kept(run).features == rows.features
    right = sum(rows["is_correct"])
    assert (found["num_rows"], found["num_scored"], found["num_kept"]) == (400, 200, len(expected))
    judged = found["truth"]
    assert (judged["num_right"], judged["num_wrong"], judged["num_wrong_kept"]) == (right, 400 - right, 0)
    assert (judged["phi"], judged["psi"], judged["point"]) == (len(expected) / right, 0, 1)
    assert judged["verdict"] == "below" and judged["kept_error_rate"] == 0
    verified = hf_toedit("verify", run)
    assert verified.code == 0 and f"{len(expected)} rows" in verified.stdout
    card = (run / "README.md").read_text(encoding="utf-8")
    assert f"These are {len(expected)} of the 400 rows of answers.jsonl" in card
    assert f"| breakdown point 1 / (1 + psi / phi) | 100.00% | {judged['point_low']:.2%} to 100.00% |" in card


def test_a_random_selection_cannot_tell_right_from_wrong(hf_toedit: HfToEdit, answers: Path, tmp_path: Path) -> None:
    truth = ("--truth", "math-answer", "--truth-column", "answer")
    asked = ("--by", "random", "--rate", 0.5, "--json")
    judged = figures(hf_toedit("select", answers, "-o", tmp_path / "run", *asked, *truth))["truth"]
    assert judged["point_low"] < 0.5 < judged["point_high"]
    assert judged["error_rate"] > 0.6 and judged["verdict"] == "above"


def test_importance_weights_are_those_of_their_formula(hf_toedit: HfToEdit, tmp_path: Path) -> None:
    """DSIR selects the same rows as a direct computation, regardless of shards."""
    papers = texts("biomed_pubmedqa_l")
    target = write(tmp_path / "target.jsonl", [{"body": text} for text in papers[:60]])
    some = texts("synthetic_tinystories_500")[:150] + papers[100:150]
    source = write(tmp_path / "source.jsonl", [{"text": text, "number": number} for number, text in enumerate(some)])
    counter = HashedNgrams()
    ratios = log_ratios(counter.count(papers[:60]).total(), counter.count(some).total())
    keys = keys_of("train", len(some))
    asked = ("--by", "dsir", "--target", target, "--target-column", "body", "--rows", 50, "--seed", 3)
    numbers = {}
    for shards in (1, 4):
        run = tmp_path / f"run{shards}"
        found = figures(hf_toedit("select", source, "-o", run, *asked, "--num-shards", shards, "--json"))
        assert (found["num_rows"], found["num_kept"]) == (200, 50)
        numbers[shards] = list(kept(run)["number"])
    assert numbers[1] == numbers[4]
    weights = log_weights(counter.count(some), ratios)
    assert len(set(numbers[1]) & set(range(150, 200))) > 35  # rows of papers; 12 by chance
    assert found["kept_quantiles"]["0.5"] == pytest.approx(np.sort(weights[numbers[1]])[24])
    noisy = {tuple(top_k(gumbel_scores(weights, keys, seed), keys, 50)) for seed in range(3)}
    assert all(len(set(rows) & set(numbers[1])) > 40 for rows in noisy)


def test_the_lowest_perplexities(hf_toedit: HfToEdit, source: Path, tmp_path: Path) -> None:
    asked = ("--by", "perplexity", *prior(), "--rows", 3)
    figures(hf_toedit("select", source, "-o", tmp_path / "run", *asked, "--json"))
    scored = package.score(source, tmp_path / "scored", prior=prior()[1], workers=0, progress=False)
    rows = scored.dataset()["train"].select_columns(["text", "scores"]).to_list()
    best = sorted(range(len(rows)), key=lambda row: rows[row]["scores"]["perplexity"]["nll"] or 99)[:3]
    expected = [rows[row]["text"] for row in sorted(best)]
    assert kept(tmp_path / "run")["text"][:] == expected
    asked = ("--by", "column", "--column", "scores.perplexity.nll", "--keep", "lowest", "--rows", 3)
    figures(hf_toedit("select", tmp_path / "scored", "-o", tmp_path / "again", *asked, "--json"))
    assert kept(tmp_path / "again")["text"][:] == expected


def test_a_card_names_the_score_that_a_threshold_is_for(hf_toedit: HfToEdit, source: Path, tmp_path: Path) -> None:
    asked = ("--by", "perplexity", *prior(), "--threshold", 100)
    figures(hf_toedit("select", source, "-o", tmp_path / "run", *asked, "--json"))
    assert "those whose score <code>nll</code> is at most 100." in (tmp_path / "run" / "README.md").read_text("utf-8")


def test_rows_that_are_least_alike(hf_toedit: HfToEdit, tmp_path: Path) -> None:
    some = ["the same few words in every row"] * 80 + texts("biomed_pubmedqa_l")[:20]
    source = write(tmp_path / "source.jsonl", [{"text": text} for text in some])
    seed = "--seed", -1
    found = figures(
        hf_toedit("select", source, "-o", tmp_path / "run", "--by", "density", "--rows", 20, "--json", *seed)
    )
    assert found["quantiles"]["0.5"] == pytest.approx(-np.log(0.8), abs=0.02)
    others = sum(text != some[0] for text in kept(tmp_path / "run")["text"])
    assert others > 14  # four of 20 by chance


def test_the_best_of_candidates(hf_toedit: HfToEdit, tmp_path: Path) -> None:
    rows = [
        {"answer": "#### 7", "candidates": ["It is 6.", "3 + 4 = 7", "7"]},
        {"answer": "#### 7", "candidates": ["It is 6."]},
        {"answer": None, "candidates": ["7"]},
        {"answer": "#### 7", "candidates": []},
        {"answer": "#### 7", "candidates": None},
    ]
    source = write(tmp_path / "source.jsonl", rows)
    asked = ("--by", "math-answer", "--reference-column", "answer", "--best-of", "candidates")
    done = hf_toedit("select", source, "-o", tmp_path / "run", *asked, "--json")
    assert (done.code, done.stderr) == (0, ""), done
    found = kept(tmp_path / "run")
    assert found["best"][:] == ["3 + 4 = 7", "It is 6.", None, None, None]
    assert found["best_index"][:] == [1, 0, None, None, None]
    assert found["best_score"][:] == [1, 0, None, None, None]
    assert found.remove_columns(["best", "best_index", "best_score"]).to_list() == rows
    assert hf_toedit("verify", tmp_path / "run").code == 0


def test_the_same_command_again_does_nothing_and_another_is_refused(
    hf_toedit: HfToEdit, answers: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    asked = ("--by", "length", "--keep", "middle")
    figures(hf_toedit("select", answers, "-o", run, *asked, "--rate", 0.25, "--json"))
    files = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
    figures(hf_toedit("select", answers, "-o", run, *asked, "--rate", 0.25, "--json"))
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()} == files
    message = hf_toedit.fails("select", answers, "-o", run, *asked, "--rate", 0.5)
    assert message.startswith(f"{run} holds another run: --rate is 0.25 in the run and 0.5 here. Name a new folder")
    message = hf_toedit.fails("select", answers, "-o", run, "--by", "random", "--rate", 0.25)
    assert "--scorer is length in the run and random here" in message


@pytest.mark.parametrize("until", ["toedit/steps/scores/toedit/plan.json", "toedit/plan.json"])
def test_a_selection_that_was_killed_goes_on(hf_toedit: HfToEdit, answers: Path, tmp_path: Path, until: str) -> None:
    asked = ("--by", "length", "--keep", "middle", "--rate", 0.5, "--num-shards", 6, "-q")
    assert hf_toedit("select", answers, "-o", tmp_path / "whole", *asked).code == 0
    run = tmp_path / "run"
    killed = hf_toedit("select", answers, "-o", run, *asked, kill_when=(run / until).exists)
    assert killed.code in (-9, 0)
    assert hf_toedit("select", answers, "-o", run, *asked).code == 0
    assert kept(run).to_list() == kept(tmp_path / "whole").to_list()
    assert hf_toedit("verify", run).code == 0


def test_it_is_pushed_and_loaded(
    hf_toedit: HfToEdit, command: HfToEdit, hub: HubServer, answers: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    figures(hf_toedit("select", answers, "-o", run, "--by", "random", "--rows", 7, "--json"))
    assert command("verify", run).code == 0
    done = command("push", run, "org/kept")
    assert done.code == 0, done
    check_whole(pushed(hub, "org/kept").head("main"), run)
    (found,) = load(hub, ("org/kept", None, None))
    assert found == {"train": kept(run)["text"][:]}


@pytest.mark.parametrize(
    ("args", "code", "expected"),
    [
        (("--by", "random"), 2, "no number of rows is given. Use one of --rows, --rate and --threshold."),
        (("--by", "random", "--rows", 1, "--rate", 0.5), 2, "--rows and --rate are given"),
        (("--by", "random", "--rows", 401), 2, "401 rows are asked for, and there are 400. Ask for fewer."),
        (("--by", "random", "--rate", 1.5), 2, "rate"),
        (("--by", "randon", "--rows", 1), 2, "scorer 'randon' is not known. Did you mean 'random'?"),
        (("--by", "column", "--column", "number", "--rows", 1), 2, "Use --keep highest, middle or lowest."),
        (("--by", "column", "--column", "text", "--rows", 1, "--keep", "highest"), 1, "holds string, not one number"),
        (("--by", "dsir", "--rows", 1), 2, "--by dsir needs a --target"),
        (("--by", "dsir", "--target", "{answers}", "--rows", 1), 2, "has the same words as the source"),
        (("--by", "dsir", "--target", "none.jsonl", "--rows", 1), 1, "none.jsonl"),
        (("--by", "random", "--target", "{answers}", "--rows", 1), 2, "no other scorer has one"),
        (("--by", "math-answer", "--threshold", 1), 2, "Name its column with --reference-column."),
        (("--by", "length", "--rows", 1, "--keep", "above"), 2, "--keep above needs --threshold, not --rows"),
        (("--by", "length", "--threshold", 1e9, "--keep", "above"), 2, "no row has a score above 1e+09: they are from"),
        (("--by", "length", "--rows", 1, "--keep", "lowest", "--score", "words"), 2, "have no field 'words'"),
        (("--by", "random", "--rows", 1, "--truth", "length"), 2, "'length' does not mark rows as right or wrong"),
        (("--by", "random", "--rows", 1, "--truth-column", "answer"), 2, "--truth-column is for --truth"),
        (("--by", "random", "--best-of", "candidates"), 1, "no column 'candidates'"),
        (("--by", "random", "--best-of", "answer"), 1, "'answer'"),
        (("--by", "random", "--best-of", "candidates", "--rows", 1), 2, "--best-of keeps every row. Leave --rows out"),
        (("--by", "random", "--rows", 1, "--text-column", "body"), 1, "'body'"),
    ],
)
def test_what_cannot_be_selected_is_refused(
    hf_toedit: HfToEdit, answers: Path, tmp_path: Path, args: tuple[object, ...], code: int, expected: str
) -> None:
    filled = (str(arg).format(answers=answers) for arg in args)
    assert expected in hf_toedit.fails("select", answers, "-o", tmp_path / "run", *filled, code=code)
    assert not (tmp_path / "run" / "data").exists()


def test_another_seed_gives_other_random_rows(hf_toedit: HfToEdit, answers: Path, tmp_path: Path) -> None:
    numbers = []
    for seed in (0, 1):
        run = tmp_path / f"run{seed}"
        figures(hf_toedit("select", answers, "-o", run, "--by", "random", "--rate", 0.5, "--seed", seed, "--json"))
        numbers.append(set(kept(run)["number"]))
    assert 60 < len(numbers[0] & numbers[1]) < 140  # about half of 200


def test_no_tolerance_is_a_tolerance(hf_toedit: HfToEdit, tmp_path: Path) -> None:
    source = write(tmp_path / "source.jsonl", [{"text": "100", "answer": "101"}, {"text": "101", "answer": "101"}])
    asked = ("--by", "numeric", "--reference-column", "answer", "--threshold", 1)
    assert figures(hf_toedit("select", source, "-o", tmp_path / "a", *asked, "--json"))["num_kept"] == 2
    found = figures(hf_toedit("select", source, "-o", tmp_path / "b", *asked, "--tolerance", 0, "--json"))
    assert found["num_kept"] == 1


def test_a_folder_that_holds_something_else_is_left_alone(hf_toedit: HfToEdit, answers: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    message = hf_toedit.fails("select", answers, "-o", tmp_path, "--by", "random", "--rows", 1)
    assert message == f"folder {tmp_path} is not empty and holds no run. Name a new folder with -o."
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_it_needs_a_folder(hf_toedit: HfToEdit, answers: Path) -> None:
    assert hf_toedit.fails("select", answers, "--by", "random", "--rows", 1, code=2).startswith("no output folder")


def test_runs_may_be_planned_here_and_done_elsewhere(hf_toedit: HfToEdit, answers: Path, tmp_path: Path) -> None:
    """`compare`, `select` and `mix` name the next runs until none are left."""
    papers = shared("data/biomed_pubmedqa_l.jsonl")
    target = ("--target", papers, "--target-column", "text", "--rows", 20, "--limit", 60, "--by", "dsir")
    commands = {
        "select": ("select", answers, "-o", tmp_path / "select", *target),
        "mix": ("mix", f"a={answers}:0.5", f"b={papers}:0.5", "-o", tmp_path / "mix", "--tokens", "2K"),
        "compare": ("compare", f"a={answers}", f"b={papers}", "-o", tmp_path / "compare", "--limit", 60, *prior()),
    }
    for name, command in commands.items():
        rounds = []
        while True:
            done = hf_toedit(*command, "--plan-only", "--json")
            assert (done.code, done.stderr) == (0, ""), done
            if "planned" not in done.json:
                break
            rounds.append([Path(folder).relative_to(tmp_path / name).as_posix() for folder in done.json["planned"]])
            for folder in done.json["planned"]:
                assert hf_toedit("run", folder, "-q").code == 0
        steps = "toedit/steps"
        expected = {
            "select": [[f"{steps}/target", f"{steps}/source"], [f"{steps}/scores"], ["."]],
            "mix": [[f"{steps}/a/tokens", f"{steps}/b/tokens"], [f"{steps}/a/rows", f"{steps}/b/rows"], ["."]],
        }
        if name in expected:
            assert rounds == expected[name]
            at_once = hf_toedit(*(tmp_path / "once" if part == tmp_path / name else part for part in command), "-q")
            assert at_once.code == 0 and kept(tmp_path / "once").to_list() == kept(tmp_path / name).to_list()
            shutil.rmtree(tmp_path / "once")
        else:
            assert [len(folders) for folders in rounds] == [2, 2] and (tmp_path / "compare/report.md").exists()
    said = hf_toedit(*commands["mix"][:-3], tmp_path / "other", *commands["mix"][-2:], "--plan-only").stdout
    assert said.startswith(f"Planned: {tmp_path}/other/{steps}/a/tokens\n") and "repeat this command." in said
