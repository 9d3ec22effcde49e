"""The selection rule and the sampler of a run, for words only: code that a plan brings along is never imported."""

from __future__ import annotations

import numpy as np

from hf_toedit.editing.rules import Rule, rule_of
from hf_toedit.editing.samplers import Candidates, Sampler, Uniforms, sampler_of
from hf_toedit.runs.plan import Plan


def rule_in(plan: Plan) -> Rule:
    """The selection rule; one of the user's own says what it said of itself when the run was planned."""
    return _ToldRule(plan) if "select" in plan.edit.own else rule_of(plan.edit)


def sampler_in(plan: Plan) -> Sampler:
    """The same of the sampler."""
    return _ToldSampler(plan) if "sampler" in plan.edit.own else sampler_of(plan.edit)


class _ToldRule(Rule):
    def __init__(self, plan: Plan) -> None:
        super().__init__(plan.edit)
        self._words = _told(plan, "select") or f"what {plan.edit.select} selects"

    def selected(self, logprobs: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def describe(self) -> str:
        return self._words


class _ToldSampler(Sampler):
    candidates = Candidates(1)

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan.edit)
        self._words = _told(plan, "sampler") or f"its candidates by {plan.edit.sampler}"

    def draw(self, logprobs: np.ndarray, uniforms: Uniforms) -> np.ndarray:
        raise NotImplementedError

    def describe(self) -> str:
        return self._words


def _told(plan: Plan, setting: str) -> str | None:
    """What a class of the user's own said of itself when the run was planned; None where that is not known."""
    found: dict[str, dict[str, str]] = plan.provenance.get("own", {})
    return found.get(setting, {}).get("words")
