"""Fingerprints of local priors, from the files that determine their results. Nothing is loaded."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from hf_toedit.config import PriorConfig, content_hash
from hf_toedit.fingerprint import file_fingerprints
from hf_toedit.priors import embedded

_KINDS = ("*.json", "*.jinja", "*.safetensors", "*.model", "*.tiktoken", "merges.txt", "vocab.txt")
_KINDS_BEFORE = ("*.json", "*.jinja", "*.safetensors")
_HEADER_BYTES = 2**20


def prior_folder(config: PriorConfig) -> Path:
    """Return the folder that a prior's name would refer to; it need not exist, as the name may be a Hub id."""
    return embedded.path() if config.prior == "embedded" else Path(os.path.expanduser(config.prior))


def folder_revision(folder: Path, with_code: bool) -> str:
    """Return the fingerprint of a model's folder, whatever its location.

    It is the first 40 digits of the SHA-256 of the names, sizes and fingerprints (see `hf_toedit.fingerprint`) of its
    configuration, tokenizer, chat templates and weights; and of its Python code if that may run.
    """
    kinds = (*_KINDS, "*.py") if with_code else _KINDS
    files = _files(folder, kinds)
    facts = zip(files, file_fingerprints([str(file) for file in files]), strict=True)
    return content_hash([(file.name, size, stamp) for file, (size, stamp) in facts])[:40]


def is_same_prior(config: PriorConfig, revision: str, planned: str) -> bool:
    """Whether a prior is the one that was planned.

    Args:
        config: Its settings.
        revision: What pins it.
        planned: What pinned it when the run was planned. hf-toedit 0.1.0 used less of a folder: of weights only their
            size and first MiB, so that two models fine-tuned from the same one could have the same fingerprint.
    """
    if revision == planned:
        return True
    folder = prior_folder(config)
    return config.revision is None and folder.is_dir() and planned == _revision_before(folder)


def _revision_before(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in _files(folder, _KINDS_BEFORE):
        digest.update(f"{file.name}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as stream:
            digest.update(stream.read(_HEADER_BYTES if file.suffix == ".safetensors" else -1))
    return digest.hexdigest()[:40]


def _files(folder: Path, kinds: tuple[str, ...]) -> list[Path]:
    return sorted({file for kind in kinds for file in folder.glob(kind)})
