"""Runs of generation, as `hf-toedit generate` makes them."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike, fspath
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
    """What `generate` takes as keyword arguments, named as on the command line."""

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
    """Add texts that a model generates to each row of a dataset, as `hf-toedit generate` does; see there.

    Args:
        source: see `plan`, as is `folder`.
        folder: of the run.
        workers: see `edit`, as are `memory_fraction`, `tensor_parallel` and `progress`.
        token_budget: tokens per step, with the vLLM backend.
        memory_fraction: share of a GPU's memory that may be used.
        tensor_parallel: GPUs that share one copy of the model.
        progress: show a bar, in a terminal or a notebook.
        **settings: `candidates_column`, the new column; the fields of `GenerateConfig`, of which `prompt_tokens` is 32
            by default, or with `context_columns` 0: these alone are the prompt then; of the prior, the source, its
            texts and shards, as of `plan`.

    Raises:
        UsageError: a setting is unknown or out of range, or some do not go together.
        SourceError: the source cannot be found or read, or has such a column already.
        PriorError: the model cannot be found or loaded, or does not generate.
        RunError: the folder cannot be written, or holds another run; or shards failed. What is done is kept.

    Examples:
        >>> run = generate("sample", "continued", num_candidates=2, workers=0)  # doctest: +SKIP
        >>> run.dataset()["train"][0]["candidates"]  # doctest: +SKIP
    """
    resources = Resources(token_budget, memory_fraction, tensor_parallel)
    return do_run(asked_generate(fspath(source), settings), fspath(folder), workers, resources, progress)


def asked_generate(source: str, given: Mapping[str, Any]) -> RunRequest:
    """What `generate` is given, checked."""
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
    """A run of generation, its settings checked.

    Args:
        source: settings of the source.
        prior: settings of the model.
        how: fields of `GenerateConfig`; see `asked_prompts` for `prompt_tokens`.
        column: `candidates_column`, where it is given.
        shape: how the source is cut into shards.

    Raises:
        UsageError: they do not go together.
    """
    source, prompt_tokens = asked_prompts(source, how.get("prompt_tokens"))
    config = GenerateConfig.from_mapping({**how, "prompt_tokens": prompt_tokens})
    return RunRequest(source, GenerateTask(prior, config, **column), **shape)
