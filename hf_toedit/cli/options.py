"""The options that commands share, from the command line or a YAML file, and the settings they make."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial, wraps
from typing import Annotated, Any, Literal

import click
from msgspec import Meta

from hf_toedit.checked import Names, check_encodable, kinds, names_class
from hf_toedit.config import (
    BACKENDS,
    DTYPES,
    PRESETS,
    SAMPLERS,
    SELECT_MODES,
    EditConfig,
    PriorConfig,
    Resources,
    RunConfig,
    SourceConfig,
)
from hf_toedit.errors import UsageError, did_you_mean
from hf_toedit.protect import GUARDS

Command = Callable[..., Any]

COMMAND_LINE = "hf_toedit.command_line"
"""Where a context keeps what was typed, in its `meta`."""

SOURCE_LICENSE = "hf_toedit.source_license"
"""Where it keeps the licence of a source that is known without its card."""

_VERBOSITY = {
    "datasets": "DATASETS_VERBOSITY",
    "huggingface_hub": "HF_HUB_VERBOSITY",
    "transformers": "TRANSFORMERS_VERBOSITY",
}
"""Libraries, and the variables of the environment that say how much they log."""

_EDIT_OPTIONS = (
    "select", "threshold", "sampler", "top_k", "top_p", "temperature", "exclude_original", "drop_below", "protect",
    "accept", "seed",
)  # fmt: skip


_FIELDS = {
    name: kind
    for config in (EditConfig, PriorConfig, Resources, SourceConfig, RunConfig)
    for name, kind in kinds(config).items()
}
"""The types of all settings: options that fill one have its name."""

_TEXTS_OR_NUMBERS = ("workers", "shard_size", "array", "time", "mem", "timeout")
"""Options of text for which a whole number will do, written without quotes."""


def _read_config(ctx: click.Context, _: click.Parameter, path: str | None) -> None:
    """Make the values of a YAML file the defaults of the options, so that the command line wins."""
    if path is None:
        return
    from hf_toedit.yaml_file import load_yaml

    known = {_setting(option): option for option in ctx.command.params if option.name != "config"}
    defaults = {}
    group = ctx.find_root().command
    others = group.commands.values() if isinstance(group, click.Group) else ()
    elsewhere = {_setting(option) for command in others for option in command.params if option.name != "config"}
    for name, setting in load_yaml(path).items():
        option = known.get(name)
        if option is None and name in elsewhere:
            continue
        if option is None:
            raise UsageError(f"unknown setting {setting.key!r} in {path}.{did_you_mean(setting.key, known)}")
        if setting.value is None:
            continue
        if _refuses_blanks(option) and _is_blank(setting.value):
            raise UsageError(f"{setting.place}: {setting.key} is empty. Name one, or leave it out.")
        defaults[str(option.name)] = setting.checked(option_kind(option))
    ctx.default_map = {**(ctx.default_map or {}), **defaults}


def option_kind(option: click.Parameter) -> Any:
    """The type of an option's values: that of the setting that it fills, or what `click` makes of its text."""
    if option.name in _FIELDS:
        return _FIELDS[option.name]
    if option.name in _TEXTS_OR_NUMBERS:
        return str | int
    if getattr(option, "multiple", False):
        return tuple[float, ...] if option.type is click.FLOAT else Names
    if getattr(option, "is_flag", False):
        return bool
    if isinstance(option.type, click.Choice):
        return Literal[tuple(option.type.choices)]
    if isinstance(option.type, click.IntRange | click.FloatRange):
        number = int if isinstance(option.type, click.IntRange) else float
        return Annotated[number, Meta(ge=option.type.min, le=option.type.max)]
    return {click.INT: int, click.FLOAT: float}.get(option.type, str)


def _setting(option: click.Parameter) -> str:
    """The name of an option in a YAML file: its longest, without the leading dashes."""
    return max(option.opts, key=len).lstrip("-").replace("-", "_")


