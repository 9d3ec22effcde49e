"""Models that read a symmetric matrix and write its eigenvalues: data, training, beams, and errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hf_toedit.papers.reinforcement import encoder_decoder
from hf_toedit.papers.reinforcement.encoding import (
    MANTISSAS,
    PAD,
    START,
    VOCABULARY,
    decode,
    encode,
    encode_matrices,
)

_LARGEST_ENTRY = 10.0

_BATCH = 512
"""Number of matrices per prediction batch."""


def symmetric(rng: np.random.Generator, count: int, dimension: int) -> np.ndarray:
    """Return symmetric matrices `[count, d, d]` with independent entries, uniform between -10 and 10."""
    entries = rng.uniform(-_LARGEST_ENTRY, _LARGEST_ENTRY, (count, dimension, dimension))
    return np.asarray(np.triu(entries) + np.triu(entries, 1).swapaxes(1, 2))


def eigenvalues(matrices: np.ndarray) -> np.ndarray:
    """Return the eigenvalues `[k, d]` of symmetric matrices `[k, d, d]`, in descending order."""
    return np.linalg.eigvalsh(matrices)[:, ::-1]


def relative_errors(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return relative L1 errors sum |a - b| / sum |b|, as in `NumericConfig`.

    Args:
        found: Predictions a, `[..., d]`, NaN if there is no number.
        truth: Right values b, `[..., d]`.

    Returns:
        `[...]`; infinite if a number is missing.
    """
    difference = np.abs(found - truth).sum(axis=-1)
    size = np.broadcast_to(np.abs(truth).sum(axis=-1), difference.shape)
    errors = np.where(difference == 0, 0.0, np.inf)
    np.divide(difference, size, out=errors, where=(size > 0) & ~np.isnan(difference))
    return errors


@dataclass(frozen=True)
class Beams:
    """Predictions of a model.

    Attributes:
        tokens: Token ids, `[k, n, 3 d]`: n candidates per matrix, the most likely first.
        perplexities: Perplexities under the model itself, ascending for each matrix, `[k, n]`.
    """

    tokens: np.ndarray
    perplexities: np.ndarray

    @property
    def values(self) -> np.ndarray:
        """Eigenvalues, `[k, n, d]`; NaN if there is no number."""
        return decode(self.tokens)


def new_model(settings: Mapping[str, Any], seed: int) -> Any:
    """Return an encoder-decoder with its initial weights; see `encoder_decoder.new_model`.

    Embeddings of mantissas are initialized as sinusoids of their value, so that close numbers are close from the start.
    Otherwise a small model spends its training on learning the order of a thousand tokens.

    Args:
        settings: See `encoder_decoder.new_model`.
        seed: Random seed of the weights.
    """
    # No end token: the dimension determines how many numbers to write.
    model = encoder_decoder.new_model(settings, seed, len(VOCABULARY), PAD, START, end=None)
    size = settings["d_model"]
    embeddings = model.get_input_embeddings().weight
    waves = _sinusoids(np.arange(1000) / 1000, size) * (2 / size) ** 0.5
    embeddings.data[MANTISSAS : MANTISSAS + 1000] = embeddings.new_tensor(waves)
    return model


def _sinusoids(values: np.ndarray, size: int) -> np.ndarray:
    """Return sines and cosines `[n, size]` of values `[n]`, from a quarter of a turn to 32 turns per unit."""
    angles = np.pi * np.geomspace(0.5, 64, size // 2) * values[:, None]
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)


def predict(model: Any, inputs: np.ndarray, dimension: int, num_beams: int = 1) -> Beams:
    """Return all candidates of a beam search; with one beam, the most likely token at each position.

    Args:
        model: A trained model, see `new_model`.
        inputs: Token ids of matrices, `[k, n]`.
        dimension: Dimension d of the matrices.
        num_beams: Number of candidates per matrix.
    """
    import torch

    model.eval()
    found, scores = [], []
    for start in range(0, len(inputs), _BATCH):
        ids = torch.tensor(inputs[start : start + _BATCH], device=model.device)
        length = 3 * dimension
        made = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=length,
            min_new_tokens=length,
            do_sample=False,
            num_beams=num_beams,
            num_return_sequences=num_beams,
            output_scores=True,
            return_dict_in_generate=True,
        )
        places = made.get("beam_indices")
        each = model.compute_transition_scores(made.sequences, made.scores, places, normalize_logits=num_beams == 1)
        found.append(made.sequences[:, 1:].reshape(len(ids), num_beams, length).cpu().numpy())
        scores.append(each.mean(dim=1).reshape(len(ids), num_beams).cpu().numpy())
    return Beams(np.concatenate(found), np.exp(-np.concatenate(scores)))


@dataclass(frozen=True)
class Study(encoder_decoder.Study):
    """One repetition of an item: its matrices, its models, and their errors."""

    def new_model(self) -> Any:
        """See `encoder_decoder.Study`."""
        return new_model(self.settings, self.seed)

    def matrices(self, kind: str) -> np.ndarray:
        """Return the matrices of a kind: `originals`, `synthetic` or `held_out`, `[k, d, d]`."""
        number = ("originals", "synthetic", "held_out").index(kind)
        rng = np.random.default_rng((self.work.seed, self.repetition, number))
        return symmetric(rng, self.settings[kind], self.settings["dimension"])

    def inputs(self, kind: str) -> np.ndarray:
        """Return the token ids of the matrices of a kind."""
        return encode_matrices(self.matrices(kind), self.settings["all_entries"])

    def errors(self, kind: str, values: np.ndarray) -> np.ndarray:
        """Return the relative errors `[k, n]` of predictions `[k, n, d]` for the matrices of a kind."""
        return relative_errors(values, eigenvalues(self.matrices(kind))[:, None])

    def generator(self) -> Any:
        """Return the model trained on the original examples and their right eigenvalues."""
        labels = encode(eigenvalues(self.matrices("originals")))
        return self.trained("generator", lambda: {"input_ids": self.inputs("originals"), "labels": labels})

    def predicted(self, name: str, model: Any, kind: str, num_beams: int = 1) -> Beams:
        """Predict the matrices of a kind, or load the predictions if they are stored.

        Args:
            name: Name of the model.
            model: The model.
            kind: See `matrices`.
            num_beams: Number of candidates per matrix.
        """

        def make() -> dict[str, np.ndarray]:
            made = predict(model, self.inputs(kind), self.settings["dimension"], num_beams)
            return {"tokens": made.tokens, "perplexities": made.perplexities}

        return Beams(**self.stored(f"{name}-{kind}-{num_beams}", make))

    def held_out_errors(self, name: str, model: Any) -> np.ndarray:
        """Return the relative errors `[k]` of a model's greedy predictions for held-out matrices."""
        return self.errors("held_out", self.predicted(name, model, "held_out").values)[:, 0]
