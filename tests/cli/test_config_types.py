"""Values in a YAML file have their option's type, or are refused in one line that names file, key and value."""

from __future__ import annotations

import datetime
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hf_toedit.cli.main import cli
from hf_toedit.cli.submit import submit
from hf_toedit.errors import UsageError

EXAMPLES = int(os.environ.get("HF_TOEDIT_EXAMPLES", "120"))

COMMANDS = {
    command.name: command
    for command in [*cli.commands.values(), submit]
    if any(param.name == "config" for param in command.params)
}
TEXTS_OR_NUMBERS = {"workers", "shard_size", "array", "time", "mem", "timeout"}
_NUMBER = re.compile(r"[-+._0-9eEa-fA-FinN]+")

# For each kind of option: YAML values of another type.
WRONG = {
    "int": ["1.5", "1e3", '"3"', "true", "x", "010", "1:30", "[8, 16]", "{a: 1}", "2024-01-01", ".nan", "''"],
    "float": ['"0.5"', "true", "x", "[0.5]", "{a: 1}", "2024-01-01", "''"],
    "flag": ["1", "0", '"yes"', "x", "[true]", "{a: true}", "2024-01-01"],
    "choice": ["nope", "3", "true", "[{first}]", "{{a: 1}}", "''", "2024-01-01"],
    "names": ["5", "1.5", "true", "[5]", "[[a]]", "[null]", "[2024-01-01]", "{a: b}", "!!set {a}", "2024-01-01"],
    "numbers": ["0.5", "[x]", "[true]", "true", "x", "[[0.5]]", "[null]", "{a: 1}", "2024-01-01"],
    "text": ["12", "1.5", "1e3", "true", "no", ".inf", "[a]", "{a: b}", "2024-01-01", "2024-01-01 10:00:00"],
    "text or number": ["1.5", "true", "[2]", "{a: 1}", "2024-01-01"],
}


def _kind(param: click.Parameter) -> str:
    """Return the kind of an option, by its type in `click` and not by the code that reads the file."""
    if param.name in TEXTS_OR_NUMBERS:
        return "text or number"
    if getattr(param, "multiple", False):
        return "numbers" if param.type is click.FLOAT else "names"
    if getattr(param, "is_flag", False):
        return "flag"
    if isinstance(param.type, click.Choice):
        return "choice"
    return {"integer": "int", "integer range": "int", "float": "float", "float range": "float"}.get(
        param.type.name, "text"
    )


def _name(param: click.Parameter) -> str:
    return max(param.opts, key=len).lstrip("-")


def _parse(command: click.Command, args: list[str]) -> dict[str, Any]:
    """Return the arguments with which a command would be called; nothing is run."""
    context = click.Context(cli, info_name="hf-toedit", **cli.context_settings)
    with command.make_context(command.name, args, parent=context) as parsed:
        return parsed.params


def _required(command: click.Command, but: str) -> Iterator[str]:
    for param in command.params:
        if param.required and param.name != but:
            yield from ["x"] if isinstance(param, click.Argument) else [param.opts[0], "1"]


def _with_file(command: click.Command, path: Path, text: str, but: str = "") -> dict[str, Any]:
    path.write_text(text, encoding="utf-8")
    return _parse(command, ["--config", str(path), *_required(command, but)])


def _outcome(parse: Callable[[], dict[str, Any]]) -> Any:
    """Return the arguments of a command, or the error of an option's callback."""
    try:
        return parse()
    except UsageError as error:
        return str(error)


def _options(command: click.Command) -> list[click.Parameter]:
    return [param for param in command.params if param.name != "config"]


@pytest.mark.parametrize("name", COMMANDS)
def test_values_of_another_type_are_refused(name: str, tmp_path: Path) -> None:
    command, path = COMMANDS[name], tmp_path / "settings.yaml"
    for param in _options(command):
        kind, key = _kind(param), _name(param)
        for value in WRONG[kind]:
            if kind == "choice":
                value = value.format(first=next(iter(param.type.choices)))  # type: ignore[attr-defined]
            with pytest.raises(UsageError) as caught:
                _with_file(command, path, f"# first\n{key}: {value}\n", str(param.name))
            said = str(caught.value)
            written = value.strip("[]") if kind in ("names", "numbers") else value
            assert said.startswith(f"{path}, line 2: {key}"), said
            assert written in said or kind == "names", said
            assert "must be " in said or "is not known" in said or "is not one of " in said, said
            assert "\n" not in said


