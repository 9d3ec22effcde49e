"""Load classes by name: from a registry, or user-defined as `module:Class`; imported, checked and pinned."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from inspect import isclass, isfunction
from types import ModuleType
from typing import Any, TypeVar

from hf_toedit.config import content_hash
from hf_toedit.errors import ToEditError, UsageError, did_you_mean, reason
from hf_toedit.fingerprint import file_fingerprint

T = TypeVar("T")


def made(name: str, known: Mapping[str, type[T]], base: type[T], what: str, *args: Any) -> T:
    """Create an object of a named class.

    Args:
        name: Name in the registry, or `module:Class`.
        known: The registry.
        base: Base class that a user-defined class must derive from.
        what: What the class is, for messages, such as `sampler`.
        *args: Arguments of the class.

    Raises:
        UsageError: The class does not exist, does not derive from `base`, or cannot be created.
    """
    cls = known.get(name) or own_class(name, what)
    if not issubclass(cls, base):
        raise UsageError(f"{what} {name!r} must be derived from {base.__module__}.{base.__name__}.")
    try:
        return cls(*args)
    except ToEditError:
        raise
    except Exception as error:
        raise UsageError(f"{what} {name!r} cannot be made ({reason(error)}). Fix its class.") from error


def own_class(name: str, what: str) -> type[Any]:
    """Import a user-defined class. Call this only for a name that the local user gave or chose to trust.

    Args:
        name: `module:Class`.
        what: What the class is, for messages.

    Raises:
        UsageError: The module or class does not exist.
    """
    found: type[Any] = _own(name, what, "class", isclass)
    return found


def own_function(name: str, what: str) -> Callable[..., Any]:
    """Import a user-defined function, `module:function`; see `own_class`."""
    found: Callable[..., Any] = _own(name, what, "function", isfunction)
    return found


def is_function(name: str, what: str) -> bool:
    """Whether a user-defined name, `module:name`, refers to a function; its module is imported.

    Raises:
        UsageError: The module does not exist.
    """
    module, _, own = name.partition(":")
    return isfunction(getattr(_module(module, name, what), own, None))


def _own(name: str, what: str, kind: str, is_kind: Callable[[Any], bool]) -> Any:
    module_name, _, own = name.partition(":")
    module = _module(module_name, name, what)
    found = getattr(module, own, None)
    if not is_kind(found):
        known = [key for key, value in vars(module).items() if is_kind(value) and value.__module__ == module_name]
        raise UsageError(f"{what} {name!r}: module {module_name!r} has no {kind} {own!r}.{did_you_mean(own, known)}")
    return found


def _module(module_name: str, name: str, what: str) -> ModuleType:
    try:
        return import_module(module_name)
    except Exception as error:  # the module's code may raise anything
        raise UsageError(
            f"{what} {name!r}: module {module_name!r} cannot be imported ({reason(error)}). Install it, or set "
            f"PYTHONPATH to its folder."
        ) from error


def revision_of(cls: type[Any] | Callable[..., Any]) -> str:
    """Return what pins a user-defined class or function: its `revision`, else a fingerprint of its source file.

    Raises:
        UsageError: There is nothing that could pin it.
    """
    if isinstance(revision := getattr(cls, "revision", None), str):
        return revision
    file = getattr(sys.modules[cls.__module__], "__file__", None)
    if file is None:
        raise UsageError(f"{cls.__name__!r} is not in a file that could pin it. Put it into a module.")
    return content_hash(file_fingerprint(file))[:40]
