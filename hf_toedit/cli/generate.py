"""`hf-toedit generate`: a dataset in, the same rows with texts that a model generates beside them out."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import click

from hf_toedit.cli.engines import work_options
from hf_toedit.cli.options import (
    Command,
    config_option,
    json_option,
    prior_config,
    prior_options,
    quiet_option,
    resource_options,
    source_config,
    source_options,
    together,
)
from hf_toedit.cli.plan import Asked, cut_options, estimate_options, output_option, plan_only_option, plan_or_run
from hf_toedit.cli.push import push_to_options
from hf_toedit.generation.config import DECODINGS, GenerateConfig

_SETTINGS = (
    "num_candidates", "decoding", "temperature", "top_k", "top_p", "max_new_tokens", "prompt_tokens", "seed",
)  # fmt: skip


def decoding_options(command: Command) -> Command:
    """What is generated, and how."""
    default = GenerateConfig()
    return together(
        click.option("--num-candidates", type=click.IntRange(min=1), default=default.num_candidates, show_default=True,
                     metavar="N", help="Number of candidates per row; with beam the number of beams as well."),
        click.option("--decoding", type=click.Choice(DECODINGS), default=default.decoding, show_default=True,
                     help="Take the likeliest token, sample each token, or search with beams."),
        click.option("--temperature", type=float, metavar="T",
                     help="Divides the logits; with sample.  [default: 1]"),
        click.option("--top-k", type=int, metavar="K",
                     help="Sample from the K likeliest tokens.  [default: from all]"),
        click.option("--top-p", type=float, metavar="P",
                     help="Sample from the likeliest tokens with total probability P.  [default: from all]"),
        click.option("--max-new-tokens", type=click.IntRange(min=1), default=default.max_new_tokens, show_default=True,
                     metavar="N", help="Maximum number of tokens per candidate."),
        click.option("--prompt-tokens", type=click.IntRange(min=0), metavar="N",
                     help="Number of tokens of the text, from its first, that are the prompt.  [default: "
                     f"{default.prompt_tokens}; 0 with --context-columns, which alone are the prompt then]"),
        click.option("--seed", type=int, default=default.seed, show_default=True, metavar="N",
                     help="Random seed for sampling."),
        click.option("--candidates-column", default="candidates", show_default=True, metavar="NAME",
                     help="New column, a list of strings per row."),
    )(command)  # fmt: skip


@click.command(short_help="Generate texts for the rows of a dataset.")
@click.argument("source")
@output_option
@cut_options
@plan_only_option
@estimate_options
@source_options
@decoding_options
@prior_options
@resource_options
@work_options
@push_to_options
@config_option
@json_option
@quiet_option
def generate(source: str, **options: Any) -> None:
    """Add candidates to each row of SOURCE: texts that the prior generates. Every other column stays as it was.

    Without further options the prior continues the beginning of each text (--prompt-tokens). With --context-columns it
    answers these columns, by its chat template if it has one, and with --messages-column the conversation before its
    last answer. A candidate does not repeat the prompt. Sampled candidates depend on the seed and the row alone.

    `hf-toedit select RUN --best-of candidates` then keeps the best one of each row.

    \b
    Examples:
      hf-toedit generate sample -o continued --num-candidates 4 --temperature 0.8
      hf-toedit generate openai/gsm8k --config-name main -o answers --context-columns question \\
        --prior HuggingFaceTB/SmolLM2-135M-Instruct --decoding beam --num-candidates 5
    """  # noqa: D301
    plan_or_run(partial(_asked, source, options), options)


def _asked(source: str, options: Mapping[str, Any]) -> Asked:
    """A run of generation that was asked for on the command line.

    Raises:
        UsageError: a setting is out of range, or some do not go together.
    """
    from hf_toedit.api.generated import generate_request

    request = generate_request(
        source_config(source, dict(options)),
        prior_config(options),
        {name: options[name] for name in _SETTINGS},
        {"candidates_column": options["candidates_column"]},
        {"shard_size": options["shard_size"], "num_shards": options["num_shards"]},
    )
    return Asked(request, options)
