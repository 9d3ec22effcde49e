"""Settings as keyword arguments, for type checkers and editors, with the same names as on the command line.

The configurations in `config.py`, whose fields these fill, document the values; tests compare the two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from inspect import Parameter, signature
from os import PathLike
from typing import Any, TypedDict

from hf_toedit.checked import kinds
from hf_toedit.config import Backend, Dtype, EditConfig
from hf_toedit.errors import UsageError, did_you_mean


class PriorSettings(TypedDict, total=False):
    """Which prior is used, and how it is run: the fields of `PriorConfig`."""

    prior: str | PathLike[str]
    prior_revision: str | None
    dtype: Dtype
    device: str
    trust_remote_code: bool
    backend: Backend
    prune: bool


class ResourceSettings(TypedDict, total=False):
    """Machine resources that the prior may use: the fields of `Resources`."""

    token_budget: int | None
    memory_fraction: float
    tensor_parallel: int


class SourceSettings(TypedDict, total=False):
    """Which rows and texts of a source are used: fields of `SourceConfig`, except those that identify the source."""

    revision: str | None
    limit: int | None
    columns: str | Sequence[str]
    text_column: str | Sequence[str]
    context_columns: str | Sequence[str]
    messages_column: str | None
    roles: str | Sequence[str]


def check_known(edit: Iterable[str], function: Callable[..., Any]) -> None:
    """Refuse a setting that is neither a keyword of a function nor a field of `EditConfig`, which receives the rest.

    Args:
        edit: Names of the settings that are passed on.
        function: The function; its keywords are known as well when the nearest name is suggested.

    Raises:
        UsageError: A name is unknown.
    """
    keywords = [
        name for name, parameter in signature(function).parameters.items() if parameter.kind is Parameter.KEYWORD_ONLY
    ]
    known = [*keywords, *kinds(EditConfig)]
    for name in edit:
        if name not in known:
            raise UsageError(f"unknown setting {name!r}.{did_you_mean(name, known)}")
