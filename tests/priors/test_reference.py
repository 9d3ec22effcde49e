"""The editor compared with a direct implementation: all logits of one document, a loop over its tokens, a softmax."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from hf_toedit import EditConfig, ToEditor
from hf_toedit.editing.alignment import CAUSES
from hf_toedit.editing.prior import DocumentScores
from tests.goodness_of_fit import chi_square
from tests.shared import shared, texts

BOS = 1
DRAWS = 20_000


@pytest.fixture(scope="module")
def model():
    return AutoModelForCausalLM.from_pretrained(shared("models/stories260K"), attn_implementation="eager").eval()


@torch.inference_mode()
def reference(model, ids: list[int], config: EditConfig) -> tuple[list[float], dict[int, torch.Tensor]]:
    """Return ln p of each token, and for each selected one ln p of the whole vocabulary."""
    logits = model(torch.tensor([[BOS, *ids[:-1]]])).logits[0].float()
    logprobs = torch.log_softmax(logits, dim=-1)
    own, selected = [], {}
    for position, token in enumerate(ids):
        own.append(float(logprobs[position, token]))
        if math.exp(own[-1]) >= config.threshold:
            selected[position] = logprobs[position]
    return own, selected


def distribution(logprobs: torch.Tensor, config: EditConfig) -> dict[int, float]:
    """Return the distribution of a draw before tokens are excluded (paper, equation 1)."""
    values, best = torch.topk(logprobs, config.top_k)
    return dict(zip(best.tolist(), torch.softmax(values / config.temperature, dim=-1).tolist(), strict=True))


def documents_to_read() -> list[str]:
    chosen = [story for story in texts("synthetic_tinystories_500") if len(story) < 900][:25]
    chosen += [row[:180] for row in texts("multilingual_udhr2")[::40]]
    return chosen + [row[:150] for row in texts("awkward_blns")[50:500:60] if row]


@pytest.mark.parametrize("temperature, top_k", [(1.0, 8), (1.5, 8), (1.5, 64)])
def test_selection_and_candidates(model, stories_prior, temperature, top_k):
    config = EditConfig(temperature=temperature, top_k=top_k)
    result = ToEditor(stories_prior, config).edit(documents_to_read())
    num_selected = 0
    for document in result.documents:
        reading = document.reading
        tokens, scores = reading.document, reading.scores
        assert len(tokens) < 500
        own, selected = reference(model, tokens.ids.tolist(), config)
        np.testing.assert_allclose(scores.logprobs, own, atol=1e-4)
        # Rounding may decide about a token exactly at the threshold.
        certain = {position for position in range(len(tokens)) if abs(own[position] - math.log(0.99)) > 1e-5}
        expected = {position for position in selected if tokens.causes[position] not in CAUSES}
        assert set(scores.positions.tolist()) & certain == expected & certain
        for row, position in enumerate(scores.positions.tolist()):
            if position in certain:
                ids, logprobs = scores.candidate_ids[row], scores.candidate_logprobs[row]
                # Nearly equal tokens may have any order, so the k-th one is not compared.
                np.testing.assert_allclose(logprobs, selected[position][torch.from_numpy(ids).long()], atol=1e-4)
                weights = torch.softmax(torch.from_numpy(logprobs) / temperature, dim=0).tolist()
                assert weights == pytest.approx([*distribution(selected[position], config).values()], abs=1e-4)
                num_selected += 1
    assert num_selected > 500


def prompts_and_responses() -> list[tuple[str, str]]:
    """Return GSM8K questions and answers, and instructions and outputs; some pairs exceed the prior's context."""
    with shared("data/math_gsm8k_test.jsonl").open(encoding="utf-8") as lines:
        pairs = [(row["question"], row["answer"]) for row in map(json.loads, islice(lines, 30))]
    with shared("data/instruct_seed_tasks.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    prompts = [("\n\n".join(filter(None, [row["instruction"], row["input"]])), row["output"]) for row in rows]
    return pairs + sorted(prompts, key=lambda pair: len(pair[0]))[-15:]


def test_a_response_is_scored_after_its_prompt(model, stories_prior):
    pairs = prompts_and_responses()
    editor = ToEditor(stories_prior, EditConfig(temperature=2.0))
    result = editor.edit([response for _, response in pairs], contexts=[prompt for prompt, _ in pairs])
    num_long = 0
    for (prompt, response), document in zip(pairs, result.documents, strict=True):
        encoding = stories_prior.tokenizer.encode(f"{prompt}\n\n{response}", add_special_tokens=False)
        start = len(prompt) + 2
        first = next(index for index, (begin, _) in enumerate(encoding.offsets) if begin >= start)
        own, at = [], 0
        while len(own) < len(encoding.ids):
            # As for any text: windows of 512, each after the first repeating 128 tokens of the previous one.
            own += reference(model, encoding.ids[at : at + 512], editor.config)[0][len(own) - at :]
            at += 512 - 128
        num_long += first > 512
        tokens, scores = document.reading.document, document.reading.scores
        assert tokens.text == response
        assert tokens.ids.tolist() == encoding.ids[first:]
        assert (tokens.starts + start).tolist() == [begin for begin, _ in encoding.offsets[first:]]
        np.testing.assert_allclose(scores.logprobs, own[first:], atol=1e-4)
    assert num_long > 3 and result.stats.num_selected > 100

    sources = [response for _, response in pairs]
    for _ in range(2):
        result = editor.edit(result)
        assert result.revert() == sources
        for passage, (prompt, _), text in zip(result.edited_passages(), pairs, result.texts, strict=True):
            assert passage.text == f"{prompt}\n\n{text}"
    assert result.stats.num_changed


@torch.inference_mode()
def test_nucleus(model, stories_prior):
    config = EditConfig(sampler="top-p", top_p=0.9, temperature=2.0, threshold=0.5)
    result = ToEditor(stories_prior, config).edit(documents_to_read()[:5])
    widths = set()
    for document in result.documents:
        ids, scores = document.reading.document.ids.tolist(), document.reading.scores
        logits = model(torch.tensor([[BOS, *ids[:-1]]])).logits[0].float()
        for row, position in enumerate(scores.positions.tolist()):
            tempered = torch.softmax(logits[position] / 2.0, dim=-1)
            mass, nucleus = 0.0, []
            for token in tempered.argsort(descending=True).tolist():
                if mass >= 0.9:
                    break
                mass += float(tempered[token])
                nucleus.append(token)
            inside = np.isfinite(scores.candidate_logprobs[row])
            if abs(mass - 0.9) > 1e-4:
                assert set(scores.candidate_ids[row][inside].tolist()) == set(nucleus)
            widths.add(len(nucleus))
    assert len(widths) > 5


def expected_weights(model, editor: ToEditor, ids: list[int], position: int) -> dict[int, float]:
    """Return the expected distribution of a draw: only surfaces with whole characters, renormalised."""
    drawn = distribution(reference(model, ids, editor.config)[1][position], editor.config)
    if editor.config.exclude_original:
        del drawn[ids[position]]
    tokenizer = editor.prior.tokenizer
    for token in list(drawn):
        entry = tokenizer.id_to_token(token)
        if token < 3 or (entry.startswith("<0x") and int(entry[3:5], 16) >= 0x80):
            del drawn[token]
    total = sum(drawn.values())
    return {token: weight / total for token, weight in drawn.items()}


def p_value(draws: list[int], weights: dict[int, float]) -> float:
    """Return the p-value; rare tokens are pooled."""
    assert set(draws) <= set(weights)
    counts = {token: draws.count(token) for token in weights}
    common = [token for token, weight in weights.items() if weight * len(draws) >= 10]
    rare = [token for token in weights if token not in common]
    observed = [counts[token] for token in common] + [sum(counts[token] for token in rare)] * bool(rare)
    expected = [weights[token] for token in common] + [sum(weights[token] for token in rare)] * bool(rare)
    return chi_square(observed, np.array(expected) / sum(expected) * len(draws))


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 1.0},
        {"temperature": 1.5},
        {"temperature": 1.5, "top_k": 64},
        {"temperature": 2.0, "exclude_original": True},
        {"temperature": 2.0, "sampler": "rejection"},
    ],
    ids=lambda settings: "-".join(map(str, settings.values())),
)
def test_draws_of_the_editor(model, stories_prior, settings):
    editor = ToEditor(stories_prior, EditConfig(**settings))
    (document,) = editor.edit([texts("synthetic_tinystories_500")[0][:120]]).documents
    tokens, scores = document.reading.document, document.reading.scores
    # The least certain of the selected tokens, whose draws are most informative.
    position = int(scores.positions[scores.logprobs[scores.positions].argmin()])
    row = np.flatnonzero(scores.positions == position)
    scores = DocumentScores(
        scores.logprobs, scores.positions[row], scores.candidate_ids[row], scores.candidate_logprobs[row]
    )
    draws = []
    for seed in range(DRAWS):
        editor.config = replace(editor.config, seed=seed)
        draws.append(int(editor._draw(tokens, scores, 1).drawn[0]))
    weights = expected_weights(model, editor, tokens.ids.tolist(), position)
    assert p_value(draws, weights) > 1e-4
