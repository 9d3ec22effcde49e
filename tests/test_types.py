"""Types of the public names for type checkers and editors, and consistent names of settings in all interfaces."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from inspect import Parameter, signature
from pathlib import Path
from typing import Any, get_type_hints

import pytest

import hf_toedit
from hf_toedit import EditConfig, PriorConfig, Resources, SourceConfig, TextConfig, ToEditor, ToEditProcessor
from hf_toedit.checked import Names, kinds
from hf_toedit.cli.edit import edit
from hf_toedit.cli.plan import plan
from hf_toedit.config import EditSettings
from hf_toedit.datasets_api.config import ToEditConfig
from hf_toedit.datasets_api.loading import LoadSettings

ROOT = Path(hf_toedit.__file__).parents[1]

GOOD = """
from collections.abc import Sequence
import hf_toedit
from hf_toedit import DocumentScores, EditConfig, EditResult, EditStats, Prior, Resources, SourceConfig, ToEditor

def changed(editor: ToEditor, texts: Sequence[str]) -> tuple[list[str | None], float]:
    result: EditResult = editor.edit(texts)
    return result.texts, result.stats.changed_rate

prior: Prior = hf_toedit.load_prior(hf_toedit.PriorConfig("embedded"), Resources(token_budget=64))
editor = ToEditor(prior, EditConfig.from_preset("formula", threshold=0.5, protect="numbers"))
same = ToEditor.from_pretrained("embedded", prior_revision=None, prune=True, token_budget=64, seed=1, protect=["urls"])
report = hf_toedit.compare({"human": "sample", "edited": "run:gen1"}, "report", priors=["embedded"], split="train")
verdict: str = report["comparisons"]["edited"]["verdict"]
processor = hf_toedit.ToEditProcessor("embedded", text_column="text", prune=True, memory_fraction=0.5, top_k=4)
edited = hf_toedit.load_dataset("sample", split="train", limit=3, revision=None, prior_revision=None, seed=1)
source = SourceConfig("sample", text_columns=("text",), revision="v1")
hf_toedit.register()
try:
    changed(editor, ["a"])
except (hf_toedit.HubError, hf_toedit.SourceError, hf_toedit.PriorError, hf_toedit.RunError) as error:
    code: int = error.exit_code
