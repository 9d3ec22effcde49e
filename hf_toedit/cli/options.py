"""The options that commands share, and the settings they make."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import click

from hf_toedit.checked import names_class
from hf_toedit.cli import completion
from hf_toedit.cli.config_file import read_config
from hf_toedit.cli.help import EDITING, GENERAL, MACHINE, OUTPUT, PRIOR, SOURCE, option
from hf_toedit.config import (
    BACKENDS,
    DTYPES,
    PRESETS,
    SAMPLERS,
    SELECT_MODES,
    EditConfig,
    PriorConfig,
    Resources,
    SourceConfig,
)
from hf_toedit.protect import GUARDS

Command = Callable[..., Any]

COMMAND_LINE = "hf_toedit.command_line"
"""Key of the command line in the `meta` of a context."""

SOURCE_LICENSE = "hf_toedit.source_license"
"""Key of the licence of a source that is known without its card."""

_EDIT_OPTIONS = (
    "select", "threshold", "sampler", "top_k", "top_p", "temperature", "exclude_original", "drop_below", "protect",
    "accept", "seed",
)  # fmt: skip


class NameOrClassChoice(click.Choice):
    """One of some names, or a class of the user's own as `module:Class`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Leave a class to the settings, which import it."""
        return value if names_class(str(value)) else super().convert(value, param, ctx)

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """The names, and that a class may be named."""
        return f"[{'|'.join([*self.choices, 'MODULE:CLASS'])}]"


