"""Names that people type: never empty by mistake, and always valid UTF-8."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import click

from hf_toedit.checked import check_encodable
from hf_toedit.errors import UsageError


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


def refuses_blanks(param: click.Parameter) -> bool:
    """Whether a parameter is a name that must not be empty."""
    return isinstance(param.type, type(click.STRING) | click.Path) and param.default != ""


def is_blank(given: Any) -> bool:
    """Whether a name, or one of several, is empty."""
    return any(isinstance(word, str) and not word.strip(" \t\n,") for word in _words(given))


def _words(given: Any) -> Sequence[Any]:
    return given if isinstance(given, tuple | list) else (given,)


def _checked_name(callback: Callable[..., Any] | None) -> Callable[..., Any]:
    @wraps(callback or _checked_name)
    def check(ctx: click.Context, param: click.Parameter, given: Any) -> Any:
        name = max(param.opts, key=len) if isinstance(param, click.Option) else param.human_readable_name
        if refuses_blanks(param) and is_blank(given):
            raise UsageError(f"{name} is empty. Name {'it' if param.required else 'one, or leave it out'}.")
        for word in _words(given):
            if isinstance(word, str | os.PathLike):
                check_encodable(os.fspath(word), name)
        return callback(ctx, param, given) if callback else given

    return check
