"""A picture shows the edits of an editor, and the prior's probability of every token."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from hf_toedit import EditConfig, ToEditor
from hf_toedit.editing.alignment import Document
from hf_toedit.editing.passage import Passage
from hf_toedit.editing.piece_table import PieceTable
from hf_toedit.editing.prior import DocumentScores, Prior
from hf_toedit.editing.result import EditedDocument
from hf_toedit.editing.selection import SelectionRule
from hf_toedit.picture.data import NUM_CANDIDATES, Frame, Gallery, Token
from hf_toedit.space.priors import SharedPrior
from tests.picture.conftest import HOSTILE
from tests.shared import shared, texts

EAGER = EditConfig(threshold=0.9, temperature=4.0)


def take(prior, config: EditConfig, *passages, generations: int = 1) -> Gallery:
    return Gallery.take(ToEditor(prior, config), passages, [str(n) for n in range(len(passages))], generations)


def told(count: int) -> list[str]:
    return [text[:240] for text in texts("synthetic_tinystories_500")[:count]]


@pytest.mark.parametrize(
    "config",
    [
        EAGER,
        replace(EAGER, temperature=1.0),
        replace(EAGER, select="below", threshold=0.1),
        replace(EAGER, select="none", drop_below=0.001),
        replace(EAGER, sampler="top-p", top_p=0.9),
        replace(EAGER, sampler="rejection", top_k=64, exclude_original=True),
        replace(EAGER, protect=("re:a|e",), drop_below=0.01),
    ],
)
def test_edits_are_those_of_the_editor(stories_prior, config: EditConfig) -> None:
    passages = [*told(2), *HOSTILE]
    gallery = take(stories_prior, config, *passages, generations=3)
    result = ToEditor(stories_prior, config)
    edited = [result.edit(passages)]
    for _ in range(2):
        edited.append(result.edit(edited[-1]))
    for number, done in enumerate(edited):
        frames = [picture.frames[number] for picture in gallery.pictures]
        assert [frame.document.text for frame in frames] == done.texts
        assert [frame.document.to_log() for frame in frames] == [document.to_log() for document in done.documents]
        assert [frame.generation for frame in frames] == [number + 1] * len(passages)
        shown, counted = gallery.stats[number].to_json(), done.stats.to_json()
        assert {**shown, "seconds": 0} == {**counted, "seconds": 0}
        for index, frame in enumerate(frames):
            for token, view in zip(frame.tokens, done.tokens(index), strict=True):
                same = ("text", "start", "end", "probability", "selected", "replacement", "dropped", "ineligible")
                assert [getattr(token, name) for name in same] == [getattr(view, name) for name in same]
                if view.selected and config.sampler == "top-k":
                    assert token.candidates == view.candidates
    assert [picture.source for picture in gallery.pictures] == passages
    assert [picture.edited for picture in gallery.pictures] == edited[-1].texts
    assert [picture.skipped for picture in gallery.pictures[2:]] == [None, None, "invalid_unicode", "null", "empty"]
    assert any(token.replacement is not None for frame in gallery.pictures[0].frames for token in frame.tokens)


def test_ranks_and_candidates_are_those_of_a_direct_forward(stories_prior, gallery: Gallery) -> None:
    model = AutoModelForCausalLM.from_pretrained(shared("models/stories260K"))
    tokenizer = stories_prior.tokenizer
    ranks = set()
    for picture in gallery.pictures[:3]:
        frame = picture.frames[0]
        ids = tokenizer.encode(picture.source, add_special_tokens=False).ids
        with torch.inference_mode():
            logits = model(torch.tensor([[1, *ids]])).logits[0, :-1]
        probabilities = torch.softmax(logits.double(), dim=1).numpy()
        eligible = [(token, p, number) for token, p, number in zip(frame.tokens, probabilities, ids, strict=True)
                    if token.ineligible is None]  # fmt: skip
        assert len(eligible) > 30
        for token, p, number in eligible:
            rank = int((p > p[number]).sum()) + 1
            assert token.probability == pytest.approx(p[number], rel=1e-4)
            assert token.rank == (rank if rank <= NUM_CANDIDATES else None)
            likeliest = np.sort(p)[::-1][:8]
            assert [share for _, share in token.candidates] == pytest.approx(likeliest.tolist(), rel=1e-4)
            if rank <= 8:
                assert token.candidates[rank - 1] == (token.text, pytest.approx(p[number], rel=1e-4))
        ranks |= {token.rank for token, _, _ in eligible}
    assert {None, 1, 2, 3} <= ranks
    assert max(filter(None, ranks)) > 20


@pytest.mark.parametrize(("settings", "count"), [({"top_k": 3}, 8), ({"top_k": 20}, 20), ({"top_k": 64}, 50)])
def test_as_many_candidates_are_listed_as_may_be_drawn(stories_prior, settings: dict, count: int) -> None:
    editor = ToEditor(stories_prior, replace(EAGER, **settings))
    for most in (NUM_CANDIDATES, 5):
        gallery = Gallery.take(editor, told(1), ["a"], max_listed=most)
        tokens = gallery.pictures[0].frames[0].tokens
        assert {len(token.candidates) for token in tokens if token.ineligible is None} == {min(count, most)}


def test_texts_of_a_passage_are_pictures_of_their_own(stories_prior) -> None:
    first, second = told(2)
    passage = Passage(f"Q: {first}\nA: {second}", ((3, 3 + len(first)), (len(first) + 7, len(first) + 7 + len(second))))
    gallery = Gallery.take(ToEditor(stories_prior, EAGER), [passage, None], ["one", "two", "three"], 2)
    assert [picture.name for picture in gallery.pictures] == ["one", "two", "three"]
    assert [picture.source for picture in gallery.pictures] == [first, second, None]
    for picture in gallery.pictures[:2]:
        for frame in picture.frames:
            assert "".join(piece.text for piece in frame.pieces()) == frame.text
    assert gallery.pictures[1].frames[0].tokens[5].rank is not None


def test_pieces_are_the_whole_text(gallery: Gallery) -> None:
    for picture in gallery.pictures:
        before = picture.source
        for frame in picture.frames:
            pieces = list(frame.pieces())
            assert "".join(piece.text for piece in pieces) == frame.text == (before or "")
            before = frame.document.text
    (family,) = [piece for piece in gallery.pictures[3].frames[0].pieces() if piece.text == "𝔘"]
    assert len(family.tokens) == 4
    assert family.probability == pytest.approx(np.prod([token.probability for token in family.tokens]))


def token(text: str, start: int) -> Token:
    return Token(text, start, 0.5, None, (), False, None, False, "normalized")


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 5)), max_size=12))
@settings(deadline=None)
def test_any_tokens_leave_the_text_whole(spans: list[tuple[int, int]]) -> None:
    """Tokens may overlap, leave gaps, cover no character, and be in any order."""
    text = "The quick brown fox 👩‍👩‍👧."
    tokens = tuple(token(text[start : start + length], start) for start, length in spans)
    pieces = list(Frame(1, EditedDocument(PieceTable(text)), tokens).pieces())
    assert "".join(piece.text for piece in pieces) == text
    shown = [token for piece in pieces for token in piece.tokens]
    assert Counter(shown) == Counter(token for token in tokens if token.text)


def test_progress_is_told(stories_prior) -> None:
    seen: list[tuple[int, int]] = []
    Gallery.take(ToEditor(stories_prior, EAGER), ["Once upon a time."], ["a"], 2, lambda *counts: seen.append(counts))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_no_text_at_all(stories_prior) -> None:
    gallery = take(stories_prior, EAGER)
    assert (gallery.pictures, gallery.stats[0].num_tokens) == ((), 0)
    assert gallery.prior.endswith("stories260K")


class FailingPrior(SharedPrior):
    """A prior that fails on texts with a certain letter, in one of the two readings of a gallery."""

    def __init__(self, prior: Prior, fails_at: str) -> None:
        super().__init__(prior)
        self.fails_at = fails_at

    def score(self, documents: Sequence[Document], rule: SelectionRule) -> list[DocumentScores]:
        if rule.config.select == self.fails_at and any("#" in document.text for document in documents):
            raise RuntimeError("no memory")
        return super().score(documents, rule)


@pytest.mark.parametrize(("fails_at", "skipped"), [("above", "prior_failed"), ("below", None)])
def test_a_prior_may_fail_in_one_of_the_readings(stories_prior, fails_at: str, skipped: str | None) -> None:
    text = "Once upon a time, there was a # girl."
    gallery = take(FailingPrior(stories_prior, fails_at), EAGER, text, "Once upon a time.", generations=2)
    assert [picture.skipped for picture in gallery.pictures] == [skipped, None]
    frame, other = (picture.frames[0] for picture in gallery.pictures)
    assert frame.text == text and bool(frame.tokens) == (skipped is None)
    assert not any(token.rank for token in frame.tokens) and any(token.rank for token in other.tokens)
