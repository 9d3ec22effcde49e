"""How far two datasets differ by their n-grams, against how far samples of one of them differ.

A divergence that is estimated from samples is above zero even where both come from one distribution, and the more so
the less text there is. So every figure here is taken between samples of the same amount of text, and held against the
*noise floor*: the same figure between two samples of that size from the reference.

Samples are random choices of groups of documents (see `features.ngram_groups`), without replacement and of at most half
of the groups. Where one dataset is larger, fewer of its groups are as much text. With half of the groups, the spread
over the choices is that of the figure over new samples of documents (the delete-d jackknife of Shao and Wu 1989, "A
General Theory for Jackknife Variance Estimation", with d of half); with fewer it is larger. A bootstrap with
replacement would hold some groups twice, and so be biased upwards by as much again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from hf_toedit.errors import UsageError

Verdict = Literal["no difference seen", "semi-synthetic", "pure synthetic", "not enough data"]

ALPHA = 0.5
"""Added to the count of each bucket."""

EPSILON_FLOORS = 3.0
"""The default of epsilon: so many times the noise floor."""

MIN_GROUPS = 32
"""Groups with text that each dataset needs."""

MOST_APART = 0.1
"""By how much the amounts of text of both samples may differ, relatively."""

NUM_CHOICES = 400
"""Random choices of groups for each figure."""

INTERVAL = (0.025, 0.975)
"""Quantiles that are the ends of an interval."""

INSIDE = 0.995
"""A figure up to this quantile of the noise is inside the floor."""

_AT_ONCE = 50
"""Choices that are computed at a time."""


@dataclass(frozen=True)
class Figure:
    """A divergence in bits, between samples of the same amount of text.

    Attributes:
        value: Its mean over the choices of groups.
        low: The lower end of its 95 % interval.
        high: The upper end.
        floor: The noise floor: its mean between two samples of the reference.
        floor_high: The quantile of the noise, `INSIDE`, up to which a value is inside the floor.
    """

    value: float
    low: float
    high: float
    floor: float
    floor_high: float

    @property
    def is_inside_floor(self) -> bool:
        """Whether the value can be noise."""
        return self.value <= self.floor_high


@dataclass(frozen=True)
class Divergence:
    """How far a dataset differs from the reference.

    Attributes:
        verdict: By Eq. 9 of Zhu et al. 2024, arXiv 2412.14689: data are semi-synthetic where their KL divergence is at
            most epsilon. Here this must hold for KL both ways. `no difference seen` where both are inside the floor;
            `not enough data` where there is too little text, or where epsilon is inside the interval.
        reason: Why, in a sentence.
        figures: `kl` of the data from the reference, `kl_reverse` of the reference from the data, and `js`
            (Jensen-Shannon); empty where there is too little text.
        epsilon: In bits, for each of the two KL divergences; NaN where there is too little text.
        num_groups: Groups of each sample: of the reference, and of the data.
        num_ngrams: Mean n-grams of a sample of each.
        alpha: Added to the count of each bucket.
    """

    verdict: Verdict
    reason: str
    figures: dict[str, Figure]
    epsilon: dict[str, float]
    num_groups: tuple[int, int]
    num_ngrams: tuple[float, float]
    alpha: float = ALPHA
