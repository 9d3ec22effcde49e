"""Capabilities of a model, tested on a few tokens: whether it is causal, can be packed, and is scored correctly."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import torch

from hf_toedit.errors import PriorError
from hf_toedit.priors.attention import IMPLEMENTATION, PackedAttention, register
from hf_toedit.priors.body import Body
from hf_toedit.priors.head import Head
from hf_toedit.priors.llama import Llama
from hf_toedit.priors.memory import out_of_memory
from hf_toedit.priors.packing import Piece, Window
from hf_toedit.priors.varlen import Varlen

logger = logging.getLogger(__name__)

_PROBE_TOKENS = 24
_EXPERT_KEYS = ("num_experts", "num_local_experts", "n_routed_experts")


class Probe:
    """The model's own logits for a few tokens, for comparison."""

    def __init__(self, name: str, body: Body, head: Head, num_tokens: int) -> None:
        """Compute the model's logits.

        Args:
            name: Name of the prior, for messages.
            body: Layers of the prior.
            head: Output layer of the prior.
            num_tokens: Size of its vocabulary.

        Raises:
            PriorError: The model looks at later tokens, or draws at random.
        """
        if "lsh" in (getattr(body.model.config, "attn_layers", None) or ()):  # seen only beyond the length of a probe
            raise PriorError(
                f"prior {name!r} gives another answer at each call: its attention hashes at random (LSH). Name another "
                f"prior."
            )
        self._name, self._body, self._head = name, body, head
        self._ids = np.arange(_PROBE_TOKENS) * 7919 % (num_tokens - 1)
        self._reference = body.own_logits(self._ids)
        if not bool(self._reference.isfinite().all()):
            raise _not_finite(name, body)
        scale = float(1 + self._reference.abs().max())
        self._tolerance = scale * (1e-4 if body.model.dtype == torch.float32 else 3e-2)
        half = _PROBE_TOKENS // 2
        # Of the same length, so that a causal model computes the first half in exactly the same way; but an expert
        # multiplies as many rows as are routed to it, and the last bits of a product depend on their number.
        changed = body.own_logits(np.concatenate([self._ids[:half], self._ids[half:] + 1]))
        most = self._tolerance if _has_experts(body.model) else 1e-6 * scale
        if (changed - self._reference)[:half].abs().max() > most:
            raise PriorError(
                f"prior {name!r} is not a causal language model: its answer for a token depends on later "
                f"tokens. Name a decoder-only model."
            )

    def check_head(self) -> None:
        """Compare body and head, without packing, with the model's own logits.

        Raises:
            PriorError: The model transforms its logits in an unknown way.
        """
        try:
            same = self._is_reference(self._head.logits(self._body.padded([self._ids])), self._reference)
        except (AttributeError, RuntimeError, TypeError) as error:
            if out_of_memory(error):
                raise
            logger.info("the parts of prior %r do not fit together: %s", self._name, error)
            same = False
        if not same:
            raise PriorError(
                f"prior {self._name!r} changes its logits after the output layer in a way this version does not know. "
                f"Please report its architecture ({self._body.model.config.model_type})."
            )

    def packs_well(self, context: int, varlen: Varlen | None) -> bool:
        """Switch to packed attention; switch back if two documents give different results in one pack than alone."""
        model = self._body.model
        if self._body.follows_longest or _routes_by_row(model):
            return False
        if not isinstance(model, Llama):
            register()
        own = model.config._attn_implementation
        half = _PROBE_TOKENS // 2
        first, second = self._ids[:half], self._ids[half:]
        window = Window(0, 0, _PROBE_TOKENS + 1, 0)
        other = Window(1, 0, half + 1, 0)
        pack = [Piece(window, 0, half, False), Piece(other, 0, half, True), Piece(window, half, _PROBE_TOKENS, True)]
        # The other document differs from the first half; otherwise a model that continues on it would pass.
        expected = torch.cat([self._reference[:half], self._body.own_logits(second), self._reference[half:]])
        attention = PackedAttention(varlen)
        try:
            model.set_attn_implementation(IMPLEMENTATION)
            hidden = self._body.packed([first, second, second], pack, attention)[: len(expected)]
            if attention.covers(context) and self._is_reference(self._head.logits(hidden), expected):
                return True
        except Exception as error:
            if out_of_memory(error):
                raise
            logger.info("packed attention failed on prior %r: %s", self._name, error)
        model.set_attn_implementation(own)
        return False

    def _is_reference(self, logits: torch.Tensor, expected: torch.Tensor) -> bool:
        return bool((logits - expected).abs().max() <= self._tolerance)


def _not_finite(name: str, body: Body) -> PriorError:
    """Return the error for a model with non-finite logits, which states whether its weights are finite."""
    model = body.model
    bad = [entry for entry, weight in model.named_parameters() if not bool(weight.to_dense().isfinite().all())]
    if bad:
        more = f" and {len(bad) - 1} more tensors" if len(bad) > 1 else ""
        return PriorError(
            f"the weights of prior {name!r} hold NaN or infinity, in {bad[0]}{more}. Its files are damaged, or its "
            f"training failed: download it again, or name another prior."
        )
    dtype = str(model.dtype).removeprefix("torch.")
    return PriorError(
        f"prior {name!r} answers with NaN or infinity in {dtype}, though its weights are finite. Use another --dtype, "
        f"or another prior."
    )


def _routes_by_row(model: Any) -> bool:
    """Whether neighbours affect the last bits of float32: each expert multiplies as many rows as are routed to it."""
    return model.device.type == "cpu" and _has_experts(model)


def _has_experts(model: Any) -> bool:
    config = model.config.get_text_config()
    # Architectures call their number by many names (Aria: moe_num_experts), and nearly all call the modules experts.
    return any(getattr(config, key, None) for key in _EXPERT_KEYS) or any(
        "expert" in f"{name} {type(module).__name__}".lower() for name, module in model.named_modules()
    )
