"""Models that read a symmetric matrix and write its eigenvalues: data, training, beams, and what is right."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hf_toedit.papers.item import Work
from hf_toedit.papers.reinforcement.encoding import (
    MANTISSAS,
    PAD,
    START,
    VOCABULARY,
    decode,
    encode,
    encode_matrices,
)
from hf_toedit.progress import counted_progress
from hf_toedit.storage.files import whole_file

_LARGEST_ENTRY = 10.0

_BATCH = 512
"""Matrices that are predicted at a time."""

_WARMUP = 0.05
"""Share of the steps in which the learning rate rises."""


def symmetric(rng: np.random.Generator, count: int, dimension: int) -> np.ndarray:
    """Symmetric matrices `[count, d, d]` with independent entries, uniform between -10 and 10."""
    entries = rng.uniform(-_LARGEST_ENTRY, _LARGEST_ENTRY, (count, dimension, dimension))
    return np.asarray(np.triu(entries) + np.triu(entries, 1).swapaxes(1, 2))


def eigenvalues(matrices: np.ndarray) -> np.ndarray:
    """Eigenvalues `[k, d]` of symmetric matrices `[k, d, d]`, in descending order."""
    return np.linalg.eigvalsh(matrices)[:, ::-1]


def relative_errors(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Relative L1 errors sum |a - b| / sum |b|, as of `NumericConfig`.

    Args:
        found: Predictions a, `[..., d]`, NaN where there is no number.
        truth: Right values b, `[..., d]`.

    Returns:
        `[...]`; infinite where a number is missing.
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
        tokens: Ids, `[k, n, 3 d]`: n candidates per matrix, the likeliest first.
        perplexities: `[k, n]`, of the model itself, ascending for each matrix.
    """

    tokens: np.ndarray
    perplexities: np.ndarray

    @property
    def values(self) -> np.ndarray:
        """Eigenvalues, `[k, n, d]`; NaN where there is no number."""
        return decode(self.tokens)


def new_model(settings: Mapping[str, Any], seed: int) -> Any:
    """An encoder-decoder of `transformers` (BART) with its first weights.

    Mantissas begin as sinusoids of their value, so that near numbers are near from the start. Otherwise a small model
    spends its training on finding the order of a thousand tokens.

    Args:
        settings: `d_model`, `layers` of the encoder and of the decoder, `heads`, `dropout`.
        seed: Of the weights.
    """
    from transformers import BartConfig, BartForConditionalGeneration, set_seed

    size, layers, heads = settings["d_model"], settings["layers"], settings["heads"]
    config = BartConfig(
        vocab_size=len(VOCABULARY),
        d_model=size,
        encoder_layers=layers,
        decoder_layers=layers,
        encoder_attention_heads=heads,
        decoder_attention_heads=heads,
        encoder_ffn_dim=4 * size,
        decoder_ffn_dim=4 * size,
        dropout=settings["dropout"],
        init_std=size**-0.5,  # that of BART, 0.02, suits large models
        pad_token_id=PAD,
        bos_token_id=START,
        decoder_start_token_id=START,
        eos_token_id=None,  # the dimension tells how many numbers are written
        forced_eos_token_id=None,
    )
    set_seed(seed)
    model = BartForConditionalGeneration(config)
    embeddings = model.get_input_embeddings().weight
    waves = _sinusoids(np.arange(1000) / 1000, size) * (2 / size) ** 0.5
    embeddings.data[MANTISSAS : MANTISSAS + 1000] = embeddings.new_tensor(waves)
    return model


def _sinusoids(values: np.ndarray, size: int) -> np.ndarray:
    """Sines and cosines `[n, size]` of values `[n]`, of a quarter of a turn to 32 turns per unit."""
    angles = np.pi * np.geomspace(0.5, 64, size // 2) * values[:, None]
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)


