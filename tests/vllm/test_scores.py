"""Scores by vLLM, compared with `transformers` on the same texts."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from hf_toedit import EditConfig, PriorConfig, ToEditor, load_prior
from hf_toedit.config import Resources
from hf_toedit.editing.passage import Passage
from hf_toedit.editing.result import EditResult
from hf_toedit.errors import PriorError
from tests.shared import shared, texts

CONTEXT = 96
TOLERANCE = 2e-4
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ m.role + ':\n' + m.content | trim + eos_token + '\n' }}{% endfor %}"
)


def load(path: Path, backend: str, dtype: str = "auto", **resources: int):
    return load_prior(PriorConfig(str(path), backend=backend, dtype=dtype), Resources(**resources))


@pytest.fixture(scope="module")
def priors(folder):
    """vLLM reserves two positions of its context, so the other prior has two fewer; steps are short, to have many."""
    of_vllm = load(folder(max_position_embeddings=CONTEXT + 2), "vllm", token_budget=64)
    return of_vllm, load(folder(max_position_embeddings=CONTEXT), "transformers")


def documents_to_read() -> list[str | Passage]:
    """Return short and odd documents, some longer than several contexts, and some after a prompt."""
    stories, rows = texts("synthetic_tinystories_500"), texts("multilingual_udhr2")
    prompts = [Passage.of(response, [prompt]) for prompt, response in zip(stories[:2], stories[3:5], strict=True)]
    return ["a", " ", "The end.", *stories[6:9], *rows[::180], *texts("awkward_blns")[50:500:120], *prompts]


def check(mine: EditResult, other: EditResult, config: EditConfig, tolerance: float = TOLERANCE) -> int:
    """Compare all scores that an editor receives, and return the number of selected tokens."""
    edge, num_selected = math.log(config.threshold), 0
    for document, expected in zip(mine.documents, other.documents, strict=True):
        assert document.skipped == expected.skipped
        if document.reading is None:
            continue
        ours, theirs = document.reading.scores, expected.reading.scores
        np.testing.assert_allclose(ours.logprobs, theirs.logprobs, atol=tolerance)
        # Rounding may decide about a token exactly at the threshold.
        certain = set(np.flatnonzero(~(np.abs(theirs.logprobs - edge) <= tolerance)).tolist())
        assert set(ours.positions.tolist()) & certain == set(theirs.positions.tolist()) & certain
        rows = [row for row, position in enumerate(theirs.positions.tolist()) if position in certain]
        for row in rows:
            at = int(np.flatnonzero(ours.positions == theirs.positions[row])[0])
            width = np.isfinite(theirs.candidate_logprobs[row]).sum()
            assert np.isfinite(ours.candidate_logprobs[at]).sum() == width
            listed, likeliest = ours.candidate_logprobs[at, :width], theirs.candidate_logprobs[row, :width]
            np.testing.assert_allclose(listed, likeliest, atol=tolerance)
            # Nearly equal candidates may swap places, or be cut off differently.
            unlike = np.diff(likeliest, prepend=np.inf, append=likeliest[-1]) < -2 * tolerance
            apart = np.flatnonzero(unlike[:-1] & unlike[1:])
            assert (ours.candidate_ids[at, apart] == theirs.candidate_ids[row, apart]).all()
        num_selected += len(rows)
    return num_selected


@pytest.mark.parametrize(
    ("config", "least"),
    [
        (EditConfig(), 50),
        (EditConfig(top_k=64, threshold=0.9), 200),
        (EditConfig(select="below", threshold=0.001, drop_below=0.0001), 50),
        (EditConfig(select="none", drop_below=0.001), 0),
        (EditConfig(sampler="top-p", temperature=1.0, top_p=0.9, threshold=0.5), 400),
    ],
    ids=["default", "k 64", "below", "filter", "nucleus"],
)
def test_scores_and_selection(priors, config, least):
    mine, other = (ToEditor(prior, config).edit(documents_to_read()) for prior in priors)
    assert check(mine, other, config) >= least
    assert max(len(document.reading.document) for document in mine.documents) > 4 * CONTEXT
    assert mine.stats.num_dropped == other.stats.num_dropped
    assert mine.stats.num_scored == other.stats.num_scored == mine.stats.num_tokens


def test_nothing_is_left_unread_or_read_twice(priors):
    prior, _ = priors
    told = ["", None, *texts("synthetic_tinystories_500")[:4]]
    together = ToEditor(prior).edit(told)
    alone = [ToEditor(prior).edit([text]) for text in told]
    assert together.texts == [result.texts[0] for result in alone]
    assert [document.skipped for document in together.documents][:3] == ["empty", "null", None]
    assert prior.score([], ToEditor(prior)._rule) == []


def test_a_nucleus_at_another_temperature_is_refused(priors):
    with pytest.raises(PriorError, match="only at temperature 1, not 1.5. Use --temperature 1"):
        ToEditor(priors[0], EditConfig(sampler="top-p")).edit(["Once upon a time."])


def test_conversations(folder):
    path = folder()
    (path / "chat_template.jinja").write_text(TEMPLATE)
    messages = [{"role": "user", "content": "A story."}, {"role": "assistant", "content": "Once upon a time. "}]
    mine, other = (load(path, backend) for backend in ("vllm", "transformers"))
    assert mine.render(messages) == other.render(messages)
    assert (mine.revision, mine.dtype, mine.name) == (other.revision, other.dtype, other.name)
    config = EditConfig(threshold=0.5)
    results = [ToEditor(prior, config).edit([Passage.of(mine.render(messages))]) for prior in (mine, other)]
    assert check(*results, config)


def test_a_prior_without_bos(folder):
    path = folder({"bos_token": None}, max_position_embeddings=CONTEXT + 2)
    other = load(folder({"bos_token": None}, max_position_embeddings=CONTEXT), "transformers")
    mine = load(path, "vllm")
    config = EditConfig(threshold=0.9)
    results = [ToEditor(prior, config).edit(["a", *documents_to_read()]) for prior in (mine, other)]
    assert np.isnan(results[0].documents[0].reading.scores.logprobs).all()
    assert check(*results, config) > 100


def test_a_dtype_that_is_asked_for(folder):
    mine, other = (load(folder(), backend, "bfloat16") for backend in ("vllm", "transformers"))
    assert mine.dtype == other.dtype == "bfloat16"
    told = texts("synthetic_tinystories_500")[:5]
    results = [ToEditor(prior).edit(told) for prior in (mine, other)]
    for document, expected in zip(*(result.documents for result in results), strict=True):
        apart = np.abs(document.reading.scores.logprobs - expected.reading.scores.logprobs)
        assert np.mean(apart) < 0.05


def resized(path: Path, vocab_size: int) -> Path:
    """Return a prior with fewer or more tokens than its tokenizer."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(path)
    model.resize_token_embeddings(vocab_size)
    model.save_pretrained(path)
    return path


