"""Whether a prior, run as it is, has the numbers that an edit needs; and whether the user's own classes are there."""

from __future__ import annotations

from hf_toedit.config import EditConfig, PriorConfig
from hf_toedit.errors import UsageError


def check_draw(prior: PriorConfig, edit: EditConfig) -> None:
    """Refuse, before any work is done, to edit in a way that cannot work.

    Raises:
        UsageError: a nucleus is asked of vLLM at another temperature than 1, while it tells the likeliest tokens only;
            or unlikely tokens are asked for, or edits are verified, while pruning leaves probabilities out; or a rule
            or sampler of the user's own cannot be imported.
    """
    if not (edit.own or prior.prune or prior.backend == "vllm"):
        return  # all is well, and numpy is not imported before workers start
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
