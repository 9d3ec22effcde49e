"""YAML files of settings: names and values, each with its line for error messages."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from hf_toedit.checked import checked, cut, in_json
from hf_toedit.errors import UsageError

_INT, _FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"


@dataclass(frozen=True)
class Setting:
    """A setting in a file.

    Attributes:
        key: Name as written in the file.
        value: Value as parsed by YAML; None if it is empty or null.
        written: Value as written in the file.
        place: The file and the line.
    """

    key: str
    value: Any
    written: str
    place: str

    def checked(self, kind: Any) -> Any:
        """Return the value converted to a type.

        Raises:
            UsageError: The value has the wrong type.
        """
        try:
            return checked(self.value, kind, self.key, self.written, in_json)
        except UsageError as error:
            raise UsageError(f"{self.place}: {error}{self._advice(kind)}") from error

    def _advice(self, kind: Any) -> str:
        """Advise to quote what YAML parses as a number, a date or a truth value, if its text is valid."""
        if isinstance(self.value, bool | int | float | date):
            with suppress(UsageError):
                checked(self.written, kind, self.key)
                return f' Put it in quotes: {self.key}: "{self.written}"'
        return ""


class _Loader(yaml.SafeLoader):
    """YAML loader of plain values, with numbers as on the command line: `1e-3` is one, `010` and `12:30:00` are not."""

    yaml_implicit_resolvers = {
        first: [(tag, regexp) for tag, regexp in resolvers if tag not in (_INT, _FLOAT)]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver(_INT, re.compile(r"[-+]?(?:0|[1-9][0-9_]*)$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    _FLOAT,
    re.compile(
        r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?"
        r"|[0-9][0-9_]*[eE][-+]?[0-9]+|\.(?:inf|Inf|INF))$|\.(?:nan|NaN|NAN)$"
    ),
    list("-+0123456789."),
)


def load_yaml(path: str | Path) -> dict[str, Setting]:
    """Read a YAML file of names and values.

    Returns:
        The settings, by name with underscores for dashes.

    Raises:
        UsageError: The file cannot be read, is not a mapping, or has a key twice.
    """
    try:
        return _settings(Path(path).read_text(encoding="utf-8"), path)
    except OSError as error:
        raise UsageError(f"cannot read settings from {path}: {error.strerror}. Check the path.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not valid YAML: it is not UTF-8 text. Save it as UTF-8.") from error
    except RecursionError as error:
        raise UsageError(f"{path} is not valid YAML: it is nested too deeply. Give plain values.") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        problem = cut(f"{error.context or ''} {error.problem}")
        raise UsageError(f"{path} is not valid YAML: {problem}{where}. Fix that line.") from error
    except yaml.reader.ReaderError as error:
        raise UsageError(f"{path} is not valid YAML: it has the character {error.character:#x}. Delete it.") from error


def _settings(text: str, path: str | Path) -> dict[str, Setting]:
    loader = _Loader(text)
    node = loader.get_single_node()
    if node is None:
        return {}
    if not isinstance(node, yaml.MappingNode):
        kind = type(_value(loader, node, f"{path}: it is")).__name__
        raise UsageError(f"{path} must hold 'name: value' lines, not a {kind}.")
    _check_keys(node, path)
    loader.flatten_mapping(node)  # `<<: *others`
    settings = {}
    for key, value in node.value:
        place = f"{path}, line {key.start_mark.line + 1}"
        if not isinstance(key, yaml.ScalarNode):
            raise UsageError(f"{place}: a key must be the name of an option, not a list or a mapping.")
        written = cut(text[value.start_mark.index : value.end_mark.index])
        read = _value(loader, value, f"{place}: {key.value} {written} is")
        settings[key.value.replace("-", "_")] = Setting(key.value, read, written, place)
    return settings


def _value(loader: _Loader, node: yaml.Node, what: str) -> Any:
    """Construct the value of a part of a file.

    Args:
        loader: Loader of the file.
        node: The part.
        what: Beginning of the error message.

    Raises:
        UsageError: The part does not have the form that its type requires.
    """
    try:
        return loader.construct_object(node, deep=True)
    # PyYAML does not wrap Python's errors for `2024-13-45`, `!!bool x` and `!!timestamp x`.
    except (yaml.constructor.ConstructorError, ValueError, LookupError, AttributeError, TypeError) as error:
        kind = node.tag.rpartition(":")[2]
        raise UsageError(f"{what} not valid YAML of type {kind}. Put it in quotes if it is text.") from error


def _check_keys(node: yaml.MappingNode, path: str | Path) -> None:
    """Refuse a name that is given twice; YAML would use the last value.

    Raises:
        UsageError: A name is given twice.
    """
    lines: dict[str, int] = {}
    for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
        name, line = key.value.replace("-", "_"), key.start_mark.line + 1
        if name in lines:
            raise UsageError(
                f"{path}, line {line}: {key.value!r} is given twice, first in line {lines[name]}. Keep one."
            )
        lines[name] = line
