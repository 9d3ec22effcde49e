"""The output layer: chunks of rows, threads, and requirements of a device."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from hf_toedit import EditConfig
from hf_toedit.editing.samplers import MAX_NUCLEUS
from hf_toedit.editing.selection import SelectionRule
from hf_toedit.priors.head import ROWS, Head
from hf_toedit.priors.tf32 import tf32

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


def test_chunks_of_the_largest_vocabularies_have_rows_enough_for_a_product():
    sizes = {"hidden_size": 2, "intermediate_size": 2, "num_hidden_layers": 1, "num_attention_heads": 1}
    largest = LlamaForCausalLM(LlamaConfig(vocab_size=262_144, **sizes))
    assert Head(largest, CPU)._chunk_rows == 96


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


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_exact_in_tf32(dtype):
    values = torch.arange(-(2**15), 2**15, dtype=torch.int16).view(dtype)
    # TF32 has the first 10 of the 23 bits of the mantissa.
    assert not (values.float().view(torch.int32) & (2**13 - 1)).any()


def tf32_is_allowed() -> bool:
    settings = torch.backends.cuda.matmul
    return settings.fp32_precision == "tf32" if hasattr(settings, "fp32_precision") else settings.allow_tf32


def test_tf32_is_allowed_for_a_product_only():
    def fail():
        with tf32():
            assert tf32_is_allowed()
            raise ValueError

    seen = []

    def often():
        for _ in range(300):
            with tf32():
                seen.append(tf32_is_allowed())

    before = torch.get_float32_matmul_precision()
    threads = [threading.Thread(target=often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 1200 and all(seen) and not tf32_is_allowed()
    with pytest.raises(ValueError):
        fail()
    assert not tf32_is_allowed() and torch.get_float32_matmul_precision() == before


@pytest.mark.parametrize(
    ("dtype", "device", "allowed"),
    [(torch.bfloat16, "cuda", True), (torch.float32, "cuda", False), (torch.bfloat16, "cpu", False)],
)
@torch.inference_mode()
def test_tf32_is_never_used_for_float32_weights(model, dtype, device, allowed):
    """A device for planning only: the tensors are on the CPU, where no product of half precision is float32."""
    head = Head(model.to(dtype), torch.device(device))
    used, multiply = [], head._multiply
    head._multiply = lambda hidden, weight: used.append(tf32_is_allowed()) or multiply(hidden, weight)
    hidden = torch.randn(ROWS, 16).to(dtype)
    expected = torch.nn.functional.linear(hidden.float(), model.lm_head.weight.float())
    torch.testing.assert_close(head.logits(hidden), expected)
    head.logits(hidden.float())
    assert used == [allowed, False] and not tf32_is_allowed()
    model.float()
