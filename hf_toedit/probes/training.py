"""Training of one model with `transformers.Trainer`; an interrupted training continues from its last checkpoint."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    default_data_collator,
)
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK
from transformers.loss.loss_utils import ForCausalLMLoss

from hf_toedit.errors import UsageError, did_you_mean, in_one_line
from hf_toedit.priors.linear import onednn_training
from hf_toedit.priors.loading import device_of
from hf_toedit.probes.config import ProbeConfig
from hf_toedit.probes.processes import blocks_per_process, main_first, of_main
from hf_toedit.probes.tokens import IGNORED, Blocks

_CHECKPOINT_S = 60
"""Minimum number of seconds between checkpoints; overridden by `HF_TOEDIT_CHECKPOINT_S`."""

_LOSSES = 100
"""Number of points of a loss curve."""

_WARMUP, _WEIGHT_DECAY = 0.05, 0.1


@dataclass(frozen=True)
class Trained:
    """A trained model.

    Attributes:
        model: A model of `transformers`, with merged adapters.
        losses: `(step, training loss since the previous entry)`.
    """

    model: Any
    losses: list[tuple[int, float]]


def train(
    model: Any,
    blocks: Blocks,
    folder: Path,
    asked: ProbeConfig,
    rate: float,
    seed: int,
    on_step: Callable[[int], None],
    name: str = "",
) -> Trained:
    """Train a model on blocks, in their order: AdamW, a short warm-up, and cosine decay to 0.

    In float32 on CPU, the weights do not depend on where a training was interrupted.

    Args:
        model: The model with its initial weights.
        blocks: The training data, in whole batches.
        folder: Folder of checkpoints.
        asked: Settings of the probe, with the blocks per step.
        rate: Peak learning rate.
        seed: Random seed of dropout.
        on_step: Callback; called with the number of finished steps.
        name: Name of the training, for the tracker that it reports to.
    """
    batch_size = asked.blocks_per_step(len(blocks))
    steps = len(blocks) // batch_size
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=blocks_per_process(batch_size),
        learning_rate=rate,
        lr_scheduler_type="cosine",
        warmup_steps=int(_WARMUP * steps),
        weight_decay=_WEIGHT_DECAY,
        seed=seed,
        train_sampling_strategy="sequential",
        bf16=device_of(asked.device).type == "cuda",
        use_cpu=device_of(asked.device).type == "cpu",
        dataloader_pin_memory=device_of(asked.device).type == "cuda",
        logging_steps=max(1, steps // _LOSSES),
        save_strategy="no",  # `_Watch` decides
        save_total_limit=1,
        report_to=asked.report_to,
        run_name=name or None,
        disable_tqdm=True,
        remove_unused_columns=False,
        ddp_find_unused_parameters=False,
    )
    if torch.cuda.device_count() > 1:
        arguments._n_gpu = 1  # otherwise each step would read a batch per GPU; `accelerate launch` has its own way
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=blocks,
        data_collator=default_data_collator,
        compute_loss_func=_loss,
        callbacks=[_Watch(on_step)],
    )
    trainer.remove_callback(PrinterCallback)
    with main_first():
        checkpoint = _last_checkpoint(folder)
    with _own_run(trainer.args.report_to), onednn_training(model):
        trainer.train(resume_from_checkpoint=checkpoint)
    losses = _curve(trainer.state.log_history, arguments.logging_steps)
    trained = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    if hasattr(trained, "merge_and_unload"):
        trained = trained.merge_and_unload()
    return Trained(trained.eval(), losses)


def check_tracker(name: str) -> None:
    """Check that `Trainer` can report to a tracking service.

    Args:
        name: Name of the service, or `none` or `all`.

    Raises:
        UsageError: There is no such service, or its package is not installed.
    """
    if name in ("none", "all"):
        return
    if name not in INTEGRATION_TO_CALLBACK:
        raise UsageError(f"Trainer cannot report to {name!r}.{did_you_mean(name, ('none', *INTEGRATION_TO_CALLBACK))}")
    problem = ""
    with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stderr(nowhere):  # what their destructors report
        try:
            INTEGRATION_TO_CALLBACK[name]()
        except Exception as error:
            problem = in_one_line(error)
    if problem:
        raise UsageError(f"Trainer cannot report to {name}: {problem}")


def remove_checkpoints(folder: Path) -> None:
    """Remove the checkpoints of a finished training."""
    for checkpoint in folder.glob("checkpoint-*"):
        shutil.rmtree(checkpoint, ignore_errors=True)


def _loss(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
    """Return the loss of `transformers` for causal models; 0 for a batch of only context, which has no mean."""
    logits = outputs["logits"]
    count = (labels[..., 1:] != IGNORED).sum() if num_items_in_batch is None else num_items_in_batch
    count = torch.clamp(torch.as_tensor(count, device=logits.device), min=1)
    return ForCausalLMLoss(logits, labels, logits.shape[-1], num_items_in_batch=count)


@contextmanager
def _own_run(services: Sequence[str]) -> Iterator[None]:
    """End the run of W&B after a training, which would go on in that of the training before."""
    if "wandb" not in services:
        yield
        return
    import wandb

    is_of_user = wandb.run is not None
    yield
    if not is_of_user:
        wandb.finish()


def _curve(history: Sequence[Mapping[str, float]], every: int) -> list[tuple[int, float]]:
    """Return the loss of every so many steps, wherever checkpoints were, at which it is logged as well."""
    found: list[tuple[int, float]] = []
    last, total = 0, 0.0
    for entry in history:
        if "loss" in entry:
            step = int(entry["step"])
            total += entry["loss"] * (step - last)
            last = step
            if step % every == 0:
                found.append((step, total / every))
                total = 0.0
    return found


class _Watch(TrainerCallback):
    """Counts steps, and requests a checkpoint about once per minute."""

    def __init__(self, on_step: Callable[[int], None]) -> None:
        self._on_step = on_step
        self._every_s = float(os.environ.get("HF_TOEDIT_CHECKPOINT_S", _CHECKPOINT_S))
        self._saved = time.monotonic()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        """See `TrainerCallback`."""
        self._on_step(state.global_step)
        return control

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        """See `TrainerCallback`."""
        self._on_step(state.global_step)
        if of_main(time.monotonic() - self._saved >= self._every_s):
            control.should_save = control.should_log = True  # the loss since the last log is not in a checkpoint
            self._saved = time.monotonic()
        return control


def _last_checkpoint(folder: Path) -> str | None:
    """Return the newest complete checkpoint: its state is written last."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)
    for checkpoint in found:
        try:
            json.loads((checkpoint / "trainer_state.json").read_bytes())
        except (OSError, ValueError):
            shutil.rmtree(checkpoint, ignore_errors=True)  # interrupted while it was written or removed
        else:
            return str(checkpoint)
    return None
