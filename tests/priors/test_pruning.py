"""Pruning: bitwise the same selection, draws and texts; only statistics are sampled."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from hf_toedit import EditConfig, PriorConfig, ToEditor, load_prior
from hf_toedit.config import Resources
from hf_toedit.editing.alignment import Aligner
from hf_toedit.editing.passage import Passage
from hf_toedit.editing.selection import SelectionRule
from hf_toedit.priors.head import Head, HeadScores
from hf_toedit.priors.pruning import Pruning, in_sample
from hf_toedit.priors.transformers import TransformersPrior
from hf_toedit.stats import SAMPLE
from tests.shared import texts, tokenizer_path

VOCABULARY, WIDTH, ROWS = 20_000, 32, 1200
CPU = torch.device("cpu")
SIZES = {"hidden_size": WIDTH, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}

HEADS: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("LlamaConfig", {}),
    "soft-capped": ("Gemma2Config", {"head_dim": 16, "num_key_value_heads": 2, "final_logit_softcapping": 60.0}),
    "biased": ("PhiConfig", {}),
    "multiplied": ("CohereConfig", {"logit_scale": 0.5}),
    "divided": ("GraniteConfig", {"logits_scaling": 2.0}),
}


def make_head(name: str, scale: float = 3.0) -> Head:
    """Return a head with random weights, large enough that some tokens are nearly certain."""
    torch.manual_seed(0)
    kind, settings = HEADS[name]
    model = AutoModelForCausalLM.from_config(
        getattr(transformers, kind)(vocab_size=VOCABULARY, **SIZES, **settings, tie_word_embeddings=False)
    )
    layer = model.get_output_embeddings()
    with torch.no_grad():
        layer.weight.normal_(std=scale)
        if layer.bias is not None:
            layer.bias.normal_(std=2)
    return Head(model, CPU)


def make_rows(head: Head) -> tuple[torch.Tensor, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return hidden states, rows, targets (half of them the likeliest token), and which are eligible and sampled."""
    generator = torch.Generator().manual_seed(1)
    hidden = torch.randn(ROWS + 7, WIDTH, generator=generator)
    rows = np.arange(ROWS) + 5
    likeliest = head.logits(hidden[rows]).argmax(dim=1).numpy()
    at = np.arange(ROWS)
    targets = np.where(at % 2 == 0, likeliest, (likeliest * 7 + at) % VOCABULARY)
    return hidden, rows, targets, at % 11 > 0, at % SAMPLE == 3


def assert_same(pruned: HeadScores, full: HeadScores, sampled: np.ndarray) -> None:
    for name in ("rows", "candidate_ids", "candidate_logprobs"):
        assert np.array_equal(getattr(pruned, name), getattr(full, name))
    known = sampled.copy()
    known[full.rows] = True
    assert np.array_equal(pruned.logprobs, np.where(known, full.logprobs, np.nan), equal_nan=True)


@pytest.mark.parametrize("name", HEADS)
@torch.inference_mode()
def test_what_is_selected_is_the_same(name):
    head = make_head(name)
    hidden, rows, targets, eligible, sampled = make_rows(head)
    pruning = Pruning(head)
    for settings in ({}, {"threshold": 0.5}, {"threshold": 0.0}, {"threshold": 1.0}, {"sampler": "top-p"}):
        rule = SelectionRule(EditConfig(**settings))
        full = head.score(hidden, rows, targets, eligible, rule)
        pruned = pruning.score(hidden, rows, targets, eligible, sampled, rule)
        dropped = pruning._dropped(hidden, rows, targets, eligible, rule)
        if rule.config.threshold:
            assert dropped.sum() > 400
            assert len(full.rows) > 5 or rule.config.threshold == 1.0
        else:
            assert np.array_equal(dropped, ~eligible)
        if len(full.rows):
            assert_same(pruned, full, sampled)
    nothing = np.zeros(ROWS, dtype=bool)
    rule = SelectionRule(EditConfig())
    none = pruning.score(hidden, rows, targets, nothing, nothing, rule)
    assert np.isnan(none.logprobs).all() and len(none.rows) == len(none.candidate_ids) == 0


