"""Small encoder-decoders of `transformers`: weights, training, and the stored models of an item's repetition."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hf_toedit.papers.item import Work
from hf_toedit.progress import counted_progress
from hf_toedit.storage.files import whole_file

_WARMUP = 0.05
"""Share of the steps during which the learning rate rises."""


def new_model(settings: Mapping[str, Any], seed: int, vocabulary: int, pad: int, start: int, end: int | None) -> Any:
    """Return an encoder-decoder (BART) with its initial weights.

    Args:
        settings: `d_model`, `layers` of the encoder and of the decoder, `heads`, `dropout`.
        seed: Random seed of the weights.
        vocabulary: Number of tokens.
        pad: Token id of padding.
        start: Token id that the decoder begins with.
        end: Token id that ends an output; None if its length is known.
    """
    from transformers import BartConfig, BartForConditionalGeneration, set_seed

    size, layers, heads = settings["d_model"], settings["layers"], settings["heads"]
    config = BartConfig(
        vocab_size=vocabulary,
        d_model=size,
        encoder_layers=layers,
        decoder_layers=layers,
        encoder_attention_heads=heads,
        decoder_attention_heads=heads,
        encoder_ffn_dim=4 * size,
        decoder_ffn_dim=4 * size,
        dropout=settings["dropout"],
        init_std=size**-0.5,  # BART's own, 0.02, suits large models
        pad_token_id=pad,
        bos_token_id=start,
        decoder_start_token_id=start,
        eos_token_id=end,
        forced_eos_token_id=None,
    )
    set_seed(seed)
    return BartForConditionalGeneration(config)


def train(
    model: Any,
    examples: Mapping[str, np.ndarray],
    folder: Path,
    how: Mapping[str, Any],
    seed: int,
    on_step: Callable[[], None],
) -> None:
    """Train a model with `transformers.Trainer`: AdamW, a short warm-up, and cosine decay to 0.

    Args:
        model: A new or trained model, see `new_model`.
        examples: Inputs of the model by name, `[k, n]` each: `input_ids`, `labels`, and what else it reads.
        folder: Output folder that `Trainer` requires; nothing is written to it.
        how: `steps`, `batch_size`, `learning_rate`.
        seed: Random seed of the order.
        on_step: Callback; called after each step.
    """
    from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments, default_data_collator

    from hf_toedit.priors.linear import onednn_training

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
    rows = [dict(zip(examples, row, strict=True)) for row in zip(*examples.values(), strict=True)]
    trainer = Trainer(model, arguments, default_data_collator, train_dataset=rows, callbacks=[Steps()])
    trainer.remove_callback(PrinterCallback)
    with onednn_training(model):
        trainer.train()


@dataclass(frozen=True)
class Study(ABC):
    """One repetition of an item: its data, its models, and their results.

    Attributes:
        settings: Settings of the item.
        work: Environment of the item; trained models and results are stored in its folder.
        repetition: Index of the repetition; each has its own data and weights.
    """

    settings: Mapping[str, Any]
    work: Work
    repetition: int

    @property
    def seed(self) -> int:
        """Random seed of weights and of the order of training."""
        return self.work.seed + self.repetition

    @abstractmethod
    def new_model(self) -> Any:
        """Return a model with its initial weights."""

    @abstractmethod
    def generator(self) -> Any:
        """Return the model trained on the original examples and their right labels."""

    def trained(self, name: str, examples: Callable[[], Mapping[str, np.ndarray]], is_further: bool = False) -> Any:
        """Train a model on examples, or load it if it is stored.

        Args:
            name: Name of the model.
            examples: Returns the examples, see `train`.
            is_further: Train the generator further; if false, train new weights, the same for each name.
        """
        from safetensors.torch import load_model, save_model

        settings = self.settings
        path = self._path(f"{name}.safetensors")
        if path.exists():
            model = self.new_model()
            load_model(model, path)
            return model
        model = self.generator() if is_further else self.new_model()
        how = {**settings, **settings["further"]} if is_further else settings
        with counted_progress(f"training steps, {name}", how["steps"], not self.work.progress) as advance:
            train(model, examples(), path.parent, how, self.seed, advance)
        with whole_file(path) as temporary:
            save_model(model, str(temporary))
        return model

    def stored(self, name: str, make: Callable[[], Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """Return arrays by name, made or loaded if they are stored.

        Args:
            name: Name of the arrays' file.
            make: Returns the arrays.
        """
        path = self._path(f"{name}.npz")
        if not path.exists():
            with whole_file(path) as temporary, temporary.open("wb") as file:
                np.savez(file, **make())  # type: ignore[arg-type]
        with np.load(path) as kept:
            return dict(kept)

    def _path(self, name: str) -> Path:
        folder = self.work.folder / f"repetition-{self.repetition + 1}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / name
