"""The YAML header of README.md: how the Hub reads and validates it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import yaml

SIZES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B", "1B<n<10B", "10B<n<100B")
SIZES += ("100B<n<1T", "n>1T")
COLOURS = ("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")
SDKS = ("gradio", "docker", "static", "streamlit")
LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]*")
LANGUAGE = re.compile(r"[a-z]{2,3}(-.*)?|code|multilingual")


class _Loader(yaml.SafeLoader):
    """YAML loader that refuses repeated keys, as the Hub does; PyYAML accepts them."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        counts = Counter(key.value for key, _ in node.value)
        for name, count in counts.items():
            if count > 1 and name != "<<":
                raise yaml.constructor.ConstructorError(None, None, f"duplicated mapping key {name!r}", node.start_mark)
        return super().construct_mapping(node, deep)


def read_card(text: str) -> Any:
    """Return the content of a README's YAML header, or None without one.

    Raises:
        yaml.YAMLError: The header is not YAML.
    """
    match = re.match(r"---\r?\n(.*?)\n---\s", text + "\n", re.DOTALL)
    return yaml.load(match.group(1), _Loader) if match else None  # noqa: S506


def card_problems(text: str, repo_type: str = "dataset") -> tuple[list[str], list[str]]:
    """Return the Hub's errors and warnings about the README of a repository."""
    try:
        card = read_card(text)
    except yaml.YAMLError as error:
        return [f"YAML Metadata Error: {error}"], []
    if card is None:
        return [], ["empty or missing yaml metadata in repo card"]
    if not isinstance(card, dict):
        return ["YAML Metadata Error: the metadata must be an object"], []
    of_space = _space_problems(card) if repo_type == "space" else ()
    return [*_value_problems(card), *_config_problems(card.get("configs")), *of_space], []


def _value_problems(card: dict[str, Any]) -> Iterator[str]:
    for name in ("license", "language", "tags", "task_categories", "size_categories", "source_datasets"):
        values = card.get(name)
        if name in card and not isinstance(values, (str, list)):
            yield f'"{name}" must be a string or an array'
        for value in values if isinstance(values, list) else [values] if isinstance(values, str) else []:
            if not isinstance(value, str):
                yield f'"{name}" must hold strings, not {value!r}'
            elif name == "license" and not LICENSE.fullmatch(value):
                yield f'"license" must be the name of a known license, not {value!r}'
            elif name == "language" and not LANGUAGE.fullmatch(value):
                yield f'"language" must be an ISO 639 code, not {value!r}'
            elif name == "size_categories" and value not in SIZES:
                yield f'"size_categories" must be one of {", ".join(SIZES)}, not {value!r}'
    if not isinstance(card.get("pretty_name", ""), str):
        yield '"pretty_name" must be a string'
    if not isinstance(card.get("dataset_info", []), (dict, list)):
        yield '"dataset_info" must be an object or an array'


def _space_problems(card: dict[str, Any]) -> Iterator[str]:
    if card.get("sdk") not in SDKS:
        yield f'"sdk" must be one of {", ".join(SDKS)}'
    for name in ("colorFrom", "colorTo"):
        if card.get(name, "red") not in COLOURS:
            yield f'"{name}" must be one of {", ".join(COLOURS)}'
    emoji = card.get("emoji", "")
    if not isinstance(emoji, str) or len(emoji) > 7 or re.search(r"\w", emoji):
        yield '"emoji" must be an emoji'
    if not isinstance(card.get("short_description", ""), str) or len(card.get("short_description", "")) > 60:
        yield '"short_description" must be a string of at most 60 characters'
    for name in ("title", "app_file", "sdk_version", "python_version"):
        if not isinstance(card.get(name, ""), str):
            yield f'"{name}" must be a string'
    for name in ("models", "datasets"):
        values = card.get(name, [])
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            yield f'"{name}" must be an array of strings'


def _config_problems(configs: Any) -> Iterator[str]:
    if configs is None:
        return
    if not isinstance(configs, list):
        yield '"configs" must be an array'
        return
    for index, config in enumerate(configs):
        if not isinstance(config, dict) or not isinstance(config.get("config_name"), str):
            yield f'"configs[{index}].config_name" must be a string'
        elif not ("data_dir" in config or _are_data_files(config.get("data_files"))):
            yield f'"configs[{index}].data_files" must be a string, an array of strings, or an array of split and path'
    named = [config for config in configs if isinstance(config, dict)]
    for name, count in Counter(str(config.get("config_name")) for config in named).items():
        if count > 1:
            yield f'"configs" has {count} configs called {name!r}'
    if sum(config.get("default") is True for config in named) > 1:
        yield '"configs" has more than one default'


def _are_data_files(files: Any) -> bool:
    paths = [files] if isinstance(files, str) else files
    if not isinstance(paths, list) or not paths:
        return False
    if all(isinstance(path, str) for path in paths):
        return True
    return all(isinstance(item, dict) and isinstance(item.get("split"), str) and _are_paths(item) for item in paths)


def _are_paths(item: dict[str, Any]) -> bool:
    path = item.get("path")
    return isinstance(path, str) or isinstance(path, list) and all(isinstance(one, str) for one in path)
