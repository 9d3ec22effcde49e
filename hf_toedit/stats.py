"""Statistics of edits: counted per document, merged in any order, written as JSON.

Sums of real numbers are kept as whole multiples of 1e-9, so that merging is exact: the same documents give the same
statistics however they are split into shards, and in whatever order the shards are merged.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, ClassVar

import numpy as np
from msgspec import Meta

from hf_toedit import sketch
from hf_toedit.mergeable import Count, Statistics, ratio
from hf_toedit.place_kinds import KindCounts, counts_by_kind

NANO = 1e-9

SAMPLE = 16
"""When tokens are pruned, one in this many is still scored; statistics of probabilities use these tokens only."""

PROBABILITY_BINS = 10
"""Bins of width 0.1 over p, as in the paper's Table 8."""

TAIL_EDGES = tuple(np.arange(1.0, 6.5, 0.5))
"""Lower edges of the bins of -log10(1 - p), for p >= 0.9; the last is open."""

PERPLEXITY_EDGES = tuple(np.arange(0.0, 5.25, 0.25))
"""Lower edges of the bins of log10(document perplexity); the last is open."""

_MOST_NLL = 700.0
"""Maximum mean for a document, in nats per token; the exponential of more overflows a float."""

_EARLIER_NAMES = {
    "num_characters_standing": "num_characters_unchanged",
    "num_tokens_standing": "num_tokens_unchanged",
}
"""Current names of fields in statistics that earlier versions wrote."""

ProbabilityBins = Annotated[list[Count], Meta(min_length=PROBABILITY_BINS, max_length=PROBABILITY_BINS)]
TailBins = Annotated[list[Count], Meta(min_length=len(TAIL_EDGES), max_length=len(TAIL_EDGES))]
PerplexityBins = Annotated[list[Count], Meta(min_length=len(PERPLEXITY_EDGES), max_length=len(PERPLEXITY_EDGES))]


def decimal(value: float) -> str:
    """Format a number with no more digits than needed."""
    return f"{value:.15g}"


