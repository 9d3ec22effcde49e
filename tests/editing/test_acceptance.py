"""Verified edits: decisions follow the definition, and nothing else changes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

from hf_toedit import ToEditor
from hf_toedit.acceptance import Acceptance
from hf_toedit.config import EditConfig
from hf_toedit.editing.alignment import Document
from hf_toedit.editing.editor import Editor
from hf_toedit.editing.passage import Passage
from hf_toedit.editing.prior import DocumentScores
from hf_toedit.editing.result import VERIFIED_COUNTS, EditResult
from hf_toedit.editing.selection import SelectionRule
from hf_toedit.errors import UsageError
from tests.editing.test_properties import HashPrior, check, documents, passages, quick
from tests.editing.tokenizers import ALL_TOKENIZERS, tokenizer
from tests.shared import shared, texts

EXAMPLES = int(os.environ.get("HF_TOEDIT_EXAMPLES", "40"))
EAGER = EditConfig(threshold=0.5, temperature=8.0, seed=3)


class TrialPrior(HashPrior):
    """Records the documents that it reads a second time."""

    def __init__(self, backend: Tokenizer, has_bos: bool = True) -> None:
        super().__init__(backend, has_bos)
        self.trials: list[Document] = []

    def score(self, documents: Sequence[Document], rule: SelectionRule) -> list[DocumentScores]:
        if not rule.rule.selects:
            self.trials += documents
        return super().score(documents, rule)


@cache
def editors(name: str) -> list[Editor]:
    """Return editors that share a tokenizer, because copying a large one is slow."""
    first = Editor(TrialPrior(tokenizer(name)), EAGER)
    others = [(True, {"exclude_original": True}), (False, {"select": "below"}), (True, {"drop_below": 1e-4})]
    return [varied(first, TrialPrior(first.prior.tokenizer, has_bos), **settings) for has_bos, settings in others]


def varied(editor: Editor, prior: HashPrior | None = None, **settings: Any) -> Editor:
    """Return the same editor with other settings."""
    made = copy(editor)
    made.prior = prior or editor.prior
    made.config = replace(editor.config, **settings)
    made._rule = SelectionRule.of(made.config)
    return made


def verifying(editor: Editor, rule: str) -> Editor:
    return varied(editor, accept=rule)


def rejected(result: EditResult) -> list[set[int]]:
    return [set(document.reading.rejected) if document.reading else set() for document in result.documents]


@pytest.mark.parametrize("name", ALL_TOKENIZERS)
def test_edits_are_kept_or_put_back_and_nothing_else_changes(name):
    num_rejected = num_kept = 0

    @settings(quick, max_examples=EXAMPLES // 2)
    @given(
        st.sampled_from(editors(name)),
        st.lists(st.one_of(documents, passages()), min_size=1, max_size=3),
        st.sampled_from([0.0, 0.5, 3.0]),
        st.sampled_from([1, 3, 16]),
    )
    def run(editor: Editor, given: list[str | Passage], tau: float, window: int) -> None:
        nonlocal num_rejected, num_kept
        sources = [text for entry in given for text in (entry.texts if isinstance(entry, Passage) else [entry])]
        plain = editor.edit(given)
        results = [verifying(editor, f"likelihood:{bound}:{window}").edit(given) for bound in (tau, tau + 2, "inf")]
        for result in results:
            check(result, sources, sources)
            assert result.revert() == sources
            assert result.stats.num_rejected == sum(map(len, rejected(result)))
            assert result.stats.num_changed + result.stats.num_rejected <= plain.stats.num_changed
            assert result.stats.num_selected == plain.stats.num_selected
            for now, before in zip(result.documents, plain.documents, strict=True):
                assert (now.reading is None) == (before.reading is None)
                if now.reading is None or before.reading is None:
                    continue
                drawn = now.reading.changed | now.reading.rejected
                # A token may be protected only because of a rejected edit; without it, other tokens are protected.
                if drawn != before.reading.changed:
                    assert editor.config.protect and drawn.items() < before.reading.changed.items()
                kept = now.reading.drawn >= 0
                assert np.array_equal(now.reading.drawn[kept], before.reading.drawn[kept])
                assert not now.reading.changed.keys() & now.reading.rejected.keys()
                assert np.array_equal(now.reading.dropped, before.reading.dropped)
        strict, lenient, free = map(rejected, results)
        assert all(few <= many for few, many in zip(lenient, strict, strict=True))
        assert not any(free) and results[2].edits == plain.edits and results[2].texts == plain.texts
        again = verifying(editor, f"likelihood:{tau}:{window}").edit(results[0])
        assert again.revert() == sources
        num_rejected += results[0].stats.num_rejected
        num_kept += results[0].stats.num_changed

    run()
    assert num_rejected and num_kept


@pytest.mark.parametrize("name", ALL_TOKENIZERS)
def test_what_is_read_again_is_the_edited_text(name):
    num_read = 0

    @settings(quick, max_examples=EXAMPLES // 2)
    @given(st.sampled_from(editors(name)), passages())
    def run(editor: Editor, passage: Passage) -> None:
        nonlocal num_read
        editor.prior.trials.clear()  # type: ignore[attr-defined]
        plain = editor.edit([passage])
        verifying(editor, "likelihood:inf").edit([passage])
        for trial in editor.prior.trials:  # type: ignore[attr-defined]
            (edited,) = plain.edited_passages()
            assert edited is not None and trial.text == edited.text
            before = editor._aligner.align([passage])[0]
            assert len(trial) == len(before) - plain.stats.num_dropped
            surfaces = [editor._aligner.surface(int(token)) for token in trial.ids]
            for index in np.flatnonzero(trial.eligible):
                assert trial.text[trial.starts[index] : trial.ends[index]] == surfaces[index].text
            num_read += 1

    run()
    assert num_read


@pytest.mark.parametrize(
    "settings", [{}, {"drop_below": 0.01}, {"protect": ("numbers",)}, {"select": "below", "threshold": 0.1}]
)
def test_decisions_are_as_defined(settings, stories_prior):
    """Compare with the definition, computed from full distributions of the model."""
    model = AutoModelForCausalLM.from_pretrained(shared("models/stories260K"), dtype=torch.float32)
    plain = ToEditor(stories_prior, replace(EAGER, **settings))
    stories = [Passage.of(story[:400], [context]) for story, context in zip(*_stories(5), strict=True)]
    draft = plain.draft(stories, 1)
    drawn = plain.edit(stories)
    outcomes = []
    for tau, window in ((0.0, 16), (1.0, 16), (0.2, 1), (0.5, 5)):
        verified = ToEditor(stories_prior, replace(plain.config, accept=f"likelihood:{tau}:{window}")).edit(stories)
        for document, before, now in zip(draft.documents, drawn.documents, verified.documents, strict=True):
            own = np.flatnonzero(document.own)
            dropped = set(own[before.reading.dropped].tolist())
            token = dict(zip(before.reading.scores.positions.tolist(), before.reading.drawn.tolist(), strict=True))
            changed = {int(own[position]): token[position] for position in before.reading.changed}
            changes = _changes(model, document, changed, dropped, window)
            for position in before.reading.changed:
                change = changes[int(own[position])]
                if abs(change + tau) > 1e-3:
                    assert (position in now.reading.changed) == (change >= -tau), (position, change)
                    outcomes.append(position in now.reading.changed)
    assert 20 < sum(outcomes) < len(outcomes) - 20


def _stories(count: int) -> tuple[list[str], list[str]]:
    found = texts("synthetic_tinystories_500")
    return found[:count], [story[:50] for story in found[count : 2 * count]]


def _changes(
    model: torch.nn.Module, document: Document, changed: dict[int, int], dropped: set[int], window: int
) -> dict[int, float]:
    """Return d(i) of each changed token, by its position."""
    ids = document.ids.tolist()
    kept = [position for position in range(len(ids)) if position not in dropped]
    before = dict(enumerate(_logprobs(model, ids)))
    after = dict(zip(kept, _logprobs(model, [changed.get(position, ids[position]) for position in kept]), strict=True))
    changes = {}
    for position in changed:
        changes[position] = 0.0
        for following in range(position + 1, min(position + window + 1, len(ids))):
            if document.own[following] and following not in changed and following not in dropped:
                changes[position] += after[following] - before[following]
    return changes


def _logprobs(model: torch.nn.Module, ids: list[int]) -> list[float]:
    with torch.no_grad():
        logits = model(torch.tensor([[1, *ids]])).logits[0].double()
    return logits.log_softmax(1)[torch.arange(len(ids)), ids].tolist()


def test_decisions_do_not_depend_on_the_batch(stories_prior):
    editor = ToEditor(stories_prior, replace(EAGER, accept="likelihood:0.5"))
    stories = [story[: 50 + 37 * number] for number, story in enumerate(texts("synthetic_tinystories_500")[:16])]
    stories[3] *= 8  # longer than the prior's context
    together = editor.edit(stories)
    assert 10 < together.stats.num_rejected and 10 < together.stats.num_changed
    for order in (range(16), reversed(range(16))):
        for index in order:
            (alone,) = editor.edit([stories[index]]).documents
            assert alone.to_log(VERIFIED_COUNTS) == together.documents[index].to_log(VERIFIED_COUNTS)
    backwards = editor.edit(stories[::-1])
    assert backwards.edits == together.edits[::-1]
    assert {**backwards.stats.to_json(), "seconds": 0} == {**together.stats.to_json(), "seconds": 0}


def test_a_token_says_what_was_rejected(stories_prior):
    story = texts("synthetic_tinystories_500")[0]
    plain = ToEditor(stories_prior, EAGER).edit([story])
    result = ToEditor(stories_prior, replace(EAGER, accept="likelihood")).edit([story])
    put_back = [(mine, other) for mine, other in zip(result.tokens(0), plain.tokens(0), strict=True) if mine.rejected]
    assert len(put_back) == result.stats.num_rejected > 0
    for mine, other in put_back:
        assert (mine.replacement, mine.rejected, other.rejected) == (None, other.replacement, None)
    assert f"{100 * len(put_back) / result.stats.num_tokens:.3g} % rejected" in repr(result)
    # A rejected edit counts with the probability of the original token.
    assert result.stats.probability_before_nano == plain.stats.probability_before_nano
    assert result.stats.probability_after_nano > plain.stats.probability_after_nano


class FailsOnTrials(HashPrior):
    def score(self, documents: Sequence[Document], rule: SelectionRule) -> list[DocumentScores]:
        if not rule.rule.selects:
            raise ValueError("no")
        return super().score(documents, rule)


def test_edits_that_cannot_be_verified_are_put_back(caplog):
    stories = texts("synthetic_tinystories_500")[:3]
    prior = FailsOnTrials(tokenizer("gpt2"))
    plain = ToEditor(prior, EAGER).edit(stories)
    result = ToEditor(prior, replace(EAGER, accept="likelihood:inf")).edit(stories)
    assert result.texts == stories and result.stats.num_rejected == plain.stats.num_changed > 0
    assert not result.stats.num_skipped and "prior failed" in caplog.text


class Pruned(HashPrior):
    def score(self, documents: Sequence[Document], rule: SelectionRule) -> list[DocumentScores]:
        return [replace(entry, sampled=np.zeros(len(entry.logprobs), bool)) for entry in super().score(documents, rule)]


def test_a_pruned_prior_is_refused():
    with pytest.raises(UsageError, match="--prune does not compute most of them"):
        ToEditor(Pruned(tokenizer("gpt2")), EditConfig(accept="likelihood")).edit(["Once upon a time"])


@pytest.mark.parametrize(
    ("rule", "read", "short"),
    [
        ("likelihood", (0.0, 16), "likelihood"),
        ("likelihood:0.0:16", (0.0, 16), "likelihood"),
        ("likelihood:1.50", (1.5, 16), "likelihood:1.5"),
        ("likelihood:1e-3:016", (0.001, 16), "likelihood:0.001"),
        ("likelihood:0:1", (0.0, 1), "likelihood:0:1"),
        ("likelihood:inf:3", (float("inf"), 3), "likelihood:inf:3"),
        ("likelihood:1e22", (1e22, 16), "likelihood:1e+22"),
    ],
)
def test_rules_are_read_and_written(rule, read, short):
    assert Acceptance.of(rule) == Acceptance(*read) == Acceptance.of(short)
    config = EditConfig(accept=rule)
    assert (config.accept, config.acceptance) == (short, Acceptance(*read))
    assert config.content_hash == EditConfig(accept=short).content_hash != EditConfig().content_hash
    assert EditConfig.from_json_value(config.to_json(), "edit") == config
