"""Scorers by name; a class of the user's own as `module:Class`. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from typing import Any

from hf_toedit.checked import from_json, in_json, names_class
from hf_toedit.config import PriorConfig
from hf_toedit.errors import UsageError, did_you_mean
from hf_toedit.scorers.classifier import ClassifierConfig
from hf_toedit.scorers.dsir import DsirConfig
from hf_toedit.scorers.own import OwnScorerConfig
from hf_toedit.scorers.perplexity import PerplexityConfig
from hf_toedit.scorers.scorer import ScorerConfig
from hf_toedit.scorers.without_model import WithoutModelConfig

SCORERS: dict[str, type[PerplexityConfig] | type[ClassifierConfig] | type[WithoutModelConfig]] = {
    "perplexity": PerplexityConfig,
    "classifier": ClassifierConfig,
    "dsir": DsirConfig,
}
"""The settings of each scorer, by its name."""

_NAME = "scorer"


def scorer_config(name: str, settings: Mapping[str, Any] | None = None) -> ScorerConfig:
    """The settings of a scorer that is named.

    Args:
        name: A key of `SCORERS`, or `module:Class`.
        settings: Its settings, as Python values.

    Raises:
        UsageError: There is no such scorer or setting, or a value is not of its type.
    """
    given = dict(settings or {})
    if names_class(name):
        return OwnScorerConfig.from_mapping({"name": name, **given})
    return _class(name).from_mapping(given)


def scorer_to_json(config: ScorerConfig) -> dict[str, Any]:
    """Settings as they are in a plan: with the name of the scorer first."""
    settings = config.to_json()
    return {_NAME: settings.pop("name") if isinstance(config, OwnScorerConfig) else config.kind, **settings}


def scorer_from_json(value: Any, path: str = "") -> ScorerConfig:
    """Read what `scorer_to_json` wrote; nothing is imported.

    Args:
        value: What JSON was read as.
        path: Of the value, for messages.

    Raises:
        UsageError: It is not the settings of a scorer.
    """
    if not isinstance(value, dict) or not isinstance(value.get(_NAME), str):
        raise UsageError(f"{path or 'it'} must be an object with the name of a scorer, not {in_json(value)}.")
    settings = {key: entry for key, entry in value.items() if key != _NAME}
    name = value[_NAME]
    if names_class(name):
        return from_json({"name": name, **settings}, OwnScorerConfig, path)
    return from_json(settings, _class(name), path)


def asked_scorer(
    name: str,
    prior: PriorConfig,
    *,
    model: str | PathLike[str] | None = None,
    model_revision: str | None = None,
    labels: str | Sequence[str] = (),
    truncate: bool = False,
) -> ScorerConfig:
    """The settings of a scorer, from those that a command and a function take for any of them.

    Args:
        name: A key of `SCORERS`, or `module:Class`.
        prior: For perplexity; a classifier takes its dtype, device and trust.
        model: Of a classifier, as are the next ones.
        model_revision: Branch, tag or commit.
        labels: Whose logits are kept.
        truncate: Read the first part of a long text only.

    Raises:
        UsageError: There is no such scorer, a setting is that of another one, or a value is not of its type.
    """
    of_classifier = {"model": model, "model_revision": model_revision, "labels": labels, "truncate": truncate}
    given = {setting: value for setting, value in of_classifier.items() if value}
    if name != ClassifierConfig.kind and given:
        option = next(iter(given)).replace("_", "-")
        raise UsageError(f"--{option} is for --scorer {ClassifierConfig.kind}. Say that, or leave it out.")
    if name == PerplexityConfig.kind:
        return PerplexityConfig(prior)
    shared = ("dtype", "device", "trust_remote_code")
    if asked := prior.differing(replace(PriorConfig(), **{setting: getattr(prior, setting) for setting in shared})):
        option = next(iter(asked)).replace("_", "-")
        raise UsageError(f"--{option} is for --scorer {PerplexityConfig.kind}. Say that, or leave it out.")
    if name != ClassifierConfig.kind:
        return scorer_config(name).pinned()  # names its scores, which the source must not have yet
    if not model:
        raise UsageError("which classifier? Name a folder or a Hub id with --model.")
    return ClassifierConfig.from_mapping({**given, **{setting: getattr(prior, setting) for setting in shared}})


def _class(name: str) -> type[PerplexityConfig] | type[ClassifierConfig] | type[WithoutModelConfig]:
    if name not in SCORERS:
        raise UsageError(
            f"scorer {name!r} is not known.{did_you_mean(name, SCORERS)} A class of your own is named as module:Class."
        )
    return SCORERS[name]