@dataclass
class EditStats(Statistics):
    """Counts of one generation over any number of documents.

    Attributes:
        num_rows: Number of rows seen, edited or not.
        num_rows_changed: Number of rows in which this generation changed a text.
        num_documents: Number of texts seen; a row may contain several.
        num_skipped: Number of texts not read, by cause.
        skip_reasons: One error message of the prior or its chat template, by cause: the alphabetically first, so that
            merging does not depend on order.
        num_tokens: Number of tokens of the texts read.
        num_scored: Number of tokens with a probability: all but the first if a prior has no BOS; a sample if tokens are
            pruned.
        num_selected: Number of eligible tokens that the rule selected.
        num_changed: Number of selected tokens that were replaced with other text.
        num_dropped: Number of tokens deleted.
        num_rejected: Number of selected tokens whose sampled replacement was reverted; see `EditConfig.accept`.
        num_selected_by_kind: Selected tokens by kind (see `KINDS`); empty in statistics from before kinds
            were introduced.
        num_changed_by_kind: Changed tokens by kind.
        num_dropped_by_kind: Deleted tokens by kind.
        num_rejected_by_kind: Rejected tokens by kind.
        num_ineligible: Number of tokens that may not be edited, by cause.
        num_characters: Number of characters of the source texts whose earlier edits are known.
        num_characters_unchanged: Number of these characters that no edit up to this generation touches.
        num_tokens_unchanged: Number of tokens that no edit touches, of the same texts as this generation read them.
        probability_histogram: Scored tokens by p; see `PROBABILITY_BINS`.
        tail_histogram: Scored tokens with p >= 0.9; see `TAIL_EDGES`.
        perplexity_histogram: Documents by perplexity; see `PERPLEXITY_EDGES`.
        perplexity_bins: Documents by perplexity in the narrow bins of `sketch`; empty in statistics from before they
            were introduced.
        nll_nano: Summed negative log-likelihood of the scored tokens, in 1e-9 nats.
        probability_before_nano: Summed p of the selected tokens before sampling, in 1e-9.
        probability_after_nano: Summed p of the tokens in their places after sampling, in 1e-9.
        seconds: Wall-clock time by stage; the only figures that differ from run to run.
    """

    _written_if_any: ClassVar[tuple[str, ...]] = (*Statistics._written_if_any, "num_rejected", "num_rejected_by_kind")

    num_rows: Count = 0
    num_rows_changed: Count = 0
    num_documents: Count = 0
    num_skipped: dict[str, Count] = field(default_factory=Counter)
    skip_reasons: dict[str, str] = field(default_factory=dict)
    num_tokens: Count = 0
    num_scored: Count = 0
    num_selected: Count = 0
    num_changed: Count = 0
    num_dropped: Count = 0
    num_rejected: Count = 0
    num_selected_by_kind: dict[str, Count] = field(default_factory=Counter)
    num_changed_by_kind: dict[str, Count] = field(default_factory=Counter)
    num_dropped_by_kind: dict[str, Count] = field(default_factory=Counter)
    num_rejected_by_kind: dict[str, Count] = field(default_factory=Counter)
    num_ineligible: dict[str, Count] = field(default_factory=Counter)
    num_characters: Count = 0
    num_characters_unchanged: Count = 0
    num_tokens_unchanged: Count = 0
    probability_histogram: ProbabilityBins = field(default_factory=lambda: [0] * PROBABILITY_BINS)
    tail_histogram: TailBins = field(default_factory=lambda: [0] * len(TAIL_EDGES))
    perplexity_histogram: PerplexityBins = field(default_factory=lambda: [0] * len(PERPLEXITY_EDGES))
    perplexity_bins: dict[int, Count] = field(default_factory=dict)
    nll_nano: int = 0
    probability_before_nano: int = 0
    probability_after_nano: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    @classmethod
    def from_json(cls, values: Any) -> EditStats:
        """Read the output of `to_json`, also with the names that two of the fields had in earlier runs.

        Raises:
            UsageError: The values are not in that format.
        """
        if isinstance(values, dict):
            values = {_EARLIER_NAMES.get(name, name): value for name, value in values.items()}
        return super().from_json(values)

    def __post_init__(self) -> None:
        """Turn the counts into counters, also when they were read from JSON."""
        self.num_skipped, self.num_ineligible = Counter(self.num_skipped), Counter(self.num_ineligible)

    def __repr__(self) -> str:
        return f"EditStats({self.headline})"

    @property
    def headline(self) -> str:
        """The most important figures, in a few words."""
        selected, changed = 100 * self.selected_rate, 100 * self.changed_rate
        more = [
            f", {100 * ratio(count, self.num_tokens):.3g} % {what}"
            for what, count in (("dropped", self.num_dropped), ("rejected", self.num_rejected))
            if count
        ]
        return f"{self.amount}, {selected:.3g} % selected, {changed:.3g} % changed{''.join(more)}"

    @property
    def selected_rate(self) -> float:
        """Selected tokens as a share of all tokens (paper, Table 9)."""
        return ratio(self.num_selected, self.num_tokens)

    @property
    def changed_rate(self) -> float:
        """Changed tokens as a share of all tokens."""
        return ratio(self.num_changed, self.num_tokens)

    @property
    def kinds(self) -> dict[str, KindCounts]:
        """Counts by kind, for the kinds that occur; empty if the kinds of some tokens are not known.

        Statistics from before kinds were introduced have none; those of a run that began earlier have only some.
        """
        return counts_by_kind(
            [
                (self.num_selected_by_kind, self.num_selected),
                (self.num_changed_by_kind, self.num_changed),
                (self.num_dropped_by_kind, self.num_dropped),
            ]
        )

    @property
    def nll(self) -> float:
        """Mean negative log-likelihood in nats per token; NaN if nothing was scored."""
        return self.nll_nano * NANO / self.num_scored if self.num_scored else math.nan

    @property
    def perplexity(self) -> float:
        """The exponential of `nll`, over all tokens."""
        return math.exp(self.nll)

    @property
    def median_perplexity(self) -> float | None:
        """Perplexity of the median document, within 1 %; None if unknown for some documents, or there are none."""
        num_known = sum(self.perplexity_bins.values())
        is_known = num_known and num_known == sum(self.perplexity_histogram)
        return sketch.quantile(self.perplexity_bins, 0.5) if is_known else None

    @property
    def is_sample(self) -> bool:
        """Whether probabilities cover only a sample (`SAMPLE`); otherwise no document lacks those of two tokens."""
        return self.num_scored < self.num_tokens - self.num_documents

    def progress(self) -> dict[str, int]:
        """Return the counts to show, including selected and changed tokens; see `Statistics.progress`."""
        return {**super().progress(), "num_selected": self.num_selected, "num_changed": self.num_changed}

    def add_scores(self, logprobs: np.ndarray) -> None:
        """Count the probabilities of one document.

        Args:
            logprobs: float32 `[n]`; NaN for tokens that are not scored, or not in the sample.
        """
        scored = logprobs[~np.isnan(logprobs)].astype(np.float64)
        self.num_documents += 1
        self.num_tokens += len(logprobs)
        self.num_scored += len(scored)
        if len(scored) == 0:
            return
        probabilities = np.exp(scored)
        bins = np.minimum((probabilities * PROBABILITY_BINS).astype(int), PROBABILITY_BINS - 1)
        _count(self.probability_histogram, bins)
        with np.errstate(divide="ignore"):
            tail = -np.log10(-np.expm1(np.minimum(scored, 0.0)))
        _count(self.tail_histogram, _bin(tail[tail >= TAIL_EDGES[0]], TAIL_EDGES))
        nll = -float(scored.sum())
        self.nll_nano += _nano(nll)
        sketch.count(self.perplexity_bins, np.array([math.exp(min(nll / len(scored), _MOST_NLL))]))
        log10_perplexity = nll / len(scored) / math.log(10)
        _count(self.perplexity_histogram, _bin(np.array([max(log10_perplexity, 0.0)]), PERPLEXITY_EDGES))

    def add_draws(self, before: np.ndarray, after: np.ndarray) -> None:
        """Count the selected tokens of one document: float `[m]` log-probabilities before and after sampling."""
        self.num_selected += len(before)
        self.probability_before_nano += _nano(float(np.exp(before.astype(np.float64)).sum()))
        self.probability_after_nano += _nano(float(np.exp(after.astype(np.float64)).sum()))

    def summary(self) -> dict[str, Any]:
        """Return the figures of a report, including rates; undefined figures are absent."""
        figures = {
            "num_rows": self.num_rows,
            "num_rows_changed": self.num_rows_changed,
            "num_documents": self.num_documents,
            "num_skipped": dict(sorted(self.num_skipped.items())),
            **({"skip_reasons": self.skip_reasons} if self.skip_reasons else {}),
            "num_tokens": self.num_tokens,
            "num_selected": self.num_selected,
            "num_changed": self.num_changed,
            "num_dropped": self.num_dropped,
            **({"num_rejected": self.num_rejected} if self.num_rejected else {}),
            **self._summary_of_kinds(),
            "num_characters": self.num_characters,
            "num_characters_unchanged": self.num_characters_unchanged,
            "num_tokens_unchanged": self.num_tokens_unchanged,
            "selected_rate": self.selected_rate,
            "changed_rate": self.changed_rate,
            "nll": self.nll,
            **({} if self.median_perplexity is None else {"median_perplexity": self.median_perplexity}),
            "tokens_per_second": self.tokens_per_second,
        }
        return {name: value for name, value in figures.items() if not (isinstance(value, float) and math.isnan(value))}

    def _summary_of_kinds(self) -> dict[str, dict[str, int]]:
        kinds = self.kinds
        names = KindCounts._fields if kinds else ()
        return {f"{name}_by_kind": {kind: getattr(counts, name) for kind, counts in kinds.items()} for name in names}


