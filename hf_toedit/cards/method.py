"""How a run edits, in words; code that a plan refers to is never imported."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hf_toedit.acceptance import Acceptance
from hf_toedit.cards.edit_data import EditCardData
from hf_toedit.cards.escape import Markdown, markdown
from hf_toedit.cards.origin import given, prior_rows
from hf_toedit.editing.rules import Rule, rule_of
from hf_toedit.editing.samplers import Candidates, Sampler, Uniforms, sampler_of
from hf_toedit.runs.plan import Plan
from hf_toedit.stats import decimal
from hf_toedit.tasks.edit import edit_of


def rule_in(plan: Plan) -> Rule:
    """Return the selection rule; a user-defined rule is described by its own words from planning time."""
    return _ToldRule(plan) if "select" in edit_of(plan).edit.own else rule_of(edit_of(plan).edit)


def sampler_in(plan: Plan) -> Sampler:
    """Return the sampler; a user-defined sampler is described by its own words from planning time."""
    return _ToldSampler(plan) if "sampler" in edit_of(plan).edit.own else sampler_of(edit_of(plan).edit)


def method_words(plan: Plan) -> str:
    """Describe what was done with which tokens, as the end of a sentence."""
    edit, rule, sampler = edit_of(plan).edit, rule_in(plan), sampler_in(plan)
    excluded = ", without the original token" if edit.exclude_original else ""
    done = []
    if rule.selects:
        done.append(f"tokens {rule.describe_in_sentence()} were resampled from {sampler.describe()}{excluded}")
        if edit.acceptance is not None:
            done[-1] += f", unless that made {acceptance_words(edit.acceptance)}"
    if edit.drop_below is not None:
        done.append(f"tokens with a probability below {decimal(edit.drop_below)} were deleted")
    return ", and ".join(done) or "no token was selected"


def acceptance_words(rule: Acceptance) -> str:
    """Describe which edits are undone, as the end of a sentence."""
    following = "the next token" if rule.window == 1 else f"the next {rule.window:,} tokens"
    return f"{following} less likely" + (f" by more than {decimal(rule.tau)} nats" if rule.tau else "")


def edit_rows(data: EditCardData) -> Iterator[tuple[str, Markdown]]:
    """Yield how the texts were edited, as setting names and values."""
    plan, task, edit = data.plan, data.task, data.task.edit
    yield from prior_rows(data, task.prior, task.prior_revision)
    rule, sampler = rule_in(plan), sampler_in(plan)
    if not rule.selects:
        yield "selected", markdown("no token")
    else:
        yield "selected", markdown(rule.describe())
        yield from given({"selection rule": edit.own.get("select"), "sampler": edit.sampler})
        yield from given({name.replace("_", " "): getattr(edit, name) for name in sampler.settings})
        yield "the original token", markdown("never sampled" if edit.exclude_original else "may be sampled")
        if edit.acceptance is not None:
            yield "put back", markdown(f"edits that make {acceptance_words(edit.acceptance)}")
    yield from given({"deleted below p": edit.drop_below, "protected": edit.protect})
    yield "seed", markdown(edit.seed)
    yield "generations", markdown(task.run.generations)
    yield from given({"edit log in column": task.run.edit_log_column})


class _ToldRule(Rule):
    def __init__(self, plan: Plan) -> None:
        super().__init__(edit_of(plan).edit)
        self._words = _description(plan, "select") or f"what {edit_of(plan).edit.select} selects"

    def selected(self, logprobs: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def describe(self) -> str:
        return self._words


class _ToldSampler(Sampler):
    candidates = Candidates(1)

    def __init__(self, plan: Plan) -> None:
        super().__init__(edit_of(plan).edit)
        self._words = _description(plan, "sampler") or f"its candidates by {edit_of(plan).edit.sampler}"

    def draw(self, logprobs: np.ndarray, uniforms: Uniforms) -> np.ndarray:
        raise NotImplementedError

    def describe(self) -> str:
        return self._words


def _description(plan: Plan, setting: str) -> str | None:
    """Return a user-defined class's description from planning time; None if unknown."""
    found: dict[str, dict[str, str]] = plan.provenance.get("own", {})
    return found.get(setting, {}).get("words")