class NameOrClassChoice(click.Choice):
    """One of some names, or a class of the user's own as `module:Class`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """A class is looked for only when the settings are made."""
        return value if names_class(str(value)) else super().convert(value, param, ctx)

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """The names, and that a class may be named."""
        return f"[{'|'.join([*self.choices, 'MODULE:CLASS'])}]"


def _listed(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    """The names of an option that may be repeated, and may part them by commas."""
    return tuple(name.strip() for names in given for name in names.split(",") if name.strip())


def _hushed(ctx: click.Context, _: click.Parameter, value: bool) -> bool:
    """Keep our own warnings back from the first moment, as a run folder may be waited for, to the end of a command."""
    if value:
        logger = logging.getLogger("hf_toedit")
        ctx.call_on_close(partial(logger.setLevel, logger.level))
        logger.setLevel(logging.ERROR)
    return value


config_option = click.option(
    "--config",
    type=click.Path(dir_okay=False),
    is_eager=True,
    expose_value=False,
    callback=_read_config,
    help="YAML file of options (names as here, without dashes; those of other commands are passed over); "
    "the command line wins over it.",
)

text_column_option = click.option(
    "--text-column",
    multiple=True,
    callback=_listed,
    metavar="PATH",
    help="The texts: a column, or texts in it (meta.body, turns[].body). May be repeated, or part several by "
    "commas, as may the next ones.  [default: text]",
)
messages_column_option = click.option(
    "--messages-column", metavar="PATH", help="Conversations, instead of a text column."
)
roles_option = click.option(
    "--roles",
    multiple=True,
    callback=_listed,
    metavar="NAME",
    help="Whose messages are the texts; the others are context.  [default: assistant]",
)
trust_remote_code_option = click.option(
    "--trust-remote-code",
    is_flag=True,
    help="Let code run here that the prior's repository brings, or that a plan names.",
)
device_option = click.option(
    "--device", default="auto", show_default=True, metavar="NAME", help="auto, cpu, cuda, cuda:1, …"
)
_SCORE_RESULT = "Read the last generation once more, so that the card has its probabilities and perplexity as well."
score_result_option = click.option("--score-result", is_flag=True, help=_SCORE_RESULT)
score_result_choice = click.option(
    "--score-result/--no-score-result", default=None, help=f"{_SCORE_RESULT}  [default: after more than 10 generations]"
)
json_option = click.option("--json", "as_json", is_flag=True, callback=_hushed, help="Print the result as JSON.")
quiet_option = click.option("--quiet", "-q", is_flag=True, callback=_hushed, help="Print errors only.")


def resource_options(command: Command) -> Command:
    """What a prior may use of a machine."""
    return together(
        click.option("--token-budget", type=click.IntRange(min=1), metavar="N",
                     help="Tokens that a forward pass aims at; results do not depend on it.  [default: by device]"),
        click.option("--memory-fraction", type=float, default=0.9, show_default=True, metavar="F",
                     help="Share of a GPU's memory that may be used."),
        click.option("--tensor-parallel", type=click.IntRange(min=1), default=1, show_default=True, metavar="N",
                     help="GPUs that share one copy of the prior; with --backend vllm."),
    )(command)  # fmt: skip


def resources(options: Mapping[str, Any]) -> Resources:
    """What a prior may use of a machine, from the options of `resource_options`."""
    names = ("token_budget", "memory_fraction", "tensor_parallel")
    return Resources(**{name: options[name] for name in names if name in options})  # a command may have none of them


def source_options(command: Command) -> Command:
    """What is edited."""
    return together(
        click.option("--config-name", metavar="NAME", help="Configuration (subset) of a Hub dataset."),
        click.option("--split", metavar="NAME", help="One split.  [default: every split]"),
        click.option("--revision", metavar="REV", help="Branch, tag or commit of a Hub dataset."),
        text_column_option,
        click.option("--context-columns", multiple=True, callback=_listed, metavar="PATH",
                     help="Read by the model before each text, and not edited."),
        messages_column_option,
        roles_option,
        click.option("--columns", multiple=True, callback=_listed, metavar="NAME[:TYPE]",
                     help="Columns to keep of Parquet files or JSON lines, in this order; a string column holds JSON "
                     "values of other types as JSON.  [default: every column]"),
        click.option("--limit", type=int, metavar="N", help="At most this many rows of each split, from the first."),
    )(command)  # fmt: skip


def prior_options(command: Command) -> Command:
    """Which prior, and how it is run."""
    return together(
        click.option("--prior", default="embedded", show_default=True, metavar="NAME",
                     help="`embedded`, a local folder, a Hub id, or MODULE:CLASS."),
        click.option("--prior-revision", metavar="REV", help="Branch, tag or commit of a Hub prior."),
        trust_remote_code_option,
        click.option("--backend", type=click.Choice(BACKENDS), default="transformers", show_default=True,
                     help="What runs the prior; vllm is an extra of hf-toedit."),
        click.option("--dtype", type=click.Choice(DTYPES), default="auto", show_default=True,
                     help="Of the model's weights; auto is float32 on CPU, bfloat16 on GPU."),
        device_option,
    )(command)  # fmt: skip


def edit_options(command: Command) -> Command:
    """How it is edited, and by which prior."""
    return together(
        click.option("--preset", type=click.Choice(list(PRESETS)), default="toedit", show_default=True,
                     help="Settings by name; options given beside it win."),
        prior_options,
        click.option("--select", type=NameOrClassChoice(SELECT_MODES),
                     help="Which side of the threshold is drawn again.  [default: above]"),
        click.option("--threshold", type=float, metavar="P", help="Probability.  [default: 0.99]"),
        click.option("--sampler", type=NameOrClassChoice(SAMPLERS),
                     help="How new tokens are drawn.  [default: top-k]"),
        click.option("--top-k", type=int, metavar="K", help="Candidates a token.  [default: 8]"),
        click.option("--top-p", type=float, metavar="P", help="Mass of the nucleus.  [default: 0.99]"),
        click.option("--temperature", type=float, metavar="T",
                     help="Of the draw; 1 is the formula as printed in the paper.  [default: 1.5]"),
        click.option("--exclude-original", is_flag=True, default=None, help="Never draw the token that was there."),
        click.option("--drop-below", type=float, metavar="P", help="Delete tokens with a probability below."),
        click.option("--protect", multiple=True, metavar="NAME",
                     help=f"Never edit these: {', '.join(GUARDS)}, or re:PATTERN. May be repeated."),
        click.option("--accept", metavar="likelihood[:TAU[:M]]",
                     help="Read each edited text once more, and put an edit back if the log-likelihood of the M tokens "
                     "after it falls by more than TAU nats.  [default: keep all; TAU 0, M 16]"),
        click.option("--seed", type=int, metavar="N", help="Of the draws.  [default: 0]"),
        click.option("--prune", is_flag=True,
                     help="Same edits, faster with a small prior of a large vocabulary on a CPU; the card's "
                     "probabilities and perplexities, and the log's nll, are those of 1 token in 16."),
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
    """The settings of the prior, and of the method: a preset, and whatever was said beside it.

    Raises:
        UsageError: a value is out of range, or the two do not go together.
    """
    prior = prior_config(options)
    from hf_toedit.priors.fit import check_draw

    said = {name: options[name] for name in _EDIT_OPTIONS if options[name] not in (None, ())}
    edit = EditConfig.from_preset(options["preset"], **said)
    check_draw(prior, edit)
    return prior, edit


def check_names(command: click.Command) -> None:
    """Have a command, and all below it, refuse a name that is empty or not valid UTF-8.

    An empty one is nearly always a shell variable that is not set. Names are written into plans and cards, which are
    UTF-8; those of files on Linux may be any bytes.
    """
    for below in command.commands.values() if isinstance(command, click.Group) else ():
        check_names(below)
    for param in command.params:
        if isinstance(param.type, type(click.STRING) | click.Path):
            param.callback = _checked_name(param.callback)


def _refuses_blanks(param: click.Parameter) -> bool:
    return isinstance(param.type, type(click.STRING) | click.Path) and param.default != ""


def _is_blank(given: Any) -> bool:
    """Whether a name, or one of several, is empty."""
    return any(isinstance(word, str) and not word.strip(" \t\n,") for word in _words(given))


def _words(given: Any) -> Sequence[Any]:
    return given if isinstance(given, tuple | list) else (given,)


def _checked_name(callback: Callable[..., Any] | None) -> Callable[..., Any]:
    @wraps(callback or _checked_name)
    def check(ctx: click.Context, param: click.Parameter, given: Any) -> Any:
        name = max(param.opts, key=len) if isinstance(param, click.Option) else param.human_readable_name
        if _refuses_blanks(param) and _is_blank(given):
            raise UsageError(f"{name} is empty. Name {'it' if param.required else 'one, or leave it out'}.")
        for word in _words(given):
            if isinstance(word, str | os.PathLike):
                check_encodable(os.fspath(word), name)
        return callback(ctx, param, given) if callback else given

    return check


def together(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options as one decorator, in this order."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate
