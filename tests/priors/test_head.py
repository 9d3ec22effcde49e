"""The output layer: chunks of rows, threads, and requirements of a device."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from hf_toedit import EditConfig
from hf_toedit.editing.samplers import MAX_NUCLEUS
from hf_toedit.editing.selection import SelectionRule
from hf_toedit.priors.head import Head

VOCABULARY = 50_000
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1}
    return LlamaForCausalLM(LlamaConfig(vocab_size=VOCABULARY, initializer_range=1.0, **sizes))


@pytest.mark.parametrize("settings", [{"top_k": 8}, {"sampler": "top-p", "top_p": 0.2, "temperature": 1.0}])
@pytest.mark.parametrize("num_rows", [1, 1500])
@torch.inference_mode()
def test_chunks_of_a_large_vocabulary(model, settings, num_rows):
    head, rule = Head(model, CPU), SelectionRule(EditConfig(threshold=0.0, **settings))
    assert head._chunk_rows < 1500
    hidden = torch.randn(1510, 16)
    rows = np.arange(num_rows) + 5
    targets, eligible = rows * 7, rows % 3 > 0
    scores = head.score(hidden, rows, targets, eligible, rule)

    expected = torch.log_softmax(hidden @ model.lm_head.weight.T, dim=1)[rows]
    np.testing.assert_allclose(scores.logprobs, expected[np.arange(num_rows), targets], atol=1e-4)
    assert scores.rows.tolist() == np.flatnonzero(eligible).tolist()
    for row, ids, logprobs in zip(scores.rows, scores.candidate_ids, scores.candidate_logprobs, strict=True):
        inside = logprobs != -np.inf
        assert inside.sum() == (8 if "top_k" in settings else _nucleus_size(expected[row], 0.2))
        np.testing.assert_allclose(logprobs[inside], expected[row].topk(int(inside.sum())).values, atol=1e-4)
        assert not ids[~inside].any()
        np.testing.assert_allclose(expected[row][torch.from_numpy(ids[inside]).long()], logprobs[inside], atol=1e-4)


def _nucleus_size(logprobs: torch.Tensor, top_p: float) -> int:
    mass = logprobs.exp().sort(descending=True).values.cumsum(0)
    return min(int((mass < top_p).sum()) + 1, MAX_NUCLEUS)


@torch.inference_mode()
def test_half_precision_is_multiplied_in_float32(model):
    # The device may do so itself or upcast: logits are not rounded to bfloat16.
    half = Head(model.to(torch.bfloat16), CPU)
    hidden = torch.randn(40, 16).bfloat16()
    exact = hidden.double() @ model.lm_head.weight.double().T
    assert (half.logits(hidden) - exact).abs().max() < 1e-5 * exact.abs().max()
    assert half.logits(hidden).dtype == torch.float32
    model.float()
