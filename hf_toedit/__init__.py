"""hf-toedit: edit the text datasets of the Hugging Face Hub token by token (ToEdit, arXiv 2412.14689)."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from hf_toedit.datasets_api import registration
from hf_toedit.version import __version__

_EXPORTS = {
    "EditConfig": "hf_toedit.config",
    "PriorConfig": "hf_toedit.config",
    "EditResult": "hf_toedit.editing.result",
    "ToEditor": "hf_toedit.api",
    "EditStats": "hf_toedit.stats",
    "Passage": "hf_toedit.editing.passage",
    "PieceTable": "hf_toedit.editing.piece_table",
    "ToEditError": "hf_toedit.errors",
    "ToEditProcessor": "hf_toedit.datasets_api.processor",
    "load_dataset": "hf_toedit.datasets_api.builder",
    "load_prior": "hf_toedit.priors.registry",
    "revert": "hf_toedit.datasets_api.revert",
}

__all__ = ["__version__", *_EXPORTS]


def __getattr__(name: str) -> Any:
    """Import public names when first used: `import hf_toedit` alone loads neither torch nor datasets."""
    if name not in _EXPORTS:
        raise AttributeError(f"module 'hf_toedit' has no attribute {name!r}")
    return getattr(import_module(_EXPORTS[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)


registration.register()
