"""Help in groups: commands by purpose, options under headings, and rare options behind `--help-all`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import click

from hf_toedit.errors import nearest, within
from hf_toedit.program import as_called

SOURCE = "Source"
EDITING = "How to edit"
PRIOR = "Prior"
MACHINE = "Machine"
OUTPUT = "Output"
HUB = "Hub"
GENERAL = "General"
"""Headings of options that several commands share."""

EDIT = "Edit"
SELECT = "Score and select"
JUDGE = "Judge"
SCALE = "Run at scale"
"""Purposes of commands; those for the Hub have `HUB`."""

SHOWS_ALL = "hf_toedit.help_all"
"""Key of `click.Context.meta`: set if rare options are shown."""

_NOT_IN_RANGE = re.compile(r" is not in the range .*$")
"""The end of a message of click, with a range such as x>=1."""

_HYPHEN = "\u2011"
_MAX_NAME = 24
"""Width of the column of names; longer names have a line of their own."""


class Option(click.Option):
    """An option under a heading; a rare one is shown by `--help-all` only."""

    def __init__(self, *args: Any, group: str = GENERAL, rare: bool = False, **attrs: Any) -> None:
        """Take what `click.Option` takes, too."""
        super().__init__(*args, **attrs)
        self.group, self.rare = group, rare

    def process_value(self, ctx: click.Context, value: Any) -> Any:
        """Suggest the nearest of the names that an option can have, and write ranges of numbers in words."""
        try:
            return super().process_value(ctx, value)
        except click.BadParameter as error:
            message = error.message
            if isinstance(self.type, click.Choice):
                message += nearest(str(value), self.type.choices)
            elif isinstance(self.type, click.IntRange | click.FloatRange):
                allowed = within(self.type.min, self.type.max)
                message = _NOT_IN_RANGE.sub(f" is out of range: it must be {allowed}.", message)
            if message == error.message:
                raise
            raise click.BadParameter(message, error.ctx, error.param, error.param_hint) from error

    def get_help_extra(self, ctx: click.Context) -> Any:
        """The default of an option, and whether it is required; not the range, which click before 8.2 shows."""
        return {name: value for name, value in super().get_help_extra(ctx).items() if name != "range"}


def option(*names: str, group: str, rare: bool = False, **attrs: Any) -> Callable[[Any], Any]:
    """As `click.option`, with the heading of the option, and whether it is rare."""
    return click.option(*names, cls=Option, group=group, rare=rare, **attrs)


def is_rare(param: click.Parameter) -> bool:
    """Whether a parameter is shown by `--help-all` only."""
    return getattr(param, "rare", False)


def _show_all(ctx: click.Context, _: click.Parameter, is_wanted: bool) -> None:
    if is_wanted and not ctx.resilient_parsing:
        ctx.meta[SHOWS_ALL] = True
        click.echo(ctx.get_help(), color=ctx.color)
        ctx.exit()


def _help_all(num_rare: int) -> Option:
    return Option(
        ["--help-all"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_show_all,
        hidden=num_rare == 0,
        help=f"Show this message and {num_rare} rare options.",
    )


class _Formatter(click.HelpFormatter):
    """A formatter that does not break lines at hyphens: `hf-toedit` and `--push-to` stay whole."""

    def write_text(self, text: str) -> None:
        super().write_text(text.replace("-", _HYPHEN))

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        super().write_dl([(name, text.replace("-", _HYPHEN)) for name, text in rows], col_max, col_spacing)

    def getvalue(self) -> str:
        return as_called(super().getvalue().replace(_HYPHEN, "-"))


class _Context(click.Context):
    formatter_class = _Formatter


class Command(click.Command):
    """A command with a purpose, whose options are under headings."""

    context_class = _Context

    def __init__(self, *args: Any, purpose: str = "Commands", **attrs: Any) -> None:
        """Take the heading of the command in the help of its group, and what `click.Command` takes."""
        super().__init__(*args, **attrs)
        self.purpose = purpose

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """All parameters, with `--help-all`."""
        params = super().get_params(ctx)
        return [*params, _help_all(sum(map(is_rare, params)))]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options under their headings, in the order of the headings' first options; `GENERAL` is last."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if record is not None and (SHOWS_ALL in ctx.meta or not is_rare(param)):
                groups.setdefault(getattr(param, "group", GENERAL), []).append(record)
        groups[GENERAL] = groups.pop(GENERAL, [])
        _write(formatter, groups)


class Group(Command, click.Group):
    """A group that lists its commands by purpose, in the order in which they were added."""

    command_class = Command

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the commands, in that order."""
        return list(self.commands)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands by purpose, then the options."""
        shown = {name: command for name, command in self.commands.items() if not command.hidden}
        limit = formatter.width - 6 - max(map(len, shown), default=0)
        purposes: dict[str, list[tuple[str, str]]] = {}
        for name, command in shown.items():
            line = (name, command.get_short_help_str(limit))
            purposes.setdefault(getattr(command, "purpose", "Commands"), []).append(line)
        _write(formatter, purposes)
        super().format_options(ctx, formatter)


def command(**attrs: Any) -> Callable[[Callable[..., Any]], Command]:
    """As `click.command`, with the `purpose` of the command."""
    return click.command(cls=Command, **attrs)


def _write(formatter: click.HelpFormatter, groups: dict[str, list[tuple[str, str]]]) -> None:
    """Write definition lists under their headings, with one column width for all."""
    names = [name for records in groups.values() for name, _ in records]
    width = max((len(name) for name in names if len(name) <= _MAX_NAME), default=0)
    for heading, records in groups.items():
        with formatter.section(heading):
            formatter.write_dl([(name.ljust(width), text) for name, text in records], col_max=width)