@pytest.mark.parametrize("name", COMMANDS)
@settings(
    max_examples=max(EXAMPLES // 4, 4), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_values_are_those_of_the_command_line(name: str, tmp_path: Path, data: st.DataObject) -> None:
    command = COMMANDS[name]
    param = data.draw(st.sampled_from([param for param in _options(command) if isinstance(param, click.Option)]))
    words = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1)
    # PyYAML does not quote some numbers that need quotes, and commas alone are not a valid name.
    words = words.filter(lambda word: not _NUMBER.fullmatch(word) and word.strip(","))
    kind, text = _kind(param), (st.sampled_from(["cpu", "cuda:1", "auto"]) if param.name == "device" else words)
    values: dict[str, st.SearchStrategy[Any]] = {
        "int": st.integers(1, 5),
        "float": st.floats(1e-9, 1),
        "flag": st.just(True),
        "choice": st.sampled_from(list(getattr(param.type, "choices", ["x"]))),
        "names": st.lists(text, min_size=1, max_size=3),
        "numbers": st.lists(st.floats(1e-9, 1), min_size=1, max_size=3),
        "text": text,
        "text or number": st.integers(0, 99) | text,
    }
    value = data.draw(values[kind])
    option = max(param.opts, key=len)
    given = (
        [f"{option}={one}" for one in (value if isinstance(value, list) else [value])]
        if value is not True
        else [option]
    )
    in_yaml = yaml.safe_dump({_name(param): value}, allow_unicode=data.draw(st.booleans()))
    found = _outcome(lambda: _with_file(command, tmp_path / "settings.yaml", in_yaml, str(param.name)))
    assert found == _outcome(lambda: _parse(command, [*given, *_required(command, str(param.name))]))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.dates() | st.text(st.characters(codec="utf-8"))
    | st.binary() | st.sets(st.integers(), max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=2),
    max_leaves=5,
)  # fmt: skip


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=ANYTHING, data=st.data())
def test_any_value_is_taken_as_it_is_or_refused_in_one_line(value: Any, data: st.DataObject, tmp_path: Path) -> None:
    command = COMMANDS[data.draw(st.sampled_from(sorted(COMMANDS)))]
    param = data.draw(st.sampled_from([param for param in _options(command) if isinstance(param, click.Option)]))
    path, key = tmp_path / "settings.yaml", _name(param)
    values = {key: value}
    if any(other.name == "push_to" for other in command.params):
        values.setdefault("push-to", "org/x")  # required by other options
    try:
        in_yaml = yaml.safe_dump(values, allow_unicode=True, sort_keys=False)
        found = _with_file(command, path, in_yaml, str(param.name))
    except UsageError as error:
        assert re.match(rf"{path}, line 1: {key}\b", str(error)), error
        assert len(str(error).splitlines()) == 1 and len(str(error)) < 600, error
        return
    except click.MissingParameter:
        assert value is None
        return
    kinds = {"int": int, "float": (int, float), "flag": bool, "text or number": (int, str)}
    assert value is None or isinstance(value, kinds.get(_kind(param), (str, list))), found


