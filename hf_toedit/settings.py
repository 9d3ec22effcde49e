"""Settings as keyword arguments, for type checkers and editors: the same names everywhere, on the command line as well.

What the values mean is said of the configurations in `config.py`, whose fields they fill; tests compare the two.
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
    """Which prior, and how it is run: the fields of `PriorConfig`."""

    prior: str | PathLike[str]
    prior_revision: str | None
    dtype: Dtype
    device: str
    trust_remote_code: bool
    backend: Backend
    prune: bool


class ResourceSettings(TypedDict, total=False):
    """What the prior may use of a machine: the fields of `Resources`."""

    token_budget: int | None
    memory_fraction: float
    tensor_parallel: int


class SourceSettings(TypedDict, total=False):
    """Which rows and texts of a source: the fields of `SourceConfig` but those that say which source."""

    revision: str | None
    limit: int | None
    columns: str | Sequence[str]
    text_column: str | Sequence[str]
    context_columns: str | Sequence[str]
    messages_column: str | None
    roles: str | Sequence[str]


def check_known(edit: Iterable[str], function: Callable[..., Any]) -> None:
    """Refuse a setting that is neither a keyword of a function nor one of `EditConfig`, to which it hands the rest on.

    Args:
        edit: Names of the settings that are handed on.
        function: Its keywords are known as well, for the nearest name.

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
