"""Generation settings: how candidates are decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from hf_toedit.config import BaseConfig, Share
from hf_toedit.errors import UsageError

Decoding = Literal["greedy", "sample", "beam"]
DECODINGS: tuple[Decoding, ...] = ("greedy", "sample", "beam")

Stop = Literal["eos", "limit", "context"]
"""Why a candidate ends: an end-of-text token, `max_new_tokens`, or the end of the model's context."""

STOPS: tuple[Stop, ...] = ("eos", "limit", "context")

PROMPT_TOKENS = 32
"""Default number of a text's tokens that form its prompt."""


@dataclass(frozen=True)
class GenerateConfig(BaseConfig):
    """How candidates are generated from a prompt.

    Attributes:
        num_candidates: Number of candidates per row; with beam search, also the number of beams.
        decoding: `greedy` takes the most likely token, `sample` samples each token, `beam` uses beam search.
        temperature: Divides the logits before sampling; None means 1 with `sample`, and must be None otherwise.
        top_k: Sample only from the k most likely tokens; None for all.
        top_p: Sample only from the most likely tokens that together have this probability; None for all. Applied after
            the temperature and `top_k`.
        max_new_tokens: Maximum number of tokens per candidate.
        prompt_tokens: Number of tokens at the beginning of the row's text that form the prompt; None for the whole
            text, as a question to answer.
        seed: Random seed, any integer; samples depend only on (seed, text, candidate, position).
    """

    num_candidates: Annotated[int, Meta(ge=1, le=10_000)] = 1
    decoding: Decoding = "sample"
    temperature: Annotated[float, Meta(gt=0, le=1e6)] | None = None
    top_k: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    top_p: Share | None = None
    max_new_tokens: Annotated[int, Meta(ge=1, le=1_000_000)] = 256
    prompt_tokens: Annotated[int, Meta(ge=1, le=1_000_000)] | None = PROMPT_TOKENS
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] = 0

    def __post_init__(self) -> None:
        """Validate the values and their combination.

        Raises:
            UsageError: They are invalid.
        """
        super().__post_init__()
        if self.decoding == "sample":
            object.__setattr__(self, "temperature", 1.0 if self.temperature is None else self.temperature)
            return
        for name in ("temperature", "top_k", "top_p"):
            if getattr(self, name) is not None:
                option = name.replace("_", "-")
                raise UsageError(f"--{option} is for sampling. Leave it out, or use --decoding sample.")
        if self.decoding == "greedy" and self.num_candidates > 1:
            raise UsageError(
                f"greedy decoding has one candidate per row, not {self.num_candidates}. Use --decoding sample or beam, "
                f"or leave --num-candidates out."
            )