def test_what_is_null_is_not_said(tmp_path: Path) -> None:
    command, path = COMMANDS["edit"], tmp_path / "settings.yaml"
    keys = [_name(param) for param in _options(command) if not param.required]
    assert _with_file(command, path, "".join(f"{key}:\n" for key in keys)) == _parse(command, ["x"])


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("top_k: 8\nseed: 1\ntop_k: 9\n", "line 3: 'top_k' is given twice, first in line 1"),
        ("top_k: 8\ntop-k: 8\n", "line 2: 'top-k' is given twice, first in line 1"),
        ("split: 2024-01-01\n", 'split must be a string, not 2024-01-01. Put it in quotes: split: "2024-01-01"'),
        ("split: 2024-13-45\n", "line 1: split 2024-13-45 is not valid YAML of type timestamp"),
        ("seed: !!bool x\n", "line 1: seed !!bool x is not valid YAML of type bool"),
        ("seed: !!timestamp x\n", "line 1: seed !!timestamp x is not valid YAML of type timestamp"),
        ("seed: =\n", "line 1: seed = is not valid YAML"),
        (f"seed: {'9' * 5000}\n", "is not valid YAML of type int"),
        ("revision: 12\n", 'line 1: revision must be a string, not 12. Put it in quotes: revision: "12"'),
        ("<<: {top_k: 3, seed: x}\n", "line 1: seed must be a whole number, not x"),
        ("<<: {[a]: 3}\n", "line 1: a key must be the name of an option"),
        ("[a]: b\n", "line 1: a key must be the name of an option"),
        ("{a: b}: c\n", "line 1: a key must be the name of an option"),
        ("true: x\n", "unknown setting 'true'"),
        ("~: x\n", "unknown setting '~'"),
        ("seed: 1\n---\nseed: 2\n", "found another document (line 2, column 1)"),
        ("\tseed: 1\n", "cannot start any token (line 1, column 1)"),
        ("seed: \0\n", "it has the character 0x0"),
        ("[" * 1500, "nested too deeply"),
        ("2024-13-45", "is not valid YAML of type timestamp"),
        ("memory_fraction: .nan\n", "memory_fraction .nan is out of range: it must be above 0 and at most 1."),
        ("price_per_hour: .inf\n", "price_per_hour must be a number other than NaN and infinity, not .inf."),
        ("seed: 99999999999999999999\n", "seed 99999999999999999999 is out of range: it must be between -2^63 and"),
        ("generations: 0\n", "line 1: generations 0 is out of range: it must be between 1 and 32,767."),
        ("dtype: float8\n", "line 1: dtype float8 is not known. Did you mean 'float32'?"),
        ("device: gpu\n", "line 1: device gpu is not one of auto, cpu, cuda, cuda:N, mps, xpu."),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_said_in_one_line(content: str, expected: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        _with_file(COMMANDS["edit"], tmp_path / "settings.yaml", content)
    assert str(caught.value).startswith(str(tmp_path / "settings.yaml")) or "unknown setting" in str(caught.value)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_value_that_aliases_make_huge_is_cut(tmp_path: Path) -> None:
    levels = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    bomb = "\n".join(["top_k: &a0 x", *levels, "protect: *a11"]).replace("a0", "a0", 1)
    nested = "protect:\n- " + bomb.replace("\n", "\n  ")
    with pytest.raises(UsageError, match=r"line 1: protect\[0\] must be a string, not \{") as caught:
        _with_file(COMMANDS["edit"], tmp_path / "settings.yaml", nested)
    assert len(str(caught.value)) < 600


def test_numbers_are_read_as_on_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    for written in ("1e-3", "1E-3", ".001", "0.001", "+1e-3"):
        assert _with_file(COMMANDS["edit"], path, f"threshold: {written}")["threshold"] == 0.001
    assert _with_file(COMMANDS["edit"], path, "threshold: 1")["threshold"] == 1.0
    assert _with_file(COMMANDS["edit"], path, "seed: -1_000")["seed"] == -1000
    assert _with_file(COMMANDS["slurm"], path, "time: 12:00:00\narray: 64", "array")["time"] == "12:00:00"


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["--generations", "0"], "generations 0 is out of range: it must be between 1 and 32,767."),
        (["--limit", "-1"], "limit -1 is out of range: it must be between 1 and "),
        (["--memory-fraction", "nan"], "memory_fraction nan is out of range: it must be above 0 and at most 1."),
        (["--tensor-parallel", "2000"], "tensor_parallel 2000 is out of range: it must be between 1 and 1,024."),
        (["--price-per-hour", "inf"], "price_per_hour must be a number other than NaN and infinity, not inf."),
        (["--price-per-hour", "nan"], "price_per_hour must be a number other than NaN and infinity, not nan."),
        (["--seed", "99999999999999999999"], "seed 99999999999999999999 is out of range: it must be between "),
        (["--threshold", "nan"], "threshold nan is out of range: it must be between 0 and 1."),
    ],
)
@pytest.mark.parametrize("command", ["edit", "plan"])
def test_the_command_line_is_held_to_the_same(command: str, args: list[str], expected: str, tmp_path: Path) -> None:
    from click.testing import CliRunner

    done = CliRunner().invoke(cli, [command, "sample", "-o", str(tmp_path / "run"), *args])
    assert (done.exit_code, done.output.count("\n")) == (2, 1), done.output
    assert done.output.startswith(f"Error: {expected}")
    assert not (tmp_path / "run").exists()


def test_a_date_is_shown_as_it_is_written() -> None:
    from hf_toedit.checked import shown

    assert shown(datetime.date(2024, 1, 1)) == "2024-01-01"
    assert json.loads(shown([8, 16])) == [8, 16]