@pytest.mark.parametrize("scale", [0.5, 3.0, 30.0])
@torch.inference_mode()
def test_a_bound_that_is_the_probability_itself_drops_nothing_at_the_threshold(scale):
    # All probability mass is in the slice, so only the margin prevents a different decision due to rounding.
    head = make_head("biased", scale)
    assert head._bias is not None
    head._bias[2048:] = -10_000
    hidden, rows, targets, _, _ = make_rows(head)
    eligible = np.ones(ROWS, dtype=bool)
    every = head.score(hidden, rows, targets, eligible, SelectionRule(EditConfig(threshold=0.0))).logprobs
    certain = np.sort(np.unique(every[(every > math.log(0.3)) & (every < 0)]))[:: 12 if scale == 0.5 else 24]
    assert len(certain) > 2
    for logprob in certain:
        for threshold in np.nextafter(math.exp(logprob), [0.0, 1.0]):
            rule = SelectionRule(EditConfig(threshold=float(threshold)))
            dropped = Pruning(head)._dropped(hidden, rows, targets, eligible, rule)
            assert not dropped[rule.selected(every)].any() and dropped.sum() > 300


@torch.inference_mode()
def test_where_the_model_overflows_a_row_is_told_from_one_that_was_dropped():
    head = make_head("plain")
    hidden, rows, targets, eligible, sampled = make_rows(head)
    hidden[[50, 51, 52, 53]] = torch.tensor([[torch.nan], [torch.inf], [torch.nan], [torch.inf]])
    eligible[45], sampled[46] = False, True
    pruned = Pruning(head).score(hidden, rows, targets, eligible, sampled, SelectionRule(EditConfig()))
    assert np.flatnonzero(np.isinf(pruned.logprobs)).tolist() == [45, 46, 47, 48]


def make_prior(folder: Path, kind: str = "LlamaConfig", **settings: Any) -> str:
    """A prior that often repeats a token, so that some are nearly certain; it cannot read " zebra"."""
    torch.manual_seed(0)
    given = {"vocab_size": 50_257, "max_position_embeddings": 64, "tie_word_embeddings": False, **SIZES, **settings}
    model = AutoModelForCausalLM.from_config(getattr(transformers, kind)(**given))
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(tokenizer_path("gpt2") / "tokenizer.json"))
    with torch.no_grad():
        embeddings = model.get_input_embeddings().weight.normal_()
        model.get_output_embeddings().weight.copy_(embeddings * 0.9)
        embeddings[tokenizer(" zebra").input_ids[0]] = torch.nan
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def repetitive() -> list[str | Passage]:
    """Return texts of any length with repeated words; some with context."""
    stories = [
        " ".join(f"{word} {word} {word}" if index % 3 else word for index, word in enumerate(story.split()))
        for story in texts("synthetic_tinystories_500")[:14]
    ]
    short = [story[: 10 * index] for index, story in enumerate(stories)]
    talk = Passage(stories[1], ((0, 60), (250, 300), (500, 960)))
    return [*stories[:4], *short, "a", "", Passage.of(stories[4], [stories[5][:300]]), talk]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_prior(tmp_path_factory.mktemp("pruned") / "prior")


CAPPED = {"head_dim": 16, "num_key_value_heads": 2, "final_logit_softcapping": 80.0, "sliding_window": 16}


