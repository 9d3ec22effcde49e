"""Scorers without a model, in score runs, compared with plain Python."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer

import hf_toedit
from hf_toedit.errors import PriorError, SourceError, UsageError
from hf_toedit.features.ngrams import words
from hf_toedit.scorers.dsir import DsirConfig
from hf_toedit.scorers.verifier import ExactConfig, MathAnswerConfig, NumericConfig
from tests.shared import shared, texts

ROWS: list[dict[str, Any]] = [
    {"text": "It is 5.", "context": "2 + 3?", "reference": "#### 5", "number": 1, "quality": 0.5, "fine": True},
    {"text": "It is 6.", "context": "2 + 3?", "reference": "#### 5", "number": 2, "quality": None, "fine": False},
    {"text": "", "context": "2 + 3?", "reference": "#### 5", "number": 3, "quality": 1.5, "fine": True},
    {"text": "#### 5", "context": "9", "reference": None, "number": None, "quality": 2.5, "fine": None},
    {"text": "#### 5", "context": "9", "reference": "#### 5", "number": -1, "quality": math.nan, "fine": True},
]

MODULE = """
def passes(text, row):
    return None if row["reference"] is None else len(text) > 6

def number(text, row):
    return row["number"]

def some(text, row):
    return row["number"] + 1

def fails(text, row):
    raise ValueError("no way")

def words(text, row):
    return text.split()
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    nested = ("quality", "fine")
    rows = [{**row, "meta": {name: row[name] for name in nested}} for row in ROWS]
    rows = [{name: value for name, value in row.items() if name not in nested} for row in rows]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def scored(source: Path, folder: Path, scorer: str, **settings: Any) -> list[Any]:
    run = hf_toedit.score(source, folder, scorer=scorer, workers=0, progress=False, **settings)
    assert run.verify(progress=False).problems == []
    assert (folder / "README.md").stat().st_size > 1000
    (kind,) = run.dataset()["train"].features["scores"]
    return [row["scores"][kind] for row in run.dataset()["train"]]


@pytest.mark.parametrize(
    ("scorer", "settings", "expected"),
    [
        ("exact", {}, [0, 0, None, None, 1]),
        ("math-answer", {}, [1, 0, None, None, 1]),
        ("numeric", {}, [1, 0, None, None, 1]),
        ("numeric", {"tolerance": 0.2}, [1, 1, None, None, 1]),
        ("math-answer", {"context_columns": "context"}, [1, 0, None, None, 1]),
    ],
)
def test_verifiers_read_the_texts_without_their_context(
    source: Path, tmp_path: Path, scorer: str, settings: dict[str, Any], expected: list[int | None]
) -> None:
    found = scored(source, tmp_path / "run", scorer, reference_column="reference", **settings)
    assert [row["passed"] for row in found] == expected


def test_answers_of_real_models_are_judged_as_their_authors_did() -> None:
    """Solutions of GSM8K by four models of OpenAI, with a label for each whether it is right."""
    with shared("data/math_gsm8k_test.jsonl").open(encoding="utf-8") as lines:
        references = [json.loads(line)["answer"] for line in lines]
    verify = MathAnswerConfig("answer").verify
    with shared("data/synthetic_gsm8k_model_solutions.jsonl").open(encoding="utf-8") as lines:
        for solution in map(json.loads, lines):
            expected = {"passed": int(solution["is_correct"])}
            assert verify(solution["text"], references[solution["question_id"]]) == expected


@pytest.mark.parametrize(
    ("text", "reference", "error"),
    [
        ("1.0, 2.0", "1 2", 0.0),
        ("1.1 2", "1 2", 0.1 / 3),
        ("-1 2", "1 2", 2 / 3),
        ("1", "1 2", None),
        ("none", "0", None),
        ("0", "0", 0.0),
        ("1", "0", None),
    ],
)
def test_the_relative_error_of_numbers(text: str, reference: str, error: float | None) -> None:
    found = NumericConfig("answer", tolerance=0.05).verify(text, reference)
    assert found == {
        "passed": int(error is not None and error <= 0.05),
        "error": error if error is None else pytest.approx(error),
    }


def test_a_reference_that_says_nothing_gives_no_score() -> None:
    assert NumericConfig("answer").verify("5", "nothing") is None
    assert MathAnswerConfig("answer").verify("5", "nothing") is None
    assert MathAnswerConfig("answer").verify("nothing", "5") == {"passed": 0}


def test_exact_leaves_whitespace_around_and_the_form_of_unicode_aside() -> None:
    verify = ExactConfig("answer").verify
    assert verify(" cafe\u0301\n", "caf\u00e9") == {"passed": 1}
    assert verify("cafe", "caf\u00e9") == verify("a  b", "a b") == {"passed": 0}