def train(
    model: Any,
    inputs: np.ndarray,
    labels: np.ndarray,
    folder: Path,
    how: Mapping[str, Any],
    seed: int,
    on_step: Callable[[], None],
) -> None:
    """Train a model by `transformers.Trainer`: AdamW, a short warm-up, and a cosine to 0.

    Args:
        model: Of `new_model`, or trained before.
        inputs: Ids of matrices, `[k, n]`.
        labels: Ids of eigenvalues, `[k, 3 d]`.
        folder: Nothing is written to it; `Trainer` asks for one.
        how: `steps`, `batch_size`, `learning_rate`.
        seed: Of the order.
        on_step: Called after each step.
    """
    from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments, default_data_collator

    class Steps(TrainerCallback):
        """Counts steps."""

        def on_step_end(self, *_: Any, **__: Any) -> None:
            """See `TrainerCallback`."""
            on_step()

    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=how["steps"],
        per_device_train_batch_size=how["batch_size"],
        learning_rate=how["learning_rate"],
        lr_scheduler_type="cosine",
        warmup_steps=int(_WARMUP * how["steps"]),
        seed=seed,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
        remove_unused_columns=False,
    )
    rows = [{"input_ids": row, "labels": label} for row, label in zip(inputs, labels, strict=True)]
    trainer = Trainer(model, arguments, default_data_collator, train_dataset=rows, callbacks=[Steps()])
    trainer.remove_callback(PrinterCallback)
    trainer.train()


def predict(model: Any, inputs: np.ndarray, dimension: int, num_beams: int = 1) -> Beams:
    """All candidates of a beam search; of one beam, the likeliest token at each place.

    Args:
        model: Of `new_model`, trained.
        inputs: Ids of matrices, `[k, n]`.
        dimension: d of these.
        num_beams: Candidates per matrix.
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
class Study:
    """One repetition of an item: its matrices, its models, and how right these are.

    Attributes:
        settings: Of the item.
        work: What is trained and predicted is kept in its folder.
        repetition: Its number; each has matrices and weights of its own.
    """

    settings: Mapping[str, Any]
    work: Work
    repetition: int

    def matrices(self, kind: str) -> np.ndarray:
        """The matrices of a kind: `originals`, `synthetic` or `held_out`, `[k, d, d]`."""
        number = ("originals", "synthetic", "held_out").index(kind)
        rng = np.random.default_rng((self.work.seed, self.repetition, number))
        return symmetric(rng, self.settings[kind], self.settings["dimension"])

    def inputs(self, kind: str) -> np.ndarray:
        """The ids of these."""
        return encode_matrices(self.matrices(kind), self.settings["all_entries"])

    def errors(self, kind: str, values: np.ndarray) -> np.ndarray:
        """Relative errors `[k, n]` of predictions `[k, n, d]` for the matrices of a kind."""
        return relative_errors(values, eigenvalues(self.matrices(kind))[:, None])

    def generator(self) -> Any:
        """The model that is trained on the original examples and their right eigenvalues."""
        labels = encode(eigenvalues(self.matrices("originals")))
        return self.trained("generator", lambda: (self.inputs("originals"), labels))

    def trained(
        self, name: str, examples: Callable[[], tuple[np.ndarray, np.ndarray]], is_further: bool = False
    ) -> Any:
        """A model that is trained on examples, or was before.

        Args:
            name: Of the model.
            examples: Returns ids of matrices and of eigenvalues.
            is_further: Train the generator further; if false, train new weights, the same for each name.
        """
        from safetensors.torch import load_model, save_model

        settings, seed = self.settings, self.work.seed + self.repetition
        path = self._path(f"{name}.safetensors")
        if path.exists():
            model = new_model(settings, seed)
            load_model(model, path)
            return model
        model = self.generator() if is_further else new_model(settings, seed)
        how = {**settings, **settings["further"]} if is_further else settings
        with counted_progress(f"training steps, {name}", how["steps"], not self.work.progress) as advance:
            train(model, *examples(), path.parent, how, seed, advance)
        with whole_file(path) as temporary:
            save_model(model, str(temporary))
        return model

    def predicted(self, name: str, model: Any, kind: str, num_beams: int = 1) -> Beams:
        """The predictions of a model for the matrices of a kind, or those that it made before.

        Args:
            name: Of the model.
            model: The model itself.
            kind: See `matrices`.
            num_beams: Candidates per matrix.
        """
        path = self._path(f"{name}-{kind}-{num_beams}.npz")
        if not path.exists():
            made = predict(model, self.inputs(kind), self.settings["dimension"], num_beams)
            with whole_file(path) as temporary, temporary.open("wb") as file:
                np.savez(file, tokens=made.tokens, perplexities=made.perplexities)
        with np.load(path) as kept:
            return Beams(kept["tokens"], kept["perplexities"])

    def held_out_errors(self, name: str, model: Any) -> np.ndarray:
        """Relative errors `[k]` of a model's greedy predictions for held-out matrices."""
        return self.errors("held_out", self.predicted(name, model, "held_out").values)[:, 0]

    def _path(self, name: str) -> Path:
        folder = self.work.folder / f"repetition-{self.repetition + 1}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / name
