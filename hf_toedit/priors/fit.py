"""Checks that a prior's configuration provides what an edit needs, and that user-defined classes exist."""

from __future__ import annotations

from hf_toedit.config import EditConfig, PriorConfig
from hf_toedit.errors import UsageError


def check_draw(prior: PriorConfig, edit: EditConfig) -> None:
    """Refuse, before any work is done, an edit that cannot work.

    Raises:
        UsageError: Top-p sampling is requested with vLLM at a temperature other than 1, where vLLM returns only the
            likeliest tokens; or unlikely tokens are requested, or edits are verified, while pruning leaves out
            probabilities; or a user-defined rule or sampler cannot be imported.
    """
    if not (edit.own or prior.prune or prior.backend == "vllm"):
        return  # nothing to check, and numpy need not be imported before workers start
    from hf_toedit.editing.acceptance import PRUNED
    from hf_toedit.editing.selection import SelectionRule

    rule = SelectionRule.of(edit)
    if prior.prune and rule.log_at_least is None:
        raise UsageError(
            "--prune drops tokens that are too unlikely to be selected, so it goes with --select above and without "
            "--drop-below. Leave --prune out, or those."
        )
    if prior.prune and edit.accept is not None:
        raise UsageError(PRUNED)
    asked = rule.candidates
    if prior.backend == "vllm" and asked.mass is not None and asked.temperature != 1:
        raise UsageError(
            f"the vLLM backend supports --sampler top-p only at temperature 1, not {asked.temperature:g}. "
            f"Use --temperature 1, --sampler top-k, or --backend transformers."
        )