def test_rouge_is_that_of_its_package(source: Path, tmp_path: Path) -> None:
    rouge_scorer = pytest.importorskip("rouge_score.rouge_scorer")
    expected = rouge_scorer.RougeScorer(["rouge1"]).score("#### 5", "It is 5.")["rouge1"].fmeasure
    found = scored(source, tmp_path / "run", "rouge1", reference_column="reference")
    assert [row["rouge1"] for row in found] == [pytest.approx(expected), 0, None, None, 1]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("number", [1, 2, 3, None, -1]),
        ("meta.quality", [0.5, None, 1.5, 2.5, None]),
        ("meta.fine", [1, 0, 1, None, 1]),
    ],
)
def test_a_column_is_a_score(source: Path, tmp_path: Path, column: str, expected: list[float | None]) -> None:
    assert [row["value"] for row in scored(source, tmp_path / "run", "column", column=column)] == expected


def test_a_column_of_large_integers_is_rounded_to_float64(tmp_path: Path) -> None:
    source = tmp_path / "rows.parquet"
    large = [2**63 - 1, 2**53 + 1, -(2**63), None]
    pq.write_table(pa.table({"text": ["a"] * 4, "number": pa.array(large, pa.int64())}), source)
    values = [row["value"] for row in scored(source, tmp_path / "run", "column", column="number")]
    assert values == [2.0**63, 2.0**53, -(2.0**63), None]


def test_lengths(tmp_path: Path) -> None:
    source = shared("data/math_gsm8k_test.jsonl")
    some = texts("math_gsm8k_test")[:40]
    found = scored(source, tmp_path / "words", "length", limit=40)
    assert [row["num_tokens"] for row in found] == [len(words(text)) for text in some]
    folder = shared("models/stories260K")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    found = scored(source, tmp_path / "tokens", "length", limit=40, tokenizer=folder)
    assert [row["num_tokens"] for row in found] == [
        len(tokenizer.encode(text, add_special_tokens=False)) for text in some
    ]


def test_random_numbers_are_those_of_the_text_and_the_seed(source: Path, tmp_path: Path) -> None:
    found = [row["number"] for row in scored(source, tmp_path / "a", "random")]
    assert found[2] is None and found[3] == found[4] and len(set(found)) == 4
    assert found == [row["number"] for row in scored(source, tmp_path / "b", "random", num_shards=3)]
    assert all(0 <= number < 1 for number in found if number is not None)


def test_functions_of_the_users_own(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_checks.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    trusted = {"trust_remote_code": True}
    found = scored(source, tmp_path / "run", "my_checks:passes", **trusted)
    assert [row["passed"] for row in found] == [1, 1, None, None, 0]
    assert [row["passed"] for row in scored(source, tmp_path / "n", "my_checks:number", **trusted)] == [
        1,
        2,
        None,
        None,
        -1,
    ]
    found = scored(source, tmp_path / "some", "my_checks:some", **trusted)
    assert [row["passed"] for row in found] == [2, 3, None, None, 0]
    with pytest.raises(PriorError, match=r"fails on every text \(ValueError: no way\)\. Fix its function"):
        scored(source, tmp_path / "f", "my_checks:fails", **trusted)
    with pytest.raises(PriorError, match="must return true, false, a number or None"):
        scored(source, tmp_path / "w", "my_checks:words", **trusted)
    with pytest.raises(UsageError, match="has no class 'passed'"):
        scored(source, tmp_path / "no", "my_checks:passed", **trusted)


@pytest.mark.parametrize(
    ("scorer", "settings", "error", "message"),
    [
        ("math-answer", {}, UsageError, "Name its column with --reference-column"),
        (
            "math-answer",
            {"reference_column": "refrence"},
            SourceError,
            "no column 'refrence'. Did you mean 'reference'",
        ),
        ("exact", {"reference_column": "meta"}, SourceError, "'meta' does not hold one reference per row"),
        ("column", {}, UsageError, "Name it with --column"),
        ("column", {"column": "text"}, SourceError, "column 'text' holds string, not one number per row"),
        ("column", {"column": "meta.qualty"}, SourceError, "'meta' has no field 'qualty'. Did you mean 'quality'"),
        ("column", {"column": "number", "tolerance": 0.1}, UsageError, "--tolerance is for --scorer numeric"),
        ("numeric", {"reference_column": "reference", "tolerance": -1.0}, UsageError, "tolerance"),
        ("perplexity", {"reference_column": "reference"}, UsageError, "--reference-column is for --scorer exact or"),
        ("dsir", {}, UsageError, "hf-toedit select --by dsir does both"),
        ("length", {"prior": "org/model"}, UsageError, "--prior is for --scorer perplexity"),
        ("math-anser", {"reference_column": "x"}, UsageError, "'math-anser' is not known. Did you mean 'math-answer'"),
    ],
)
def test_what_cannot_be_scored_is_refused(
    source: Path, tmp_path: Path, scorer: str, settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        hf_toedit.score(source, tmp_path / "run", scorer=scorer, workers=0, progress=False, **settings)
    assert not (tmp_path / "run" / "toedit" / "plan.json").exists()


def test_ratios_that_are_none_are_refused() -> None:
    for damaged in ("AAAA", "not base64!"):
        with pytest.raises(UsageError, match="10,000 numbers"):
            DsirConfig("target", "1" * 40, damaged)
