"""Settings of a probe's models and training: frozen and self-validating."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Annotated, ClassVar

from msgspec import Meta

from hf_toedit.checked import Names
from hf_toedit.config import BaseConfig, Device
from hf_toedit.errors import UsageError

SCRATCH = ("tiny", "small", "gpt2")
"""Built-in models: configurations that are trained from scratch."""

SCRATCH_RATES = (3e-4, 1e-3)
"""A small and an ordinary learning rate from scratch, for models of a few million parameters."""

CONTINUAL_RATES = (1e-5, 1e-4)
"""The same for continued training."""

LORA_RATES = (2e-5, 2e-4)
"""The same for LoRA, which has higher ordinary learning rates."""

_MOST_BLOCKS, _FEWEST_STEPS = 16, 200

Positive = Annotated[int, Meta(ge=1)]
Rate = Annotated[float, Meta(gt=0, le=1)]


@dataclass(frozen=True)
class ProbeConfig(BaseConfig):
    """Settings of a probe.

    Attributes:
        model: `tiny`, `small`, `gpt2` or a `CONFIG.json`, trained from scratch; or a folder or a Hub id, whose weights
            are trained further.
        tokenizer: A folder, a Hub id, or `embedded`; empty for that of the model, `embedded` for `tiny`, `small` and a
            `CONFIG.json`, and `openai-community/gpt2` for `gpt2`.
        num_tokens: Training tokens per model; None for as many as `max_epochs` allows.
        max_epochs: Maximum number of epochs over a variant, so that the smallest sets the limit.
        context: Tokens per training block, and per window of the evaluation.
        batch_size: Blocks per step; None for 16, or fewer if that would give less than 200 steps.
        learning_rates: Peak learning rates; empty for a small and an ordinary one, see `rates`.
        seeds: Number of seeds: 0, 1, …. A single seed would not show the variation between seeds.
        lora: Train LoRA adapters instead of all weights.
        drop_contaminated: Train without documents that share a 13-gram with the evaluation text.
        keep_models: Keep the weights of trained models.
        report_to: Where `Trainer` reports: `none`, `trackio`, `wandb`, ….
        tasks: Tasks, groups and tags of lm-eval on which trained models are evaluated.
        task_limit: Maximum number of documents per task; None for all.
        task_folder: Folder with YAML files of the user's own tasks; empty for none.
        device: See `PriorConfig`.
    """

    loose: ClassVar[tuple[str, ...]] = (
        "learning_rates", "seeds", "keep_models", "report_to", "tasks", "task_limit", "task_folder", "device",
    )  # fmt: skip
    """Settings that may change in an existing folder: results are kept, others are added."""

    model: str = "tiny"
    tokenizer: str = ""
    num_tokens: Positive | None = None
    max_epochs: Annotated[float, Meta(gt=0)] = 1.0
    context: Annotated[int, Meta(ge=8)] = 256
    batch_size: Positive | None = None
    learning_rates: tuple[Rate, ...] = ()
    seeds: Annotated[int, Meta(ge=2)] = 3
    lora: bool = False
    drop_contaminated: bool = False
    keep_models: bool = False
    report_to: str = "none"
    tasks: Names = ()
    task_limit: Positive | None = None
    task_folder: str = ""
    device: Device = "auto"

    def blocks_per_step(self, num_blocks: int) -> int:
        """Return the number of blocks per step for a total number of blocks."""
        return self.batch_size or min(_MOST_BLOCKS, max(1, num_blocks // _FEWEST_STEPS))

    def __post_init__(self) -> None:
        """Validate the values and their combination."""
        super().__post_init__()
        if self.lora and self.is_scratch:
            raise UsageError(
                f"LoRA adapts a trained model, and {self.model} is trained from scratch. Leave --lora out, or name a "
                f"folder or a Hub id with --model."
            )
        if not self.tasks and (self.task_limit is not None or self.task_folder):
            raise UsageError("--task-limit and --task-folder need tasks. Name them with --tasks.")
        if len(set(self.learning_rates)) < len(self.learning_rates):
            raise UsageError("a learning rate is given twice. Name each learning rate once.")

    @property
    def is_scratch(self) -> bool:
        """Whether the model starts with new weights."""
        return self.model in SCRATCH or self.model.endswith(".json")

    @property
    def rates(self) -> tuple[float, ...]:
        """The learning rates, in ascending order."""
        default = SCRATCH_RATES if self.is_scratch else LORA_RATES if self.lora else CONTINUAL_RATES
        return tuple(sorted(self.learning_rates or default))


def check_installed(lora: bool) -> None:
    """Check that the training libraries are installed.

    Args:
        lora: Whether adapters are trained.

    Raises:
        UsageError: A library is missing.
    """
    for name in ("accelerate", "peft") if lora else ("accelerate",):
        if find_spec(name) is None:
            raise UsageError(f"a probe needs {name}. Install it: pip install 'hf-toedit[probe]'")
