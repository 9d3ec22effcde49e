"""Perplexity is bitwise that in the edit log: for every kind of text, and if the prior fails."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from hf_toedit import PriorConfig, ToEditor, load_prior
from hf_toedit.checked import from_json
from hf_toedit.config import Resources, TextConfig
from hf_toedit.editing.alignment import Document
from hf_toedit.editing.prior import DocumentScores, Prior
from hf_toedit.editing.selection import SelectionRule
from hf_toedit.errors import PriorError, UsageError
from hf_toedit.rows.rows import edit_table
from hf_toedit.rows.texts import Texts
from hf_toedit.scorers.perplexity import PerplexityConfig, PerplexityScorer
from hf_toedit.scorers.scorer import RowScores
from tests.rows.test_rows import CASES, TEMPLATE
from tests.shared import shared, texts

AWKWARD = [None, "", " ", "a", "Once upon a time.", "\n\n", "Ünïcödé 🙂 " * 9]


class Failing:
    """A prior that fails on every batch with a certain word."""

    def __init__(self, prior: Prior, word: str) -> None:
        self._prior, self._word = prior, word

    def __getattr__(self, name: str) -> Any:
        return getattr(self._prior, name)

    def score(self, documents: Sequence[Document], rule: SelectionRule) -> list[DocumentScores]:
        if any(self._word in document.text for document in documents):
            raise RuntimeError("no such word")
        return self._prior.score(documents, rule)


class Selecting(Failing):
    """A prior that fails if candidates are requested."""

    def score(self, documents: Sequence[Document], rule: SelectionRule) -> list[DocumentScores]:
        scores = self._prior.score(documents, rule)
        if any(len(entry.positions) or entry.candidate_ids.size for entry in scores):
            raise PriorError("candidates were asked for.")
        return scores


@pytest.fixture(scope="module")
def chatting(tmp_path_factory: pytest.TempPathFactory) -> Prior:
    """Return a prior with a chat template."""
    folder = tmp_path_factory.mktemp("prior") / "chat"
    shutil.copytree(shared("models/stories260K"), folder)
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "chat_template": TEMPLATE}))
    return load_prior(PriorConfig(str(folder)))


def _scored(prior: Prior, table: pa.Table, found: Texts) -> RowScores:
    scorer = PerplexityScorer(prior)
    prepared = scorer.prepare(table, found)
    scored = scorer.score(prepared)
    assert prepared.num_rows == len(scored.rows) == len(table)
    return scored


def _assert_as_edited(prior: Prior, table: pa.Table, found: Texts) -> RowScores:
    scored = _scored(prior, table, found)
    assert _scored(Selecting(prior, ""), table, found) == scored  # type: ignore[arg-type]
    edited, stats = edit_table(ToEditor(prior), table, found, "toedit", 1)
    logs = edited.column("toedit").to_pylist()
    assert scored.rows == [{name: log[name] for name in ("nll", "num_tokens")} for log in logs]
    for name in ("num_documents", "num_tokens", "num_skipped", "skip_reasons"):
        assert getattr(scored, name) == getattr(stats, name)
    return scored


@pytest.mark.parametrize("case", CASES)
def test_scores_are_those_of_the_edit_log(chatting: Prior, case: str) -> None:
    rows, config = CASES[case]
    table, found = pa.Table.from_pylist(rows()), Texts(TextConfig(**config))
    scored = _assert_as_edited(chatting, table, found)
    assert sum(row["nll"] is not None for row in scored.rows) > len(table) // 2
    if case == "chats":
        assert scored.num_skipped["template_failed"] and scored.skip_reasons["template_failed"]


@pytest.mark.parametrize("name", ["synthetic_tinystories_500", "awkward_blns", "multilingual_udhr2"])
@pytest.mark.parametrize("prior", ["stories260K", "embedded"])
def test_real_rows(name: str, prior: str) -> None:
    loaded = load_prior(PriorConfig(str(shared(f"models/{prior}")) if prior != "embedded" else prior))
    table = pa.table({"text": [*AWKWARD, *(text[:300] for text in texts(name)[:8])]})
    scored = _assert_as_edited(loaded, table, Texts(TextConfig()))
    assert scored.num_skipped["null"] == 1 and scored.num_skipped["empty"] >= 1
    assert scored.rows[0] == {"nll": None, "num_tokens": 0}


def test_tokens_are_known_before_and_values_are_float32(stories_prior: Prior) -> None:
    scorer = PerplexityScorer(stories_prior)
    table = pa.table({"text": [*AWKWARD, *texts("synthetic_tinystories_500")[:9]]})
    prepared = scorer.prepare(table, Texts(TextConfig()))
    rows = scorer.score(prepared).rows
    assert prepared.num_tokens.tolist() == [row["num_tokens"] for row in rows]
    assert all(row["nll"] is None or np.float32(row["nll"]) == row["nll"] for row in rows)
    scorer.read(prepared.documents)


def test_texts_that_the_prior_fails_on(stories_prior: Prior) -> None:
    failing: Any = Failing(stories_prior, "time")
    table = pa.table({"text": ["Once upon a time.", "There was a dog.", None]})
    scored = _assert_as_edited(failing, table, Texts(TextConfig()))
    assert scored.rows[0] == {"nll": None, "num_tokens": 0} and scored.rows[1]["nll"]
    assert scored.num_skipped == {"null": 1, "prior_failed": 1}
    assert scored.skip_reasons == {"prior_failed": "no such word"}
    with pytest.raises(PriorError, match="fails on every text: no such word"):
        _scored(failing, table.slice(0, 1), Texts(TextConfig()))


def test_rows_that_hold_an_edit_log_already(stories_prior: Prior) -> None:
    found = Texts(TextConfig())
    edited, _ = edit_table(ToEditor(stories_prior), pa.table({"text": ["Once upon a time."]}), found, "toedit", 1)
    assert _scored(stories_prior, edited, found) == _scored(stories_prior, edited.select(["text"]), found)


def test_settings_are_pinned_and_loaded(tmp_path: Path) -> None:
    folder = shutil.copytree(shared("models/stories260K"), tmp_path / "prior")
    config = PerplexityConfig(PriorConfig(str(folder), device="cpu"))
    assert (config.kind, config.revision, config.own_code) == ("perplexity", "", {})
    pinned = config.pinned()
    assert pinned.revision and pinned.prior == config.prior
    loaded, scorer = config.load(Resources())
    assert loaded.prior.dtype == "float32" and loaded.revision == pinned.revision and scorer.name == str(folder)
    assert from_json(json.loads(json.dumps(loaded.to_json())), PerplexityConfig) == loaded
    (folder / "config.json").write_text((folder / "config.json").read_text() + " ")
    assert config.pinned().revision != pinned.revision


def test_a_prior_is_not_pruned_for_scores() -> None:
    with pytest.raises(UsageError, match="Leave --prune out"):
        PerplexityConfig(PriorConfig(prune=True))


def test_code_that_would_run_is_named() -> None:
    config = PerplexityConfig(PriorConfig("my:Prior", trust_remote_code=True))
    assert config.own_code == {"prior": "my:Prior"} and config.trust_remote_code
