"""The settings of a demo server. No Gradio."""

from __future__ import annotations

from dataclasses import dataclass, field

from hf_toedit.config import PriorConfig


@dataclass(frozen=True)
class SpaceSettings:
    """What visitors may do.

    Attributes:
        prior: The default prior, loaded before the first visit.
        local: Whether visitors may name run folders and priors of this machine; only if no other machine can reach the
            server.
        source: Dataset that the dataset tab opens initially: a Hub id or, with `local`, a run folder.
        max_characters: Maximum length of a pasted text.
        max_prior_bytes: Maximum size of the weights of a Hub model that a visitor names.
    """

    prior: PriorConfig = field(default_factory=PriorConfig)
    local: bool = False
    source: str | None = None
    max_characters: int = 20_000
    max_prior_bytes: int = 2 * 2**30