def test_a_model_with_more_tokens_than_its_tokenizer(folder):
    path = resized(folder(), 4200)
    config = EditConfig(threshold=0.5, top_k=4150)
    results = [
        ToEditor(load(path, backend), config).edit(texts("synthetic_tinystories_500")[:3])
        for backend in ("vllm", "transformers")
    ]
    assert check(*results, config) > 50


def test_a_token_that_the_model_does_not_know_costs_its_document_alone(folder):
    editor = ToEditor(load(resized(folder(), 700), "vllm"))
    tokenizer = editor.prior.tokenizer
    known = [text for text in ("A cat.", "Hello.", "Once") if max(tokenizer.encode(text).ids) < 700]
    unknown = next(text for text in texts("synthetic_tinystories_500") if max(tokenizer.encode(text).ids) >= 700)
    result = editor.edit([*known, unknown, *known])
    assert known
    assert [document.skipped for document in result.documents] == [
        *[None] * len(known), "prior_failed", *[None] * len(known),
    ]  # fmt: skip


def test_a_model_that_vllm_cannot_run():
    """Its heads are smaller than vLLM supports on a CPU, which it detects only when it reads."""
    editor = ToEditor(load(shared("models/stories260K"), "vllm"))
    for _ in range(2):
        with pytest.raises(PriorError, match="fails on every text: .*head_dim=8"):
            editor.edit(["Once upon a time.", "The end."])


def test_a_model_that_vllm_cannot_load(folder):
    path = folder()
    next(path.glob("*.safetensors")).unlink()
    with pytest.raises(PriorError, match="vLLM cannot load prior"):
        load(path, "vllm")
    with pytest.raises(PriorError, match="runs on cpu, not on cuda"):
        load_prior(PriorConfig(backend="vllm", device="cuda"))
