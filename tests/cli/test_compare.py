"""`hf-toedit compare`: what differs is seen and what does not is not, and the report says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

import hf_toedit
from hf_toedit.stats import EditStats
from tests.cli.command import HfToEdit, prior
from tests.shared import texts


def _write(path: Path, documents: list[str]) -> Path:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in documents), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compare")
    stories = texts("synthetic_tinystories_500")
    _write(folder / "half.jsonl", stories[::2])
    _write(folder / "other.jsonl", stories[1::2])
    _write(folder / "pubmed.jsonl", texts("biomed_pubmedqa_l")[:250])
    return folder


def test_differences_are_told_from_noise(hf_toedit: HfToEdit, files: Path) -> None:
    command = ("compare", "a=half.jsonl", "b=other.jsonl", "pubmed=pubmed.jsonl", "-o", "report", "--workers", 0)
    done = hf_toedit(*command, cwd=files)
    assert done.code == 0, done
    *said, last = done.stdout.splitlines()
    assert last == "Report: report/report.md"
    assert said[0].startswith("b against a: no difference seen, since the Jensen-Shannon divergence of 0.")
    assert said[1].startswith("pubmed against a: pure synthetic, since a KL divergence is above epsilon")

    report = json.loads((files / "report/report.json").read_text())
    verdicts = {name: found["verdict"] for name, found in report["comparisons"].items()}
    assert verdicts == {"b": "no difference seen", "pubmed": "pure synthetic"}
    js = {name: found["divergence"]["both"]["figures"]["js"] for name, found in report["comparisons"].items()}
    assert js["b"]["value"] <= js["b"]["noise_high"] < js["pubmed"]["low"] <= js["pubmed"]["value"]
    assert report["variants"]["a"]["texts"]["num_documents"] == 250
    words = [found["diversity"]["num_words"] for found in report["variants"].values()]
    assert max(words) / min(words) < 1.02  # equally many of each

    markdown = (files / "report/report.md").read_text()
    assert "| <code>b</code> | **no difference seen** |" in markdown and "## Perplexity" not in markdown
    with Image.open(files / "report/assets/ngrams.png") as picture:
        assert picture.size[0] > 600

    before = {path: path.read_bytes() for path in (files / "report").rglob("*") if path.is_file()}
    assert hf_toedit(*command, "--json", cwd=files).json == report
    assert {path: path.read_bytes() for path in before} == before


def test_priors_and_runs(hf_toedit: HfToEdit, files: Path) -> None:
    eager = *prior(), "--threshold", 0.6, "--temperature", 4, "--generations", 2, "--limit", 60
    assert hf_toedit("edit", "half.jsonl", "-o", "run", *eager, "--quiet", cwd=files).code == 0
    command = ("compare", "source=half.jsonl", "first=run:gen1", "last=run", "--limit", 60, *prior(), "-o", "two")
    done = hf_toedit(*command, "--workers", 0, "--quiet", cwd=files)
    assert (done.code, done.stdout, done.stderr) == (0, "", ""), done
    report = json.loads((files / "two/report.json").read_text())
    readings = {name: found["readings"][prior()[1]] for name, found in report["variants"].items()}
    run = hf_toedit_run(files / "run")
    assert readings["source"]["perplexity"] == pytest.approx(run.stats(1).perplexity)
    assert readings["first"]["perplexity"] == pytest.approx(run.stats(2).perplexity)
    assert readings["last"]["perplexity"] > readings["source"]["perplexity"]
    assert sum(readings["source"]["probability_shares"]) == pytest.approx(1)
    covered = {name: found["coverage"][prior()[1]] for name, found in report["comparisons"].items()}
    assert 0 <= covered["last"]["span"] <= covered["first"]["span"] < 1
    assert covered["last"]["beyond"] >= covered["first"]["beyond"] > 0.05
    assert (files / "two/assets/perplexity-1.png").exists() and (files / "two/assets/probability-1.png").exists()
    assert "## Perplexity by" in (files / "two/report.md").read_text()


def hf_toedit_run(folder: Path) -> hf_toedit.Run[EditStats]:
    return hf_toedit.Run.open(folder)


def test_names_and_sources_are_escaped(files: Path) -> None:
    (files / "a_*b*").mkdir(exist_ok=True)
    for name in ("half.jsonl", "pubmed.jsonl"):
        (files / "a_*b*" / name).write_bytes((files / name).read_bytes())
    named = {"my_data": files / "a_*b*/half.jsonl", "x_y": files / "a_*b*/pubmed.jsonl"}
    report = hf_toedit.compare(named, files / "escaped", workers=0, progress=False, limit=100)
    assert report["reference"] == "my_data"
    markdown = (files / "escaped/report.md").read_text()
    assert "my\\_data" in markdown and "a\\_\\*b\\*" in markdown and "my_data" not in markdown.replace("my\\_data", "")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["half.jsonl", "b=other.jsonl"], 2, "variant 'half.jsonl' is not NAME=SOURCE"),
        (["a=half.jsonl", "a=other.jsonl"], 2, "two variants are called 'a'"),
        (["a=half.jsonl"], 2, "needs two variants or more"),
        (["a/b=half.jsonl", "c=other.jsonl"], 2, "variant name 'a/b' must be of letters"),
        (["a=half.jsonl", "b=none.jsonl"], 1, "no file or folder 'none.jsonl'"),
        (["a=half.jsonl", "b=other.jsonl", "--text-column", "body"], 1, "body"),
        (["a=half.jsonl", "b=other.jsonl", "--workers", "x"], 2, "workers 'x' is not a number"),
        (["a=half.jsonl", "b=other.jsonl", "--epsilon", "0"], 2, "epsilon 0.0 is out of range"),
        (["a=half.jsonl", "b=empty.jsonl"], 2, "variant 'b' (empty.jsonl) has no text"),
    ],
)
def test_bad_input(
    arguments: list[str], code: int, said: str, hf_toedit: HfToEdit, files: Path, tmp_path: Path
) -> None:
    _write(files / "empty.jsonl", ["", ""])
    error = hf_toedit.fails("compare", *arguments, "-o", tmp_path / "report", code=code, cwd=files)
    assert said in error
    assert not (tmp_path / "report/report.json").exists()


def test_a_folder_that_holds_something_else_is_left_alone(hf_toedit: HfToEdit, files: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    asked = "compare", "a=half.jsonl", "b=other.jsonl", "-o", tmp_path
    assert "is not empty and holds no report" in hf_toedit.fails(*asked, cwd=files)
    assert "is a file" in hf_toedit.fails(*asked[:-1], tmp_path / "mine.txt", cwd=files)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_few_documents_do_not_suffice(files: Path) -> None:
    named = {"a": files / "half.jsonl", "b": files / "pubmed.jsonl"}
    report = hf_toedit.compare(named, files / "few", workers=0, progress=False, limit=5)
    assert report["comparisons"]["b"]["verdict"] == "not enough data"
    assert "give more documents" in (files / "few/report.md").read_text()
