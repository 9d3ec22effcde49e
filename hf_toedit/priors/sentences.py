"""Texts as vectors: models of `sentence-transformers`, including static ones of `model2vec`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from hf_toedit.checked import names_class
from hf_toedit.config import PriorConfig
from hf_toedit.errors import PriorError
from hf_toedit.hub import model_files
from hf_toedit.priors.loading import Kind, loaded, locate_model
from hf_toedit.priors.pinning import prior_folder

_MODULES = "modules.json"
"""The file that lists the parts of such a model."""

_FILES = ("*.json", "*.txt", "*.model", "*.safetensors")
"""Files that are downloaded of a model on the Hub: no pickles, and no code."""

_BATCH = 32

_KIND = Kind(
    "embedder",
    "a folder or a Hub id (org/name)",
    "SentenceTransformer",
    "It is not a model of sentence-transformers.",
    "a complete model of sentence-transformers",
    _MODULES,
)


def is_sentence_model(name: str) -> bool:
    """Whether a name refers to a model of `sentence-transformers`, on this machine or on the Hub.

    Raises:
        PriorError: There is no such model.
    """
    if name == "embedded" or names_class(name):
        return False
    folder = prior_folder(PriorConfig(name))
    if not folder.is_dir():
        location, sha = locate_model(_KIND, name, folder, None, with_code=False)
        folder = model_files(location, sha, [_MODULES])
    return (folder / _MODULES).is_file()


class SentenceEmbedder:
    """A model of `sentence-transformers` that computes a vector for each text; used as `priors.embedding.Embedder`.

    Attributes:
        name: Name as requested.
        revision: Commit sha, or a fingerprint of local files.
    """

    def __init__(self, name: str) -> None:
        """Load the model; only safetensors weights, and no code of its repository.

        Args:
            name: A folder or a Hub id for which `is_sentence_model` holds.

        Raises:
            PriorError: The model cannot be loaded, or `sentence-transformers` is not installed.
        """
        try:
            from sentence_transformers import SentenceTransformer
        except ModuleNotFoundError as error:
            raise PriorError(
                f"embedder {name!r} is a model of sentence-transformers, which is not installed. Install it: "
                f"pip install sentence-transformers"
            ) from error
        location, self.revision = locate_model(_KIND, name, prior_folder(PriorConfig(name)), None, with_code=False)
        folder = Path(location) if Path(location).is_dir() else model_files(location, self.revision, _FILES)
        self.name = name
        self._model = loaded(
            _KIND, name, "model", SentenceTransformer, str(folder), model_kwargs={"use_safetensors": True}
        )

    def embed(self, texts: Sequence[str], progress: Callable[[], None] = lambda: None) -> np.ndarray:
        """Return the model's vector of each text; float32 `[texts, dimensions]`.

        Args:
            texts: One or more texts; the model reads the beginning of a long one.
            progress: Callback; called after each text.
        """
        by_length = sorted(texts, key=len)  # to minimize padding
        places = np.argsort(np.array([len(text) for text in texts]), kind="stable")
        parts = []
        for start in range(0, len(by_length), _BATCH):
            batch = by_length[start : start + _BATCH]
            parts.append(np.asarray(self._model.encode(batch, show_progress_bar=False), np.float32))
            for _ in batch:
                progress()
        return np.concatenate(parts)[np.argsort(places)]