@pytest.mark.parametrize("kind", ["LlamaConfig", "Gemma2Config"])
def test_edited_texts_are_the_same_and_statistics_those_of_the_sample(folder, kind, tmp_path):
    if kind != "LlamaConfig":
        folder = make_prior(tmp_path / kind, kind, **CAPPED)
    settings = EditConfig(temperature=9.0, protect=("numbers",))
    # The context has 64 tokens, so texts are read in windows.
    plain = ToEditor(load_prior(PriorConfig(folder)), settings).edit([*repetitive(), "one zebra one zebra"])
    assert plain.stats.num_selected > 200 and plain.stats.num_changed > 20
    assert not plain.stats.is_sample and plain.stats.num_skipped == {"empty": 2, "prior_failed": 1}

    for budget, given in ((None, slice(None)), (64, slice(None)), (2048, slice(None, None, -1))):
        editor = ToEditor(load_prior(PriorConfig(folder, prune=True), Resources(budget)), settings)
        given_texts = [*repetitive(), "one zebra one zebra"][given]
        pruned = editor.edit(given_texts)
        again = pruned if given.step is None else editor.edit(given_texts[given])
        assert again.texts == plain.texts and again.edits == plain.edits
        for name in ("num_tokens", "num_selected", "num_changed", "num_skipped", "num_ineligible",
                     "num_rows_changed", "num_tokens_unchanged", "probability_before_nano",
                     "probability_after_nano"):  # fmt: skip
            assert getattr(pruned.stats, name) == getattr(plain.stats, name), name

        sampled = []
        for mine, other in zip(again.documents, plain.documents, strict=True):
            assert (mine.reading is None) == (other.reading is None)
            if mine.reading is None or other.reading is None:
                continue
            sample = np.where(mine.reading.scores.sampled, other.reading.scores.logprobs, np.nan)
            assert np.array_equal(mine.reading.scores.counted, sample, equal_nan=True)
            assert mine.reading.num_scored == (~np.isnan(sample)).sum()
            assert (mine.to_log()["nll"] is None) == (mine.reading.num_scored == 0)
            known = ~np.isnan(mine.reading.scores.logprobs)
            assert np.array_equal(mine.reading.scores.logprobs[known], other.reading.scores.logprobs[known])
            assert not known[~mine.reading.scores.sampled].sum() > len(mine.reading.scores.positions)
            sampled.append(sample[~np.isnan(sample)])
        together = np.concatenate(sampled)
        assert pruned.stats.is_sample and pruned.stats.num_scored == len(together)
        assert pruned.stats.nll == pytest.approx(-together.mean(), rel=1e-6)
        assert sum(pruned.stats.probability_histogram) == len(together)


def test_the_number_of_threads_does_not_show(folder):
    prior = load_prior(PriorConfig(folder, prune=True))
    documents = Aligner(prior.tokenizer).align(repetitive())
    before = torch.get_num_threads()
    answers = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            answers.append(prior.score(documents, SelectionRule(EditConfig())))
    finally:
        torch.set_num_threads(before)
    for answer in answers[1:]:
        for mine, other in zip(answer, answers[0], strict=True):
            assert np.array_equal(mine.logprobs, other.logprobs, equal_nan=True)
            assert np.array_equal(mine.candidate_logprobs, other.candidate_logprobs)


def test_what_a_bound_cannot_decide_is_read_in_full(folder, stories_prior, caplog):
    prior = load_prior(PriorConfig(folder, prune=True))
    documents = Aligner(prior.tokenizer).align(["the the the cat cat cat"])
    for settings in ({"select": "below"}, {"drop_below": 0.1}, {"select": "none"}):
        (scores,) = prior.score(documents, SelectionRule(EditConfig(**settings)))
        assert scores.sampled is None and not np.isnan(scores.logprobs[1:]).any()

    small = load_prior(PriorConfig(stories_prior.name, prune=True))
    assert isinstance(small, TransformersPrior) and caplog.text.count("nothing is pruned") == 1
    (scores,) = small.score(Aligner(small.tokenizer).align(["Once upon a time"]), SelectionRule(EditConfig()))
    assert scores.sampled is None


def test_the_sample_is_even_and_of_the_own_tokens_alone():
    aligner = Aligner(
        PreTrainedTokenizerFast(tokenizer_file=str(tokenizer_path("gpt2") / "tokenizer.json")).backend_tokenizer
    )
    documents = aligner.align(texts("synthetic_tinystories_500"))
    sampled = [in_sample(document) for document in documents]
    assert np.concatenate(sampled).mean() == pytest.approx(1 / SAMPLE, rel=0.02)
    firsts = np.stack([sample[:16] for sample in sampled]).sum(axis=0)
    assert (abs(firsts - len(documents) / SAMPLE) < 4 * math.sqrt(len(documents) / SAMPLE)).all()
    assert np.array_equal(in_sample(documents[0]), sampled[0])
    (talk,) = aligner.align([Passage.of(documents[0].text, [documents[1].text])])
    assert 0 < in_sample(talk).sum() and not in_sample(talk)[~talk.own].any()
