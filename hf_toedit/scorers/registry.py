"""Scorers by name; a user-defined class as `module:Class`. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hf_toedit.checked import from_json, in_json, kinds, names_class
from hf_toedit.config import PriorConfig
from hf_toedit.errors import UsageError, did_you_mean
from hf_toedit.extensions import is_function
from hf_toedit.scorers.classifier import ClassifierConfig
from hf_toedit.scorers.column import ColumnConfig
from hf_toedit.scorers.density import DensityConfig
from hf_toedit.scorers.dsir import DsirConfig
from hf_toedit.scorers.function import FunctionConfig
from hf_toedit.scorers.length import LengthConfig
from hf_toedit.scorers.own import OwnScorerConfig
from hf_toedit.scorers.perplexity import PerplexityConfig
from hf_toedit.scorers.random import RandomConfig
from hf_toedit.scorers.scorer import ScorerConfig
from hf_toedit.scorers.verifier import ExactConfig, MathAnswerConfig, NumericConfig, RougeConfig
from hf_toedit.scorers.without_model import WithoutModelConfig

SCORERS: dict[str, type[PerplexityConfig] | type[ClassifierConfig] | type[WithoutModelConfig]] = {
    "perplexity": PerplexityConfig,
    "classifier": ClassifierConfig,
    "column": ColumnConfig,
    "exact": ExactConfig,
    "function": FunctionConfig,
    "math-answer": MathAnswerConfig,
    "numeric": NumericConfig,
    "rouge1": RougeConfig,
    "density": DensityConfig,
    "dsir": DsirConfig,
    "length": LengthConfig,
    "random": RandomConfig,
}
"""Settings class of each scorer, by name."""

FITTED = ("density", "dsir")
"""Scorers that `select` fits to data before they score."""

SETTINGS = ("model", "model_revision", "labels", "truncate", "column", "tokenizer", "reference_column", "tolerance")
"""Settings of scorers other than perplexity that commands and functions accept."""

_NAME = "scorer"


def scorer_config(name: str, settings: Mapping[str, Any] | None = None) -> ScorerConfig:
    """Return the settings of a named scorer.

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
    """Return settings as they are in a plan: with the name of the scorer first."""
    settings = config.to_json()
    return {_NAME: settings.pop("name") if isinstance(config, OwnScorerConfig) else config.kind, **settings}


def scorer_from_json(value: Any, path: str = "") -> ScorerConfig:
    """Read settings that `scorer_to_json` wrote; imports nothing.

    Args:
        value: A parsed JSON value.
        path: Path of the value, for messages.

    Raises:
        UsageError: The value is not the settings of a scorer.
    """
    if not isinstance(value, dict) or not isinstance(value.get(_NAME), str):
        raise UsageError(f"{path or 'it'} must be an object with the name of a scorer, not {in_json(value)}.")
    settings = {key: entry for key, entry in value.items() if key != _NAME}
    name = value[_NAME]
    if names_class(name):
        return from_json({"name": name, **settings}, OwnScorerConfig, path)
    return from_json(settings, _class(name), path)


def asked_scorer(name: str, prior: PriorConfig, **given: Any) -> ScorerConfig:
    """Return the settings of a scorer, from the arguments that commands and functions accept for every scorer.

    Args:
        name: A key of `SCORERS`, or `module:Class`.
        prior: Prior for perplexity; a classifier takes its dtype, device and trust.
        **given: Settings of scorers, see `SETTINGS`; those that are None, empty or False count as not given.

    Raises:
        UsageError: There is no such scorer, a setting belongs to another one, or a value is not of its type.
    """
    given = {setting: value for setting, value in given.items() if value or _is_number(value)}
    known = () if names_class(name) else kinds(_class(name))
    for setting in given:
        if setting not in known:
            others = [other for other, cls in SCORERS.items() if setting in kinds(cls)]
            raise UsageError(f"--{_option(setting)} is for --scorer {' or '.join(others)}. Use that, or leave it out.")
    if name in FITTED:
        raise UsageError(f"scorer {name!r} is fitted to data before it scores. hf-toedit select --by {name} does both.")
    if name == PerplexityConfig.kind:
        return PerplexityConfig(prior)
    shared = {setting: getattr(prior, setting) for setting in ("dtype", "device", "trust_remote_code")}
    for setting in prior.differing(replace(PriorConfig(), **shared)):
        raise UsageError(f"--{_option(setting)} is for --scorer {PerplexityConfig.kind}. Use that, or leave it out.")
    if names_class(name) and is_function(name, _NAME):
        return FunctionConfig(name).pinned()
    if name != ClassifierConfig.kind:
        return scorer_config(name, given).pinned()  # it names its scores, which the source must not contain yet
    if "model" not in given:
        raise UsageError("scorer 'classifier' needs a model. Name a folder or a Hub id with --model.")
    return ClassifierConfig.from_mapping({**given, **shared})


def _is_number(value: Any) -> bool:
    """Whether a value is a number, which counts as given even if it is 0; booleans are not numbers."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _option(setting: str) -> str:
    return setting.replace("_", "-")


def _class(name: str) -> type[PerplexityConfig] | type[ClassifierConfig] | type[WithoutModelConfig]:
    if name not in SCORERS:
        raise UsageError(
            f"scorer {name!r} is not known.{did_you_mean(name, SCORERS)} A class of your own is named as module:Class."
        )
    return SCORERS[name]
