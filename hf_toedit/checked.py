"""Strict type checks of values with msgspec: one check for Python, the command line, YAML and JSON.

`1.5` is not a whole number, `true` is not a number, and neither is `"8"`. Whole numbers are accepted where a number is
expected, and so are NumPy numbers. Every error message is one line with the value and what was expected.
"""

from __future__ import annotations

import math
import os
import re
import reprlib
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, dataclass, fields, is_dataclass
from numbers import Integral, Real
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from hf_toedit.errors import ToEditError, UsageError, did_you_mean, within

Names = tuple[str, ...]
"""Several names, in order; a single name may be given as a string, and None means no names."""


@dataclass(frozen=True)
class NameOrClass:
    """Marker in `Annotated` for a string: one of these names, or a user-defined class (see `names_class`)."""

    names: tuple[str, ...]


T = TypeVar("T")

_WHERE = re.compile(r" - at `\$((?:\.\w+|\[\d+\]|\[\.\.\.\])*)`$")
_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "a string",
    "array": "a list",
    "object": "an object",
}
"""How messages call msgspec's types; null is left out."""

_KINDS: dict[type, dict[str, Any]] = {}

_SHOWN = 80
_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = _SHOWN
_REPR.maxlevel = 2


def checked(
    value: Any, kind: Any, name: str, written: str | None = None, show: Callable[[Any], str] | None = None
) -> Any:
    """Return a value converted to its type: lists become tuples, and whole numbers become floats where expected.

    Args:
        value: The value.
        kind: The expected type, with `msgspec.Meta` for bounds and `Literal` for choices.
        name: Name of the value in messages.
        written: How the value is written in its file, for messages.
        show: Formats the value, or a part of it, if `written` is not known.

    Raises:
        UsageError: The value is not of that type.
    """
    value = _plain(value)
    if kind == Names and (value is None or isinstance(value, str)):
        value = () if value is None else (value,)
    try:
        if isinstance(value, set | frozenset):
            raise msgspec.ValidationError("Expected `array`, got `set`")  # it has no order: msgspec would pick one
        result = msgspec.convert(value, kind, str_keys=True)
        if isinstance(result, float) and not math.isfinite(result):
            raise msgspec.ValidationError("Expected `float` other than NaN and infinity, got `float`")
        if isinstance(result, str) and not _is_known(result, kind):
            raise msgspec.ValidationError("Unknown name")
    except msgspec.ValidationError as error:
        raise UsageError(_problem(str(error), value, kind, name, written, show or shown)) from error
    for text in (result,) if isinstance(result, str) else result if kind == Names else ():
        check_encodable(text, name)
    return result


def check_encodable(text: str, name: str, error: type[ToEditError] = UsageError) -> None:
    """Refuse text that UTF-8 cannot encode, since all output is UTF-8.

    Python produces such text from file names and command-line words that are not valid in the system's encoding.

    Args:
        text: The text, such as a file name.
        name: Name of the text in the message.
        error: Error class to raise.

    Raises:
        ToEditError: The text contains a lone surrogate.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        encoding = sys.getfilesystemencoding()
        if encoding == "utf-8":
            raise error(f"{name} {text!r} is not valid UTF-8. Rename it.") from None
        raise error(f"{name} {text!r} is not valid {encoding}, the encoding of this system. "
                    "Set PYTHONUTF8=1 if it is UTF-8.") from None  # fmt: skip


def from_json(value: Any, kind: type[T], path: str = "", *, complete: bool = False) -> T:
    """Build a dataclass object from JSON, including fields that are themselves dataclasses.

    Args:
        value: The parsed JSON value.
        kind: The dataclass.
        path: Path of the value, for messages.
        complete: Require every field; otherwise only those without a default.

    Raises:
        UsageError: A value has the wrong type, or a name is missing or unknown. The message contains the path.
    """
    if not isinstance(value, dict):
        raise UsageError(f"{path or 'it'} must be an object, not {in_json(value)}.")
    _check_names(value, kind, path, complete)
    found: dict[str, Any] = {}
    for name, wanted in kinds(kind).items():
        inner = f"{path}.{name}" if path else name
        if name not in value:
            continue
        if reader := getattr(wanted, "from_json_value", None):
            found[name] = reader(value[name], inner)
            continue
        if isinstance(wanted, type) and is_dataclass(wanted):
            found[name] = from_json(value[name], wanted, inner, complete=complete)
            continue
        if wanted == Names and not isinstance(value[name], list):  # in a file, only a list is valid
            raise UsageError(f"{inner} must be a list of strings, not {in_json(value[name])}.")
        if _is_dict_of_objects(wanted, value[name]):
            one = get_args(wanted)[1]
            found[name] = {
                key: from_json(entry, one, f"{inner}.{key}", complete=complete) for key, entry in value[name].items()
            }
            continue
        for index, entry in enumerate(value[name] if _is_list_of_objects(wanted, value[name]) else ()):
            _check_names(entry, get_args(wanted)[0], f"{inner}[{index}]", complete)
        found[name] = checked(value[name], wanted, inner, show=in_json)
    try:
        return kind(**found)
    except UsageError as error:
        raise UsageError(f"{path}: {error}" if path else str(error)) from error


def names_class(name: str) -> bool:
    """Whether a name refers to a class in a module: `module:Class`, as in `my_package.my_module:MySampler`."""
    module, colon, cls = name.partition(":")
    return bool(colon) and all(part.isidentifier() for part in (*module.split("."), cls))


def kinds(cls: type) -> dict[str, Any]:
    """Return the type of each field of a dataclass, with its bounds."""
    if cls not in _KINDS:
        hints = get_type_hints(cls, include_extras=True)
        _KINDS[cls] = {field.name: hints[field.name] for field in fields(cls)}
    return _KINDS[cls]


def shown(value: Any) -> str:
    """Format a value for a message: on one line, shortened if it is long."""
    with suppress(ValueError):  # raised for a number with thousands of digits
        return cut(str(value) if hasattr(value, "isoformat") else _REPR.repr(value))
    return f"a very long {type(value).__name__}"


def in_json(value: Any) -> str:
    """Format a JSON value for a message, like `shown`, with JSON's names for null, true and false."""
    return msgspec.json.encode(value).decode() if value is None or isinstance(value, bool) else shown(value)