"""

REFUSED = {
    "EditConfig(threshhold=0.5)": "threshhold",
    "EditConfig(threshold='0.5')": "float",
    "EditConfig(select=1)": "select",
    "EditConfig.from_preset('formula', threshhold=0.5)": "threshhold",
    "SourceConfig('sample', splitt='train')": "splitt",
    "TextConfig(text_column='text')": "text_column",
    "RunConfig(generation=2)": "generation",
    "PriorConfig('embedded', bakend='vllm')": "bakend",
    "Resources(token_budget='all')": "token_budget",
    "ToEditor.from_pretrained(threshhold=0.5)": "threshhold",
    "ToEditor.from_pretrained(revision='main')": "revision",
    "ToEditor.from_pretrained(backend='tgi')": "backend",
    "ToEditor.from_pretrained().edit('one string').texts[0].upper()": "upper",
    "ToEditProcessor(threshhold=0.5)": "threshhold",
    "ToEditProcessor(top_k='8')": "top_k",
    "load_dataset('sample', threshhold=0.5)": "threshhold",
    "load_dataset('sample', prior_revision=1)": "prior_revision",
    "load_prior('embedded')": "PriorConfig",
    "hf_toedit.compare({'a': 'b'}, 'report', prior='embedded')": "prior",
    "hf_toedit.compare({'a': 'b'}, 'report', epsilon='0.1')": "epsilon",
    "EditStats().changed_rat": "changed_rat",
    "hf_toedit.ToEdit": "ToEdit",
}
"""Lines of a program, with a word of the expected message for each."""

MYPY = """[mypy]
strict = true
python_version = 3.10
follow_imports = silent
[mypy-torch.*,transformers.*,datasets.*,multiprocess.*,pyarrow.*,pandas.*,tokenizers.*,matplotlib.*,huggingface_hub.*]
follow_imports = skip
ignore_missing_imports = true
"""


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[int, str]]]:
    """Return the messages of `mypy --strict` about the two programs, by program: line and message."""
    folder = tmp_path_factory.mktemp("types")
    (folder / "mypy.ini").write_text(MYPY)
    (folder / "good.py").write_text(GOOD)
    names = [name for name in hf_toedit.__all__ if name != "__version__"]
    shown = "\n".join(f"reveal_type(hf_toedit.{name})" for name in names)
    (folder / "shown.py").write_text(f"import hf_toedit\n{shown}\n")
    (folder / "bad.py").write_text("\n".join(["import hf_toedit; from hf_toedit import *", *REFUSED]) + "\n")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "--cache-dir", "cache", "--no-color-output",
         "good.py", "shown.py", "bad.py"],
        cwd=folder, env={"MYPYPATH": str(ROOT), "PATH": ""}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    said: dict[str, list[tuple[int, str]]] = {"good": [], "shown": [], "bad": []}
    for name, line, message in re.findall(r"^(\w+)\.py:(\d+): (.*)$", done.stdout, re.MULTILINE):
        said[name].append((int(line), message))
    return said


def test_a_correct_program_passes_strict_type_checking(checked: dict[str, list[tuple[int, str]]]) -> None:
    assert checked["good"] == []


def test_every_export_has_a_type(checked: dict[str, list[tuple[int, str]]]) -> None:
    names = [name for name in hf_toedit.__all__ if name != "__version__"]
    said = dict(checked["shown"])
    assert sorted(said) == list(range(2, len(names) + 2))
    for name, message in zip(names, (said[line] for line in sorted(said)), strict=True):
        assert "Revealed type is" in message, name
        assert '"Any"' not in message, name


def test_a_wrong_program_is_refused_line_by_line(checked: dict[str, list[tuple[int, str]]]) -> None:
    errors = [(line, message) for line, message in checked["bad"] if message.startswith("error: ")]
    for number, (program, word) in enumerate(REFUSED.items(), start=2):
        said = " ".join(message for line, message in errors if line == number)
        assert word in said, program


def test_what_type_checkers_see_is_what_is_exported() -> None:
    tree = ast.parse(Path(hf_toedit.__file__).read_text(encoding="utf-8"))
    (block,) = [
        node for node in tree.body
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    ]  # fmt: skip
    seen = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        for alias in node.names:
            assert alias.asname == alias.name, "a type checker takes an import for public only where it is renamed so"
            seen[alias.name] = node.module
    assert seen == hf_toedit._EXPORTS
    assert sorted(hf_toedit.__all__) == sorted({*seen, "__version__", "register"})


def _spoken(name: str) -> str:
    """Return the name of a source setting as an argument or an option."""
    return "text_column" if name == "text_columns" else name


def named(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the named keywords of a function, with their defaults."""
    parameters = signature(function).parameters.values()
    return {parameter.name: parameter.default for parameter in parameters if parameter.kind is Parameter.KEYWORD_ONLY}


PRIOR = {
    {"revision": "prior_revision"}.get(field.name, field.name): field.default
    for config in (PriorConfig, Resources)
    for field in fields(config)
    if field.name != "prior"
}
"""The settings of a prior and of its resources, with their defaults."""


@pytest.mark.parametrize(
    "function", [ToEditor.from_pretrained, ToEditProcessor, ToEditConfig], ids=lambda f: f.__name__
)
def test_settings_of_a_prior_have_the_same_names_and_defaults_everywhere(function: Callable[..., Any]) -> None:
    settings = {name: value for name, value in named(function).items() if name in PRIOR}
    assert settings == PRIOR
    assert named(function)["preset"] == "toedit"
    assert signature(function).parameters["prior"].default == PriorConfig.prior


@pytest.mark.parametrize("command", [edit, plan], ids=["edit", "plan"])
def test_the_command_line_has_the_same_names(command: Any) -> None:
    options = {option.name for option in command.params}
    assert options >= {*PRIOR, *kinds(EditConfig), "prior", "preset"}
    assert options >= {_spoken(name) for name in kinds(SourceConfig)}


def test_load_dataset_has_the_settings_of_the_command_line() -> None:
    of_datasets = {"config_name", "split"}  # `datasets` passes these on itself
    assert {*named(ToEditConfig)} >= {_spoken(name) for name in kinds(SourceConfig)} - of_datasets
    assert {*named(ToEditProcessor)} >= {_spoken(name) for name in kinds(TextConfig)}


def test_keyword_arguments_are_those_of_the_settings() -> None:
    taken = {*named(ToEditConfig), *kinds(EditConfig)} - {"source"}
    assert set(LoadSettings.__annotations__) == taken
    hints, own = get_type_hints(EditSettings), {name: get_type_hints(EditConfig)[name] for name in kinds(EditConfig)}
    assert hints == {name: str | Sequence[str] if kind == Names else kind for name, kind in own.items()}
    hints, own = get_type_hints(LoadSettings), get_type_hints(ToEditConfig.__init__, localns={"Unpack": list})
    assert {name: hints[name] for name in own if name in hints} == {name: own[name] for name in own if name in hints}
