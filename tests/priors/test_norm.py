"""RMSNorm by PyTorch's function: which modules take it, and that their results stay. The kernel itself is for GPUs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from hf_toedit.priors.norm import use_fused_norms

SIZES = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 100,
    "pad_token_id": 0,
}


def model_of(kind: str, dtype: torch.dtype) -> Any:
    """Return a model of random weights, those of its norms included."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **SIZES)).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name:
                weight.add_(torch.rand_like(weight) - 0.5)
    return model.to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("kind", "count"), [("llama", 5), ("qwen3", 9), ("olmo2", 9), ("gemma2", 0)])
@torch.inference_mode()
def test_results_stay(kind: str, count: int, dtype: torch.dtype) -> None:
    model = model_of(kind, dtype)
    ids = torch.arange(64)[None]
    expected = model(ids).logits.float()
    assert use_fused_norms(model) == count
    assert use_fused_norms(model) == 0  # replaced already
    difference = (model(ids).logits.float() - expected).abs().max()
    assert difference <= (1e-5 if dtype == torch.float32 else 3e-2) * expected.abs().max()


class ShiftedRMSNorm(LlamaRMSNorm):
    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return super().forward(hidden) + 0.01


class GatedRMSNorm(LlamaRMSNorm):
    def forward(self, hidden: torch.Tensor, gate: torch.Tensor | None = None) -> torch.Tensor:
        return super().forward(hidden if gate is None else hidden * gate)


class WideRMSNorm(LlamaRMSNorm):
    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return super().forward(hidden.view(-1, 7))


def test_modules_that_compute_something_else_are_left_alone() -> None:
    assert use_fused_norms(LlamaRMSNorm(64)) == 1
    assert [use_fused_norms(kind(64)) for kind in (ShiftedRMSNorm, GatedRMSNorm, WideRMSNorm)] == [0, 0, 0]
    offloaded = LlamaRMSNorm(64)
    offloaded.forward = offloaded.forward
    assert use_fused_norms(offloaded) == 0


@torch.inference_mode()
def test_hidden_states_of_another_dtype_take_the_own_way() -> None:
    norm = model_of("llama", torch.bfloat16).model.norm
    hidden = torch.randn(3, 64)
    expected = norm(hidden)
    assert use_fused_norms(norm) == 1
    assert torch.equal(norm(hidden), expected)
