"""Provenance of the data of a run: facts for the card that do not determine the result."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from hf_toedit import sample
from hf_toedit.config import SourceConfig
from hf_toedit.hub import card_metadata, metadata_of
from hf_toedit.priors import embedded
from hf_toedit.priors.names import ModelName
from hf_toedit.sources.resolve import hub_dataset
from hf_toedit.sources.web import SECRET_NAME

_LIBRARIES = ("hf-toedit", "torch", "transformers", "tokenizers", "datasets", "huggingface-hub", "pyarrow")
_INHERITED = ("license", "license_name", "license_link", "language", "pretty_name", "task_categories", "task_ids")
_SECRETS = (
    (re.compile(r"(?<=://)[^/@\s'\"]+@"), ""),
    (re.compile(r"\bhf_[A-Za-z0-9]{8,}"), "hf_***"),
    (re.compile(rf"(?<=\?)(?=[^\s'\"]*(?<=[?&]){SECRET_NAME}=)[^\s'\"]*", re.IGNORECASE), "***"),
)


def provenance(
    source: SourceConfig, source_revision: str, model: ModelName | None, command: str | None = None
) -> dict[str, Any]:
    """Gather the known facts about the origin of a run.

    Args:
        source: Settings of the source.
        source_revision: Revision or fingerprint that pins the source.
        model: Model that the task needs, its commit resolved; None if it needs none.
        command: The command as typed; passwords and tokens are removed from it.

    Returns:
        JSON values: `command` if given, `python`, `versions` of libraries, and `source_card` and `prior_card`: licence,
        language, name and tasks from the cards of source and model.
    """
    facts: dict[str, Any] = {"command": _without_secrets(command)} if command else {}
    facts["python"] = platform.python_version()
    facts["versions"] = {name: found for name in _LIBRARIES if (found := _version(name))}
    facts["source_card"] = _inherited(_source_card(source.source, source_revision))
    facts["prior_card"] = _inherited(_model_card(model)) if model else {}
    return facts


def _source_card(name: str, revision: str) -> dict[str, Any]:
    path = Path(os.path.expanduser(name.removeprefix("file://")))
    if path.is_dir():
        return metadata_of(path / "README.md")
    if name == "sample" and not path.exists():
        return metadata_of(sample.path().with_name("README.md"))
    repo_id = hub_dataset(name)
    return card_metadata("dataset", repo_id, revision) if repo_id else {}


def _model_card(model: ModelName) -> dict[str, Any]:
    path = embedded.path() if model.name == "embedded" else Path(os.path.expanduser(model.name))
    if path.is_dir() or model.commit is None:
        return metadata_of(path / "README.md")
    return card_metadata("model", model.name, model.commit)


def _inherited(metadata: dict[str, Any]) -> dict[str, Any]:
    kept = {name: metadata[name] for name in _INHERITED if name in metadata}
    if "language" in kept:
        kept["language"] = _norwegian(kept["language"])
    return {name: value for name, value in kept.items() if value and _is_words(value)}


def _norwegian(language: Any) -> Any:
    """Restore the language code `no`, which YAML parses as False."""
    if isinstance(language, list):
        return [_norwegian(one) for one in language]
    return "no" if language is False else language


def _is_words(value: Any) -> bool:
    return all(isinstance(word, str) for word in (value if isinstance(value, list) else [value]))


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None


def holds_secret(text: str) -> bool:
    """Whether a text contains a recognizable password or token."""
    return any(pattern.search(text) for pattern, _ in _SECRETS)


def _without_secrets(command: str) -> str:
    for pattern, instead in _SECRETS:
        command = pattern.sub(instead, command)
    return command.replace(os.path.expanduser("~") + os.sep, "~" + os.sep)
