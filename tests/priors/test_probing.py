"""Models with experts are causal, though the last bits of an answer depend on how many rows an expert gets."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoTokenizer, MixtralConfig, MixtralForCausalLM

from hf_toedit.errors import PriorError
from hf_toedit.priors import embedded
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


def prior(model: MixtralForCausalLM) -> TransformersPrior:
    tokenizer = AutoTokenizer.from_pretrained(embedded.path())
    return TransformersPrior(LoadedModel(model, tokenizer, "random", 512, torch.device("cpu")))


def test_many_layers_of_experts_are_causal(experts: MixtralForCausalLM) -> None:
    assert prior(experts).context == 512


def test_experts_that_look_at_later_tokens_are_refused(experts: MixtralForCausalLM) -> None:
    for layer in experts.model.layers:
        layer.self_attn.is_causal = False
    with pytest.raises(PriorError, match="depends on later tokens"):
        prior(experts)
