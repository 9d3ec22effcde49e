"""Objects with a one-line `repr` and an HTML view for notebooks.

`editing/` and `stats.py` may not import `picture/`, which renders their results. A class here only declares that it can
be shown; `notebook.py`, which may import both, registers the function that writes its HTML.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

_WRITERS: dict[str, Callable[[Any], str]] = {}

Writer = TypeVar("Writer", bound=Callable[[Any], str])


def shows(name: str) -> Callable[[Writer], Writer]:
    """Register a function that writes the HTML of a class.

    Args:
        name: Name of the class; registration runs when the package is imported, and must not import the class.
    """

    def register(writer: Writer) -> Writer:
        _WRITERS[name] = writer
        return writer

    return register


class Shown:
    """An object that notebooks show as HTML if a writer is registered for its class, and otherwise by its `repr`."""

    def _repr_html_(self) -> str | None:
        writers = (_WRITERS[cls.__name__] for cls in type(self).__mro__ if cls.__name__ in _WRITERS)
        writer = next(writers, None)
        return None if writer is None else writer(self)


def called(cls: type, name: str, settings: Mapping[str, Any]) -> str:
    """Format the call that would create an object, on one line, for its `repr`.

    Args:
        cls: The class.
        name: The first argument.
        settings: The other arguments.
    """
    return f"{cls.__name__}({', '.join([repr(name), *(f'{key}={value!r}' for key, value in settings.items())])})"
