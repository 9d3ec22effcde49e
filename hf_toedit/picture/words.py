"""Words and figures that the pictures on a page and in a terminal share."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from itertools import groupby

from hf_toedit.cards.escape import percent, printable
from hf_toedit.config import EditConfig
from hf_toedit.editing.result import VERIFIED_COUNTS
from hf_toedit.editing.rules import rule_of
from hf_toedit.picture.data import Frame, TextSpan, Token
from hf_toedit.place_kinds import KINDS, counted_kinds
from hf_toedit.stats import PROBABILITY_BINS, SAMPLE, EditStats, generation_figures


def probability(value: float) -> str:
    """Format a probability with four decimals, or as a power of ten if these would be zeros."""
    return f"{value:.4f}" if value >= 1e-4 or value == 0 else f"{value:.0e}".replace("e-0", "e-")


def bin_of(value: float) -> int:
    """Return the bin of the histogram that contains a probability."""
    return min(int(value * PROBABILITY_BINS), PROBABILITY_BINS - 1)


def selection(config: EditConfig) -> str:
    """Describe which tokens are selected, such as `p ≥ 0.99`."""
    return rule_of(config).describe()


def fate(piece: TextSpan) -> str:
    """Describe what happened to a piece, its kind, or why it could not be edited; empty if it was only read."""
    if len(piece.tokens) > 1:
        return f"{len(piece.tokens)} tokens that share characters: not edited"
    (token,) = piece.tokens
    kind = f", {KINDS[token.kind]}" if token.kind else ""
    if token.dropped:
        return f"dropped{kind}"
    if token.replacement is not None:
        return f"selected and changed{kind}"
    if token.rejected is not None:
        return f"selected; “{printable(token.rejected)}” was sampled and rejected"
    if token.selected:
        return f"selected; resampling left it unchanged{kind}"
    return f"not edited: {named(token.ineligible)}" if token.ineligible else ""


def named(cause: str) -> str:
    """Format a cause of the statistics in plain words."""
    return cause.replace("_", " ")


def facts(frame: Frame) -> str:
    """Describe the counts of one text, or why it was not read."""
    skipped = frame.document.skipped
    if skipped:
        return f"not read, unchanged: {named(skipped)}"
    log = frame.document.to_log(VERIFIED_COUNTS)
    parts = [f"{log['num_tokens']:,} token" + ("" if log["num_tokens"] == 1 else "s")]
    parts.append(f"{log['num_selected']:,} selected")
    for what in ("changed", "dropped") if log["num_dropped"] else ("changed",):
        kinds = counted_kinds(changed_kinds(frame, what == "dropped"))
        parts.append(f"{log[f'num_{what}']:,} {what}" + (f" ({kinds})" if kinds else ""))
    parts += [f"{log['num_rejected']:,} rejected"] if log["num_rejected"] else []
    return ", ".join(parts)


def changed_kinds(frame: Frame, dropped: bool = False) -> Counter[str]:
    """Count the changed tokens, or the dropped ones, by kind."""
    reading = frame.document.reading
    if reading is None:
        return Counter()
    return Counter(reading.kinds[position] for position in (reading.dropped.tolist() if dropped else reading.changed))


def is_marked(token: Token) -> bool:
    """Whether a token was selected or replaced."""
    return token.selected or token.replacement is not None


def is_invisible(text: str) -> bool:
    """Whether a text is invisible: spaces, and characters that join others."""
    return not printable(text).strip(" \u00a0\u200c\u200d\ufe0e\ufe0f")


def spelled(text: str) -> str:
    """Describe a text by the names of its characters, such as `4 × space`."""
    runs = [(unicodedata.name(character).lower(), len(list(run))) for character, run in groupby(text)]
    return ", ".join(name if count == 1 else f"{count} × {name}" for name, count in runs)


def generation_columns(generations: Sequence[EditStats]) -> dict[str, list[str]]:
    """Return the columns of the paper's Table 9 and, for several generations, decay and distance from the source.

    Returns:
        Headings, of one or two lines, mapped to one cell per generation.
    """
    figures = generation_figures(generations)
    columns: dict[str, list[str]] = {
        "gen": [str(entry.generation) for entry in figures],
        "tokens": [f"{stats.num_tokens:,}" for stats in generations],
        "selected": [f"{stats.num_selected:,}" for stats in generations],
        "selected\n%": [f"{stats.selected_rate:.2%}" for stats in generations],
        "changed": [f"{stats.num_changed:,}" for stats in generations],
        "changed\n%": [f"{stats.changed_rate:.2%}" for stats in generations],
    }
    if any(stats.num_dropped for stats in generations):
        columns["dropped"] = [f"{stats.num_dropped:,}" for stats in generations]
    if any(stats.num_rejected for stats in generations):
        columns["rejected"] = [f"{stats.num_rejected:,}" for stats in generations]
    if len(generations) > 1:
        columns["eta"] = ["" if entry.eta is None else f"{entry.eta:.3f}" for entry in figures]
        columns["chars\nunchanged"] = [percent(entry.characters_unchanged) for entry in figures]
        columns["tokens\nunchanged"] = [percent(entry.tokens_unchanged) for entry in figures]
    return columns


def kind_columns(generations: Sequence[EditStats]) -> dict[str, list[str]]:
    """Return the shares of the kinds among the changed and the dropped tokens, per generation.

    Returns:
        Headings, of one or two lines, mapped to one cell per row; empty if no kind is known, or nothing was changed.
    """
    rows = []
    for number, stats in enumerate(generations, start=1):
        for what in ("changed", "dropped"):
            counts = {kind: getattr(entry, f"num_{what}") for kind, entry in stats.kinds.items()}
            if any(counts.values()):
                rows.append((f"{what}, gen {number}" if len(generations) > 1 else what, counts))
    if not rows:
        return {}
    present = [kind for kind in KINDS if any(counts.get(kind) for _, counts in rows)]
    shares = {
        KINDS[kind].replace(" ", "\n", 1): [f"{counts.get(kind, 0) / sum(counts.values()):.1%}" for _, counts in rows]
        for kind in present
    }
    return {"by kind": [name for name, _ in rows], **shares}


def probability_shares(stats: EditStats) -> list[float]:
    """Return the share of the scored tokens in each bin of p; empty if none was scored."""
    return [count / stats.num_scored for count in stats.probability_histogram] if stats.num_scored else []


def histogram_caption(stats: EditStats, generation: int | None) -> str:
    """Return the caption of the histogram.

    Args:
        stats: Statistics of one generation.
        generation: Generation number to display, if there are several.
    """
    when = "" if generation is None else f" in generation {generation}"
    sample = f", from a sample of 1 token in {SAMPLE}" if stats.is_sample else ""
    return f"Tokens by probability p{when}{sample}"
