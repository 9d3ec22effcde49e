"""User-defined scorers, and scorers by name."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from hf_toedit.config import PriorConfig, Resources, TextConfig
from hf_toedit.errors import PriorError, UsageError
from hf_toedit.rows.texts import Texts
from hf_toedit.scorers.classifier import ClassifierConfig
from hf_toedit.scorers.own import OwnScorerConfig
from hf_toedit.scorers.perplexity import PerplexityConfig
from hf_toedit.scorers.registry import scorer_config, scorer_from_json, scorer_to_json
from hf_toedit.scorers.scorer import RowScores, Scorer
from tests.test_extending import EXAMPLES

MODULE = '''
import math

from hf_toedit.scorers.own import OwnScorer


class Length(OwnScorer):
    """How long a text is, and how much of it is written in capitals."""

    fields = {"characters": "int32", "capitals": "float32"}

    def score_texts(self, texts):
        return [{"characters": len(text), "capitals": sum(map(str.isupper, text)) / len(text)} for text in texts]


class Answers(OwnScorer):
    """Whatever a test wants."""

    fields = {"x": "float32", "n": "int32"}
    kind = "said"
    answer = None

    def score_texts(self, texts):
        return self.answer(texts)


class NotOne: ...


class NoFields(OwnScorer):
    def score_texts(self, texts): ...


class BadFields(NoFields):
    fields = {"x": "string"}


class Half(OwnScorer):
    fields = {"x": "int64"}


class Raises(NoFields):
    fields = {"x": "int64"}

    def __init__(self):
        raise ValueError("no such lexicon")
'''


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    file = tmp_path / "my_scorers.py"
    file.write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield file
    sys.modules.pop("my_scorers", None)


def _load(name: str) -> Scorer:
    return OwnScorerConfig(f"my_scorers:{name}").load(Resources())[1]


def _score(scorer: Scorer, rows: list[str | None]) -> RowScores:
    return scorer.score(scorer.prepare(pa.table({"text": rows}), Texts(TextConfig())))


def _answering(answer: Any) -> Scorer:
    scorer = _load("Answers")
    sys.modules["my_scorers"].Answers.answer = staticmethod(answer)  # type: ignore[attr-defined]
    return scorer


def test_rows_are_scored_and_words_counted(module: Path) -> None:
    scorer = _load("Length")
    rows = ["A DOG.", None, "", " ", "Two  words"]
    scored = _score(scorer, rows)
    assert scored.rows[0] == {"characters": 6, "capitals": float(np.float32(4 / 6))}
    assert scored.rows[1] == scored.rows[2] == {"characters": None, "capitals": None}
    assert scored.rows[3] == {"characters": 1, "capitals": 0.0}
    assert (scored.num_documents, scored.num_tokens, scored.num_skipped) == (5, 4, {"null": 1, "empty": 1})
    prepared = scorer.prepare(pa.table({"text": rows}), Texts(TextConfig()))
    assert prepared.num_tokens.tolist() == [2, 0, 0, 0, 2]
    assert [document.text for document in prepared.documents] == ["A DOG.", "Two  words"]
    scorer.read(prepared.documents)


def test_the_example_of_the_documentation(module: Path) -> None:
    module.write_text(dict((name, code) for code, name in EXAMPLES)["my_scorer.py"], encoding="utf-8")
    scored = _score(_load("Richness"), ["A dog and a cat.", " ", None])
    assert scored.rows[0] == {"types": 4, "share": float(np.float32(0.8))}
    assert scored.rows[1:] == [{"types": 0, "share": None}, {"types": None, "share": None}]


def test_settings_are_pinned_without_making_the_scorer_and_read_without_it(module: Path) -> None:
    config = OwnScorerConfig("my_scorers:Raises")
    assert (config.kind, config.fields, config.revision) == ("", {}, "")
    pinned = config.pinned()
    assert (pinned.kind, pinned.fields) == ("raises", {"x": "int64"})
    assert OwnScorerConfig("my_scorers:Answers").pinned().kind == "said"
    assert pinned.own_code == {"scorer": "my_scorers:Raises"} and not pinned.trust_remote_code
    written = json.loads(json.dumps(scorer_to_json(pinned)))
    sys.modules.pop("my_scorers")
    module.rename(module.with_name("gone.py"))
    assert scorer_from_json(written) == pinned
    assert "my_scorers" not in sys.modules
    module.write_text(MODULE + "\n", encoding="utf-8")
    assert config.pinned().revision != pinned.revision


@pytest.mark.parametrize(
    "name, said",
    [
        ("None", "module 'my_scorers' has no class 'None'"),
        ("NotOne", "scorer 'my_scorers:NotOne' must be derived from hf_toedit.scorers.own.OwnScorer."),
        ("NoFields", "the fields of scorer 'my_scorers:NoFields' must be names with one of float32, float64, int32"),
        ("BadFields", "the fields of scorer 'my_scorers:BadFields' must be names"),
        ("Half", "scorer 'my_scorers:Half' cannot be made"),
        ("Raises", "scorer 'my_scorers:Raises' cannot be made (ValueError: no such lexicon). Fix its class."),
    ],
)
def test_classes_that_are_not_scorers(module: Path, name: str, said: str) -> None:
    with pytest.raises(UsageError) as raised:
        _load(name)
    assert said in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "answer, said",
    [
        (lambda texts: None, "a list of 2 answers, one per text, not a NoneType"),
        (lambda texts: [{"x": 1, "n": 1}], "a list of 2 answers, one per text, not 1"),
        (lambda texts: [1.0] * len(texts), "x, n for each text, not a float"),
        (lambda texts: [{"x": 1}] * len(texts), "x, n for each text, not x"),
        (lambda texts: [{"x": 1, "n": 2, "m": 3}] * len(texts), "x, n for each text, not x, n, m"),
        (lambda texts: [{"x": "1", "n": 1}] * len(texts), "a number as 'x', not '1'"),
        (lambda texts: [{"x": True, "n": 1}] * len(texts), "a number as 'x', not True"),
        (lambda texts: [{"x": 1, "n": 1.5}] * len(texts), "a whole number of int32 as 'n', not 1.5"),
        (lambda texts: [{"x": 1, "n": 2**31}] * len(texts), "a whole number of int32 as 'n', not 2147483648"),
    ],
)
def test_wrong_answers_are_one_clear_error(module: Path, answer: Any, said: str) -> None:
    with pytest.raises(PriorError) as raised:
        _score(_answering(answer), ["a", "b"])
    assert str(raised.value) == f"score_texts of scorer 'my_scorers:Answers' must return {said}. Fix its class."


def test_what_is_not_finite_is_null(module: Path) -> None:
    values = [1, np.float32(0.1), math.nan, -math.inf, None, 1e300, np.int64(3)]
    scored = _score(_answering(lambda texts: [{"x": value, "n": 2.0} for value in values]), ["a"] * len(values))
    assert [row["x"] for row in scored.rows] == [1.0, float(np.float32(0.1)), None, None, None, None, 3.0]
    assert {row["n"] for row in scored.rows} == {2} and not scored.num_skipped


def test_a_text_that_it_fails_on_is_skipped(module: Path) -> None:
    def answer(texts: list[str]) -> list[dict[str, float]]:
        return [{"x": 1 / (text != "b"), "n": 1} for text in texts]

    scored = _score(_answering(answer), ["a", "b", "c"])
    assert [row["x"] for row in scored.rows] == [1.0, None, 1.0]
    assert scored.num_skipped == {"scorer_failed": 1} and scored.num_tokens == 2
    assert scored.skip_reasons == {"scorer_failed": "division by zero"}
    with pytest.raises(PriorError, match="scorer 'my_scorers:Answers' fails on every text: division by zero"):
        _score(_answering(lambda texts: 1 / 0), ["a"])


CONFIGS = [
    PerplexityConfig(PriorConfig("org/model", revision="1" * 40), prior_revision="1" * 40),
    ClassifierConfig("org/model", labels=("a", "b"), truncate=True, revision="2" * 40),
    OwnScorerConfig("a.b:C", "c", (("x", "float32"),), "3"),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.kind)
def test_settings_of_any_scorer_are_read_back(config: Any) -> None:
    written = json.loads(json.dumps(scorer_to_json(config)))
    assert next(iter(written)) == "scorer"
    assert scorer_from_json(written) == config
    hash(config)


def test_scorers_by_name() -> None:
    assert scorer_config("perplexity") == PerplexityConfig()
    assert scorer_config("classifier", {"model": "org/model", "labels": "a"}).fields == {"a": "float32"}
    assert scorer_config("a:B").own_code == {"scorer": "a:B"}
    with pytest.raises(UsageError, match="scorer 'perplexty' is not known. Did you mean 'perplexity'?"):
        scorer_config("perplexty")
    with pytest.raises(UsageError, match="unknown setting 'modell'. Did you mean 'model'?"):
        scorer_config("classifier", {"modell": "x"})
    with pytest.raises(UsageError, match="scorer.model 3|scorer.model must be a string"):
        scorer_from_json({"scorer": "classifier", "model": 3}, "scorer")
    with pytest.raises(UsageError, match="scorer must be an object with the name of a scorer, not 3"):
        scorer_from_json(3, "scorer")
    with pytest.raises(UsageError, match="is not known. A class of your own is named as module:Class."):
        OwnScorerConfig("C")
