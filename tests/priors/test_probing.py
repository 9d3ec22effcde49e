"""Models with experts: causal, though the last bits of an answer depend on how many rows an expert gets; packing."""

from __future__ import annotations

import pytest
import torch
from transformers import (
    AutoTokenizer,
    MixtralConfig,
    MixtralForCausalLM,
    PreTrainedModel,
    Qwen2MoeConfig,
    Qwen2MoeForCausalLM,
)

from hf_toedit.errors import PriorError
from hf_toedit.priors import embedded, probing
from hf_toedit.priors.loading import LoadedModel
from hf_toedit.priors.transformers import TransformersPrior


@pytest.fixture
def experts() -> MixtralForCausalLM:
    torch.manual_seed(0)
    config = MixtralConfig(
        vocab_size=1024,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=16,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.08,
    )
    return MixtralForCausalLM(config).eval()


def prior(model: PreTrainedModel, context: int = 512) -> TransformersPrior:
    tokenizer = AutoTokenizer.from_pretrained(embedded.path())
    return TransformersPrior(LoadedModel(model, tokenizer, "random", context, torch.device("cpu")))


def test_many_layers_of_experts_are_causal(experts: MixtralForCausalLM) -> None:
    assert prior(experts).context == 512


def test_experts_that_look_at_later_tokens_are_refused(experts: MixtralForCausalLM) -> None:
    for layer in experts.model.layers:
        layer.self_attn.is_causal = False
    with pytest.raises(PriorError, match="depends on later tokens"):
        prior(experts)


def test_a_window_that_attention_does_not_hear_of_is_not_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Qwen2-MoE masks a sliding window, longer than a probe, and does not pass its size to the attention function."""
    monkeypatch.setattr(probing, "_routes_by_row", lambda model: False)  # as on a GPU
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "moe_intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 16}
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "shared_expert_intermediate_size": 16}
    window = {"use_sliding_window": True, "sliding_window": 64, "max_window_layers": 0}
    model = Qwen2MoeForCausalLM(Qwen2MoeConfig(vocab_size=1024, **sizes, **experts, **window)).eval()
    assert not prior(model, context=512).packed
    assert prior(model, context=64).packed