def listed(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    """The names of an option that can be repeated or comma-separated."""
    return tuple(name.strip() for names in given for name in names.split(",") if name.strip())


def _hushed(ctx: click.Context, _: click.Parameter, value: bool) -> bool:
    """Silence our own warnings until the end of the command."""
    if value:
        logger = logging.getLogger("hf_toedit")
        ctx.call_on_close(partial(logger.setLevel, logger.level))
        logger.setLevel(logging.ERROR)
    return value


config_option = option(
    "--config",
    group=GENERAL,
    type=click.Path(dir_okay=False),
    is_eager=True,
    expose_value=False,
    callback=read_config,
    metavar="FILE",
    help="YAML file of options; the command line wins.",
)

source_argument = click.argument("source", shell_complete=completion.sources)
text_column_option = option(
    "--text-column",
    group=SOURCE,
    multiple=True,
    callback=listed,
    metavar="PATH",
    help="Column or path of texts (meta.body, turns[].body); repeat or comma-separate.  [default: text]",
)
messages_column_option = option(
    "--messages-column", group=SOURCE, metavar="PATH", help="Column of conversations, instead of texts."
)
roles_option = option(
    "--roles",
    group=SOURCE,
    multiple=True,
    callback=listed,
    metavar="NAME",
    help="Roles to read as texts.  [default: assistant]",
)
trust_remote_code_option = option(
    "--trust-remote-code",
    group=PRIOR,
    rare=True,
    is_flag=True,
    help="Allow code of the prior's repository, or of a plan, to run on this machine.",
)
device_option = option(
    "--device",
    group=MACHINE,
    default="auto",
    show_default=True,
    metavar="NAME",
    help="Device: auto, cpu, cuda, cuda:1, …",
)
split_option = option("--split", group=SOURCE, metavar="NAME", help="Split to read.  [default: all]")
limit_option = option("--limit", group=SOURCE, type=int, metavar="N", help="Maximum number of rows per split.")
_SCORE_RESULT = "Score the final output, so that the card reports its perplexity."
score_result_option = option("--score-result", group=OUTPUT, rare=True, is_flag=True, help=_SCORE_RESULT)
score_result_choice = option(
    "--score-result/--no-score-result",
    group=OUTPUT,
    rare=True,
    default=None,
    help=f"{_SCORE_RESULT}  [default: after more than 10 generations]",
)
json_option = option(
    "--json", "as_json", group=GENERAL, is_flag=True, callback=_hushed, help="Print the result as JSON."
)
quiet_option = option("--quiet", "-q", group=GENERAL, is_flag=True, callback=_hushed, help="Print errors only.")


def resource_options(command: Command) -> Command:
    """Resources of a machine for the prior."""
    return together(
        option("--token-budget", group=MACHINE, rare=True, type=click.IntRange(min=1), metavar="N",
               help="Target number of tokens per forward pass; results do not depend on it.  [default: by device]"),
        option("--memory-fraction", group=MACHINE, rare=True, type=float, default=0.9, show_default=True, metavar="F",
               help="Maximum share of GPU memory to use."),
        option("--tensor-parallel", group=MACHINE, rare=True, type=click.IntRange(min=1), default=1, show_default=True,
               metavar="N", help="Number of GPUs per copy of the prior (--backend vllm)."),
    )(command)  # fmt: skip


def resources(options: Mapping[str, Any]) -> Resources:
    """Resources of a machine for the prior, from the options of `resource_options`."""
    names = ("token_budget", "memory_fraction", "tensor_parallel")
    return Resources(**{name: options[name] for name in names if name in options})  # a command may have none of them


def source_options(command: Command) -> Command:
    """Dataset, and texts of a row."""
    return together(
        option("--config-name", group=SOURCE, metavar="NAME", help="Configuration of a dataset, or of a run (gen1)."),
        split_option,
        option("--revision", group=SOURCE, rare=True, metavar="REV", help="Branch, tag or commit of a Hub dataset."),
        text_column_option,
        option("--context-columns", group=SOURCE, rare=True, multiple=True, callback=listed, metavar="PATH",
               help="Columns that the model reads before each text; they are not edited. Repeat or comma-separate."),
        messages_column_option,
        roles_option,
        option("--columns", group=SOURCE, rare=True, multiple=True, callback=listed, metavar="NAME[:TYPE]",
               help="Columns of Parquet or JSON lines files to keep, in this order; a column of type string stores "
               "values of other types as JSON. Repeat or comma-separate.  [default: all]"),
        limit_option,
    )(command)  # fmt: skip


def prior_options(command: Command) -> Command:
    """Prior and its backend."""
    return together(
        option("--prior", group=PRIOR, default="embedded", show_default=True, metavar="NAME",
               shell_complete=completion.priors,
               help="Prior: `embedded`, a local folder, a Hub id, or MODULE:CLASS."),
        option("--prior-revision", group=PRIOR, rare=True, metavar="REV", help="Branch, tag or commit of a Hub prior."),
        trust_remote_code_option,
        option("--backend", group=PRIOR, rare=True, type=click.Choice(BACKENDS), default="transformers",
               show_default=True, help="Library that runs the prior; vllm requires hf-toedit[vllm]."),
        option("--dtype", group=PRIOR, rare=True, type=click.Choice(DTYPES), default="auto", show_default=True,
               help="Data type of the weights; auto is float32 on CPU and bfloat16 on GPU."),
        device_option,
    )(command)  # fmt: skip


def edit_options(command: Command) -> Command:
    """Method and prior."""
    return together(
        option("--preset", group=EDITING, type=click.Choice(list(PRESETS)), default="toedit", show_default=True,
               metavar="NAME", help=f"Named settings ({', '.join(PRESETS)}); options override them."),
        prior_options,
        option("--select", group=EDITING, rare=True, type=NameOrClassChoice(SELECT_MODES),
               help="Resample tokens above or below the threshold, or none.  [default: above]"),
        option("--threshold", group=EDITING, type=float, metavar="P",
               help="Minimum probability to resample.  [default: 0.99]"),
        option("--sampler", group=EDITING, rare=True, type=NameOrClassChoice(SAMPLERS),
               help="Sampling method.  [default: top-k]"),
        option("--top-k", group=EDITING, type=int, metavar="K", help="Number of candidates per token.  [default: 8]"),
        option("--top-p", group=EDITING, rare=True, type=float, metavar="P",
               help="Total probability of the candidates (--sampler top-p).  [default: 0.99]"),
        option("--temperature", group=EDITING, type=float, metavar="T",
               help="Sampling temperature.  [default: 1.5]"),
        option("--exclude-original", group=EDITING, rare=True, is_flag=True, default=None,
               help="Never sample the original token."),
        option("--drop-below", group=EDITING, rare=True, type=float, metavar="P",
               help="Delete tokens with a lower probability than P."),
        option("--protect", group=EDITING, multiple=True, metavar="NAME",
               shell_complete=completion.names(lambda: GUARDS),
               help=f"Text never to edit: {', '.join(GUARDS)}, or re:PATTERN. Repeatable."),
        option("--accept", group=EDITING, rare=True, metavar="likelihood[:TAU[:M]]",
               help="Read each edited text again, and undo an edit if the log-likelihood of the M tokens after it "
               "falls by more than TAU nats.  [default: keep all edits; TAU 0, M 16]"),
        option("--seed", group=EDITING, type=int, metavar="N", help="Random seed for sampling.  [default: 0]"),
        option("--prune", group=PRIOR, rare=True, is_flag=True,
               help="Skip full logits for tokens that cannot be selected (CPU): same edits, but probabilities and "
               "perplexities are measured on 1 token in 16."),
        resource_options,
    )(command)  # fmt: skip


def source_config(source: str, options: dict[str, Any]) -> SourceConfig:
    """The settings of the source, from the options of `source_options`."""
    roles = {"roles": options["roles"]} if options["roles"] else {}
    return SourceConfig(
        source,
        **{name: options[name] for name in ("config_name", "split", "revision", "limit", "messages_column")},
        text_columns=options["text_column"],
        context_columns=options["context_columns"],
        columns=options["columns"],
        **roles,
    )


def prior_config(options: Mapping[str, Any]) -> PriorConfig:
    """The settings of the prior, from the options of `prior_options` and, of an edit, `--prune`."""
    return PriorConfig(
        options["prior"],
        options["prior_revision"],
        options["dtype"],
        options["device"],
        options["trust_remote_code"],
        options["backend"],
        options.get("prune", False),
    )


def edit_settings(options: Mapping[str, Any]) -> tuple[PriorConfig, EditConfig]:
    """The settings of the prior, and of the method: a preset, and the options that override it.

    Raises:
        UsageError: A value is out of range, or two settings exclude each other.
    """
    prior = prior_config(options)
    from hf_toedit.priors.fit import check_draw

    given = {name: options[name] for name in _EDIT_OPTIONS if options[name] not in (None, ())}
    edit = EditConfig.from_preset(options["preset"], **given)
    check_draw(prior, edit)
    return prior, edit


def together(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options as one decorator, in this order."""

    def decorate(command: Command) -> Command:
        for add in reversed(options):
            command = add(command)
        return command

    return decorate