def cut(text: str) -> str:
    """Format a text for a message: on one line, shortened if it is long."""
    line = " ".join(text.split())
    return line if len(line) <= 2 * _SHOWN else f"{line[: 2 * _SHOWN - 1]}…"


def _plain(value: Any) -> Any:
    """Convert NumPy numbers and paths to plain Python values."""
    if isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, Real) and not isinstance(value, bool):
        return float(value)
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _check_names(value: Any, kind: type, path: str, complete: bool) -> None:
    """Refuse unknown field names, which msgspec ignores, and missing ones."""
    if not isinstance(value, dict):
        return
    known = kinds(kind)
    for name in value:
        if name not in known:
            raise UsageError(f"{path or 'it'} cannot have {shown(name)}.{did_you_mean(str(name), known)}")
    for field in fields(kind) if len(value) < len(known) else ():
        has_default = field.default is not MISSING or field.default_factory is not MISSING
        if field.name not in value and (complete or not has_default):
            raise UsageError(f"{path or 'it'} has no {field.name!r}.")


def _is_known(name: str, kind: Any) -> bool:
    choices = [fact.names for fact in _facts(kind) if isinstance(fact, NameOrClass)]
    return not choices or name in choices[0] or names_class(name)


def _is_list_of_objects(kind: Any, value: Any) -> bool:
    return get_origin(kind) is tuple and is_dataclass(get_args(kind)[0]) and isinstance(value, list)


def _is_dict_of_objects(kind: Any, value: Any) -> bool:
    return get_origin(kind) is dict and is_dataclass(get_args(kind)[1]) and isinstance(value, dict)


def _problem(said: str, value: Any, kind: Any, name: str, written: str | None, show: Callable[[Any], str]) -> str:
    """Describe an error in one sentence that begins with the name of the value, or with the path inside it.

    Args:
        said: The message from msgspec.
        value: The value, as in `checked`.
        kind: Its type.
        name: Its name.
        written: How it is written in its file.
        show: Formats the value, or a part of it.
    """
    where = _WHERE.search(said)
    if where and where[1]:
        said, kind, written = said.removesuffix(where[0]), Any, None
        name += where[1]
        for key in re.findall(r"\w+|\.{3}", where[1]):
            value = _part(value, key)
    here = "" if value is ... else written or show(value)
    facts = _facts(kind)
    choices = [choice for fact in facts if get_origin(fact) is Literal for choice in get_args(fact)]
    choices += [choice for fact in facts if isinstance(fact, NameOrClass) for choice in fact.names]
    bounds = "".join(_bounds(fact) for fact in facts if isinstance(fact, msgspec.Meta))
    described = next((fact.description for fact in facts if isinstance(fact, msgspec.Meta) and fact.description), "")
    if choices and isinstance(value, str):
        return f"{name} {here} is not known.{did_you_mean(value, choices)}"
    if described and isinstance(value, str):
        return f"{name} {here} is not {described}."
    expected, is_other_type, _ = said.partition(", got ")
    if bounds and not is_other_type:
        return f"{name} {here} is out of range: it must be {bounds}."
    if not expected.startswith("Expected "):  # for example, a number that is too large for a float
        return f"{name}: {said}"
    expected = re.sub("`(.+?)`", lambda found: _words(found[1]), expected.removeprefix("Expected "))
    if choices or described:
        names = f"{'one of ' * (len(choices) > 1)}{', '.join(choices)}"
        expected = described or expected.replace(_WORDS["str"], names)
    elif kind == Names:
        expected = "a string or a list of strings"
    return f"{name} must be {expected}{here and f', not {here}'}."


def _part(value: Any, key: str) -> Any:
    """Return a part of a value, or an ellipsis if msgspec does not report which part."""
    if isinstance(value, Mapping) and key in value:
        return value[key]
    return value[int(key)] if isinstance(value, Sequence) and key.isdecimal() else ...


def _facts(kind: Any) -> list[Any]:
    """Return the parts of a type: choices, and metadata with bounds; optional types are included."""
    if get_origin(kind) in (Annotated, Union, UnionType):
        return [fact for part in get_args(kind) for fact in _facts(part)]
    return [kind]


def _words(types: str) -> str:
    return " or ".join(_WORDS.get(one, one) for one in types.split(" | ") if one != "null")


def _bounds(meta: msgspec.Meta) -> str:
    """Describe the allowed range of a number; empty if the range is not bounded."""
    low, high = (_end(end) for end in (meta.gt or meta.ge or 0, meta.le or 0))
    if meta.gt is not None:
        return f"above {low}" if meta.le is None else f"above {low} and at most {high}"
    if meta.ge is not None:
        return within(low, None if meta.le is None else high)
    return ""


def _end(end: float) -> str:
    """Format the end of a range; that of 64-bit integers as a power of two."""
    if not isinstance(end, int):
        return f"{end:g}"
    if abs(end) < 2**53:
        return f"{end:,}"
    sign, power = "-" if end < 0 else "", round(math.log2(abs(end)))
    rest = abs(end) - 2**power
    return f"{sign}2^{power}{f' - {-rest}' if rest else ''}"
