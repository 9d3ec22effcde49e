"""What a server of the demo offers, and to whom; no Gradio."""

from __future__ import annotations

from dataclasses import dataclass, field

from hf_toedit.config import PriorConfig


@dataclass(frozen=True)
class SpaceSettings:
    """What visitors may do.

    Attributes:
        prior: the one offered first, loaded before anybody comes.
        local: run folders and priors of this machine may be named; only while it alone can reach the server.
        source: a dataset opened in the dataset tab at first: a Hub id, or where `local`, a run folder.
        max_characters: of a text that is pasted.
        max_prior_bytes: of the weights of a Hub model that a visitor names.
    """

    prior: PriorConfig = field(default_factory=PriorConfig)
    local: bool = False
    source: str | None = None
    max_characters: int = 20_000
    max_prior_bytes: int = 2 * 2**30
