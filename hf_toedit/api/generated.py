"""Generation runs, as created by `hf-toedit generate`."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any

from hf_toedit.api.begin import Taken, do_run
from hf_toedit.api.engine import Workers
from hf_toedit.api.request import RunRequest
from hf_toedit.api.run import Run
from hf_toedit.checked import kinds
from hf_toedit.config import PriorConfig, Resources, SourceConfig
from hf_toedit.generation.config import Decoding, GenerateConfig
from hf_toedit.settings import PriorSettings, SourceSettings
from hf_toedit.tasks.generate import GenerateTask, asked_prompts
from hf_toedit.tasks.generate_stats import GenerateStats

if TYPE_CHECKING:
    from typing_extensions import Unpack


class GenerateSettings(PriorSettings, SourceSettings, total=False):
    """Keyword arguments of `generate`, named as on the command line."""

    config_name: str | None
    split: str | None
    num_candidates: int
    decoding: Decoding
    temperature: float | None
    top_k: int | None
    top_p: float | None
    max_new_tokens: int
    prompt_tokens: int | None
    seed: int
    candidates_column: str
    shard_size: str
    num_shards: int | None


def generate(
    source: str | PathLike[str],
    folder: str | PathLike[str],
    *,
    workers: Workers = "auto",
    token_budget: int | None = None,
    memory_fraction: float = 0.9,
    tensor_parallel: int = 1,
    progress: bool = True,
    **settings: Unpack[GenerateSettings],
) -> Run[GenerateStats]:
    """Add generated texts to each row of a dataset, as `hf-toedit generate` does.

    Args:
        source: Source; see `plan`, as for `folder`.
        folder: Run folder.
        workers: See `edit`, as for `memory_fraction`, `tensor_parallel` and `progress`.
        token_budget: Number of tokens per step, with the vLLM backend.
        memory_fraction: Share of a GPU's memory that may be used.
        tensor_parallel: Number of GPUs that share one copy of the model.
        progress: Show a progress bar, in a terminal or a notebook.
        **settings: `candidates_column`, the new column; the fields of `GenerateConfig`, where the default of
            `prompt_tokens` is 32, or 0 with `context_columns`, which then are the whole prompt; and settings of the
            prior, the source, its texts and shards, as in `plan`.

    Raises:
        UsageError: A setting is unknown or out of range, or settings cannot be combined.
        SourceError: The source cannot be found or read, or already has such a column.
        PriorError: The model cannot be found or loaded, or cannot generate.
        RunError: The folder cannot be written, or contains another run; or shards failed. Finished shards are kept.

    Examples:
        >>> run = generate("sample", "continued", num_candidates=2, workers=0)  # doctest: +SKIP
        >>> run.dataset()["train"][0]["candidates"]  # doctest: +SKIP
    """
    resources = Resources(token_budget, memory_fraction, tensor_parallel)
    return do_run(asked_generate(source, settings), folder, workers, resources, progress)


def asked_generate(source: str | PathLike[str], given: Mapping[str, Any]) -> RunRequest:
    """Check the arguments of `generate`."""
    taken = Taken(given)
    origin, prior, shape = taken.source(source), taken.prior(), taken.shape()
    column = taken.some("candidates_column")
    how = taken.rest(*kinds(GenerateConfig))
    return generate_request(origin, prior, how, column, shape)


def generate_request(
    source: SourceConfig,
    prior: PriorConfig,
    how: Mapping[str, Any],
    column: Mapping[str, str],
    shape: Mapping[str, Any],
) -> RunRequest:
    """Create the request of a generation run from checked settings.

    Args:
        source: Settings of the source.
        prior: Settings of the model.
        how: Fields of `GenerateConfig`; see `asked_prompts` for `prompt_tokens`.
        column: `candidates_column`, if given.
        shape: How the source is split into shards.

    Raises:
        UsageError: The settings cannot be combined.
    """
    source, prompt_tokens = asked_prompts(source, how.get("prompt_tokens"))
    config = GenerateConfig.from_mapping({**how, "prompt_tokens": prompt_tokens})
    return RunRequest(source, GenerateTask(prior, config, **column), **shape)
