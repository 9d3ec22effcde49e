"""Objects that show themselves: in one line, and in notebooks, in HTML that a room above them writes.

`editing/` and `stats.py` may not know of `picture/`, which draws with their results. So a class here says only that it
can be shown; `notebook.py`, above both, registers what writes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

_WRITERS: dict[str, Callable[[Any], str]] = {}

Writer = TypeVar("Writer", bound=Callable[[Any], str])


def shows(name: str) -> Callable[[Writer], Writer]:
    """Register a function as what writes the HTML of a class.

    Args:
        name: The class, by name: registering is done when the package is imported, and must not import the class.
    """

    def register(writer: Writer) -> Writer:
        _WRITERS[name] = writer
        return writer

    return register


class Shown:
    """An object that notebooks show as HTML, where a writer is registered for its class; otherwise by its `repr`."""

    def _repr_html_(self) -> str | None:
        writers = (_WRITERS[cls.__name__] for cls in type(self).__mro__ if cls.__name__ in _WRITERS)
        writer = next(writers, None)
        return None if writer is None else writer(self)


def called(cls: type, name: str, settings: Mapping[str, Any]) -> str:
    """How an object would be made, on one line, for its `repr`.

    Args:
        cls: Its class.
        name: Its first argument.
        settings: Its other arguments.
    """
    return f"{cls.__name__}({', '.join([repr(name), *(f'{key}={value!r}' for key, value in settings.items())])})"