@dataclass(frozen=True)
class GenerationFigures:
    """Figures of one generation compared with the others; undefined figures are None.

    Attributes:
        generation: Number of the generation: 1, 2, ….
        selected_rate: Selected tokens as a share of all tokens.
        changed_rate: Changed tokens as a share of all tokens.
        eta: Selected rate divided by that of the previous generation; None for the first, and after a rate of zero.
        characters_unchanged: Share of the source's characters that no edit so far touches; None if earlier edits are
            unknown.
        tokens_unchanged: Tokens that no edit so far touches, divided by the tokens of the source; None also if the
            statistics do not cover the same texts as the first generation's, as during a run.
    """

    generation: int
    selected_rate: float
    changed_rate: float
    eta: float | None
    characters_unchanged: float | None
    tokens_unchanged: float | None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def generation_figures(generations: Sequence[EditStats]) -> list[GenerationFigures]:
    """Return the decay of the selected and changed rates, and the distance from the source, per generation.

    Args:
        generations: Statistics of generations 1, 2, … of the same texts.
    """
    return [
        GenerationFigures(
            generation=index + 1,
            selected_rate=stats.selected_rate,
            changed_rate=stats.changed_rate,
            eta=eta,
            characters_unchanged=_share(stats.num_characters_unchanged, stats.num_characters),
            tokens_unchanged=_share(stats.num_tokens_unchanged, generations[0].num_tokens)
            if stats.num_characters == generations[0].num_characters
            else None,
        )
        for index, (stats, eta) in enumerate(zip(generations, decay(generations), strict=True))
    ]


def decay(generations: Sequence[EditStats]) -> list[float | None]:
    """Return each generation's selected rate over the previous one; None for the first, and after a rate of zero."""
    ratios: list[float | None] = [None]
    for before, now in zip(generations, generations[1:], strict=False):
        ratios.append(now.selected_rate / before.selected_rate if before.selected_rate else None)
    return ratios[: len(generations)]


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _nano(value: float) -> int:
    return round(value / NANO)


def _bin(values: np.ndarray, edges: Sequence[float]) -> np.ndarray:
    return np.searchsorted(edges, values, side="right") - 1


def _count(histogram: list[int], bins: np.ndarray) -> None:
    for index, count in enumerate(np.bincount(bins, minlength=len(histogram))):
        histogram[index] += int(count)
