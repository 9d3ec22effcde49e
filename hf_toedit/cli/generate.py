"""`hf-toedit generate`: adds generated candidates to the rows of a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import click

from hf_toedit.cli.engines import work_options
from hf_toedit.cli.help import OUTPUT, SELECT, command, option
from hf_toedit.cli.options import (
    Command,
    config_option,
    json_option,
    prior_config,
    prior_options,
    quiet_option,
    resource_options,
    source_argument,
    source_config,
    source_options,
    together,
)
from hf_toedit.cli.plan import Asked, cut_options, estimate_options, output_option, plan_only_option, plan_or_run
from hf_toedit.cli.push import push_to_options
from hf_toedit.generation.config import DECODINGS, GenerateConfig

_HOW = "How to generate"
_SETTINGS = (
    "num_candidates", "decoding", "temperature", "top_k", "top_p", "max_new_tokens", "prompt_tokens", "seed",
)  # fmt: skip


def decoding_options(command: Command) -> Command:
    """Decoding and its settings."""
    default = GenerateConfig()
    return together(
        option("--num-candidates", group=_HOW, type=click.IntRange(min=1), default=default.num_candidates,
               show_default=True, metavar="N", help="Number of candidates per row, and of beams."),
        option("--decoding", group=_HOW, type=click.Choice(DECODINGS), default=default.decoding, show_default=True,
               metavar="METHOD", help="Decoding method: greedy, sample or beam (search)."),
        option("--temperature", group=_HOW, type=float, metavar="T", help="Sampling temperature.  [default: 1]"),
        option("--top-k", group=_HOW, type=int, metavar="K",
               help="Number of tokens to sample from.  [default: all]"),
        option("--top-p", group=_HOW, type=float, metavar="P",
               help="Total probability to sample from.  [default: 1]"),
        option("--max-new-tokens", group=_HOW, type=click.IntRange(min=1), default=default.max_new_tokens,
               show_default=True, metavar="N", help="Maximum tokens per candidate."),
        option("--prompt-tokens", group=_HOW, type=click.IntRange(min=0), metavar="N",
               help="Number of first tokens of a text as the prompt.  [default: "
               f"{default.prompt_tokens}; 0 with --context-columns]"),
        option("--seed", group=_HOW, type=int, default=default.seed, show_default=True, metavar="N",
               help="Random seed for sampling."),
    )(command)  # fmt: skip


@command(purpose=SELECT, short_help="Generate texts for the rows of a dataset.")
@source_argument
@source_options
@decoding_options
@prior_options
@resource_options
@work_options
@output_option
@option("--candidates-column", group=OUTPUT, default="candidates", show_default=True, metavar="NAME",
        help="New column: a list of strings.")  # fmt: skip
@plan_only_option
@estimate_options
@cut_options
@push_to_options
@config_option
@json_option
@quiet_option
def generate(source: str, **options: Any) -> None:
    """Add candidates to each row of SOURCE: texts that the prior generates.

    The prior continues the beginning of each text or, with its chat template, answers --context-columns or the last
    turn of --messages-column. `hf-toedit select RUN --best-of candidates` then keeps the best candidate per row.

    \b
    Examples:
      hf-toedit generate sample -o continued --num-candidates 4
      hf-toedit generate openai/gsm8k --config-name main -o answers \\
        --context-columns question --prior HuggingFaceTB/SmolLM2-135M-Instruct
    """  # noqa: D301
    plan_or_run(partial(_asked, source, options), options)


def _asked(source: str, options: Mapping[str, Any]) -> Asked:
    """A run of generation requested on the command line.

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
