"""Llama in plain PyTorch, for the embedded prior: importing `transformers` takes longer than editing a small dataset.

A model has the interface of `transformers` that `TransformersPrior` uses, and computes the same to the last bit.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.functional import scaled_dot_product_attention, silu

from hf_toedit.priors.attention import IMPLEMENTATION, packed_attention

_OWN = "causal"


@dataclass
class LlamaConfig:
    """Settings of a model from `config.json`, under the same names."""

    model_type: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    max_position_embeddings: int
    rms_norm_eps: float
    rope_parameters: dict[str, Any]
    tie_word_embeddings: bool
    _attn_implementation: str = _OWN

    @classmethod
    def read(cls, path: Path) -> LlamaConfig:
        """Read the settings from a file."""
        said = json.loads(path.read_bytes())
        return cls(**{field.name: said[field.name] for field in fields(cls) if not field.name.startswith("_")})

    def get_text_config(self) -> LlamaConfig:
        """Return this configuration."""
        return self


class Hidden(NamedTuple):
    """Hidden states `[1, T, hidden]`."""

    last_hidden_state: torch.Tensor


class Answer(NamedTuple):
    """Logits `[1, T, vocabulary]`."""

    logits: torch.Tensor


class Llama(nn.Module):
    """A causal language model."""

    def __init__(self, config: LlamaConfig) -> None:
        """Create modules under the names that their weights have in files."""
        super().__init__()
        self.config = config
        self.model = _Layers(config)
        self.lm_head = _linear(config.hidden_size, config.vocab_size)

    @classmethod
    def load(cls, folder: Path, dtype: torch.dtype, device: torch.device) -> Llama:
        """Load a model.

        Args:
            folder: Folder with the configuration and weights.
            dtype: Data type of the weights.
            device: Device for the model.
        """
        with torch.device("meta"):  # no memory or random numbers for weights that are replaced
            model = cls(LlamaConfig.read(folder / "config.json"))
        weights = {name: weight.to(dtype) for name, weight in load_file(folder / "model.safetensors").items()}
        if model.config.tie_word_embeddings:
            weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
        model.load_state_dict(weights, assign=True)
        if model.config.tie_word_embeddings:
            model.lm_head.weight = model.model.embed_tokens.weight
        return model.eval().to(device)

    @property
    def base_model(self) -> nn.Module:
        """The model without the output layer."""
        return self.model

    @property
    def dtype(self) -> torch.dtype:
        """Data type of the weights."""
        return self.lm_head.weight.dtype

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.lm_head.weight.device

    def get_output_embeddings(self) -> nn.Linear:
        """Return the output layer."""
        return self.lm_head

    def num_parameters(self) -> int:
        """Return the number of weights."""
        return sum(weight.numel() for weight in self.parameters())

    def set_attn_implementation(self, name: str) -> None:
        """Select the attention implementation by name."""
        self.config._attn_implementation = name

    def forward(self, input_ids: torch.Tensor, use_cache: bool = False) -> Answer:
        """Return the logits of token ids `[1, T]`; nothing is cached for a later call."""
        return Answer(self.lm_head(self.model(input_ids).last_hidden_state))


class _Layers(nn.Module):
    """A model without its output layer."""

    frequencies: torch.Tensor

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        # Otherwise PyTorch would initialize the weights, and on the device `meta` import its compiler for that.
        self.embed_tokens = nn.Embedding.from_pretrained(torch.empty(config.vocab_size, config.hidden_size))
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.num_hidden_layers))
        self.norm = _Norm(config)
        exponents = torch.arange(0, config.head_dim, 2, dtype=torch.float, device="cpu") / config.head_dim
        frequencies = 1.0 / (config.rope_parameters["rope_theta"] ** exponents)
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(
        self,
        input_ids: torch.Tensor,
        position_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        use_cache: bool = False,
    ) -> Hidden:
        """Return hidden states of token ids `[1, T]`; the attention implementation needs no mask."""
        if position_ids is None:
            position_ids = torch.arange(input_ids.shape[1], device=input_ids.device)[None]
        hidden = self.embed_tokens(input_ids)
        angles = position_ids[..., None].float() * self.frequencies
        angles = torch.cat((angles, angles), dim=-1)[:, None]
        turn = angles.cos().to(hidden.dtype), angles.sin().to(hidden.dtype)
        for layer in self.layers:
            hidden = layer(hidden, turn)
        return Hidden(self.norm(hidden))


class _Layer(nn.Module):
    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.input_layernorm = _Norm(config)
        self.self_attn = _Attention(config)
        self.post_attention_layernorm = _Norm(config)
        self.mlp = _Gated(config)

    def forward(self, hidden: torch.Tensor, turn: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        hidden = self.self_attn(self.input_layernorm(hidden), turn).add_(hidden)
        return self.mlp(self.post_attention_layernorm(hidden)).add_(hidden)


class _Attention(nn.Module):
    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self._config = config
        self.q_proj = _linear(config.hidden_size, config.num_attention_heads * config.head_dim)
        self.k_proj = _linear(config.hidden_size, config.num_key_value_heads * config.head_dim)
        self.v_proj = _linear(config.hidden_size, config.num_key_value_heads * config.head_dim)
        self.o_proj = _linear(config.num_attention_heads * config.head_dim, config.hidden_size)

    def forward(self, hidden: torch.Tensor, turn: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        query, key, value = (
            project(hidden).unflatten(-1, (-1, self._config.head_dim)).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        attend = _WAYS[self._config._attn_implementation]
        attended, _ = attend(self, _turned(query, turn), _turned(key, turn), value, None, self._config.head_dim**-0.5)
        return self.o_proj(attended.flatten(-2))


class _Gated(nn.Module):
    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.gate_proj = _linear(config.hidden_size, config.intermediate_size)
        self.up_proj = _linear(config.hidden_size, config.intermediate_size)
        self.down_proj = _linear(config.intermediate_size, config.hidden_size)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.down_proj(silu(self.gate_proj(hidden), inplace=True).mul_(self.up_proj(hidden)))


class _Norm(nn.Module):
    """Normalizes by the root mean square, in float32."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(config.hidden_size))
        self._eps = config.rms_norm_eps

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        exact = hidden.float()
        exact = exact * torch.rsqrt(exact.pow(2).mean(-1, keepdim=True) + self._eps)
        return exact.to(hidden.dtype).mul_(self.weight)


def _linear(num_inputs: int, num_outputs: int) -> nn.Linear:
    return nn.Linear(num_inputs, num_outputs, bias=False)


def _turned(states: torch.Tensor, turn: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Rotate queries or keys `[1, heads, T, d]` by the angles of their positions, given as cosines and sines."""
    first, second = states.chunk(2, dim=-1)
    return torch.cat((-second, first), dim=-1).mul_(turn[1]).add_(states * turn[0])


def _causal(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
) -> tuple[torch.Tensor, None]:
    """Compute the model's own causal attention."""
    answer = scaled_dot_product_attention(
        query, key, value, is_causal=True, scale=scaling, enable_gqa=key.shape[1] != query.shape[1]
    )
    return answer.transpose(1, 2), None


_WAYS: dict[str, Callable[..., tuple[torch.Tensor, None]]] = {_OWN: _causal, IMPLEMENTATION: packed_attention}
