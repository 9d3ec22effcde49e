"""YAML files of options (`--config`): values that are checked by the types of the options."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import click
from msgspec import Meta

from hf_toedit.checked import Names, kinds
from hf_toedit.cli.names import is_blank, refuses_blanks
from hf_toedit.config import EditConfig, PriorConfig, Resources, RunConfig, SourceConfig
from hf_toedit.errors import UsageError, did_you_mean

_FIELDS = {
    name: kind
    for config in (EditConfig, PriorConfig, Resources, SourceConfig, RunConfig)
    for name, kind in kinds(config).items()
}
"""The types of all settings: options that fill one have its name."""

_TEXTS_OR_NUMBERS = ("workers", "shard_size", "array", "time", "mem", "timeout")
"""Options of text for which a whole number will do, written without quotes."""


def read_config(ctx: click.Context, _: click.Parameter, path: str | None) -> None:
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
            raise UsageError(f"unknown setting {setting.key!r} in {setting.place}.{did_you_mean(setting.key, known)}")
        if setting.value is None:
            continue
        if refuses_blanks(option) and is_blank(setting.value):
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
