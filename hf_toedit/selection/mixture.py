"""Mixtures of datasets by shares of tokens: which rows of each, how often, and in which order."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hf_toedit.errors import UsageError
from hf_toedit.features.hashing import key, mixed

_ROUNDING = 1e-6
"""Tolerance for the difference between a sum of shares and 1."""

_MOST_REPEATED = 10**9
"""Maximum number of rows of a dataset that is included more than once; an array of their indices takes 8 GB."""


@dataclass(frozen=True)
class Drawn:
    """The rows of one dataset that go into a mixture.

    Attributes:
        rows: int64 `[n]`, their numbers, in the order in which they were drawn; a row drawn twice occurs twice.
        num_tokens: Number of their tokens.
        num_tokens_there: Number of tokens of all rows of the dataset, above 0.
    """

    rows: np.ndarray
    num_tokens: int
    num_tokens_there: int

    @property
    def epochs(self) -> float:
        """Number of drawn tokens divided by the number of tokens of all rows."""
        return self.num_tokens / self.num_tokens_there


def check_shares(shares: Mapping[str, float]) -> None:
    """Refuse shares that do not define a mixture.

    Args:
        shares: Share of each dataset, by name.

    Raises:
        UsageError: There are fewer than two, one is not above 0, or they do not sum to 1.
    """
    if len(shares) < 2:
        raise UsageError("a mixture needs two datasets or more. Write them as human=org/web:0.75 synthetic=run:0.25.")
    for name, share in shares.items():
        if not 0 < share < math.inf:
            instead = "; leave the dataset out instead" if share <= 0 else " and finite"
            raise UsageError(f"the share of {name!r} is {share:g}. It must be above 0{instead}.")
    total = sum(shares.values())
    if abs(total - 1) > _ROUNDING:
        raise UsageError(f"the shares sum to {total:.6g}, and must sum to 1. {_suggested(shares, total)}")


def budgets(
    shares: Mapping[str, float], there: Mapping[str, int], num_tokens: int | None, max_epochs: float
) -> dict[str, float]:
    """Return the number of tokens of each dataset in the mixture.

    Args:
        shares: Share of each dataset, by name.
        there: Number of tokens that each dataset has.
        num_tokens: Number of tokens of the mixture; None is as many as the datasets allow.
        max_epochs: Maximum number of times that the rows of a dataset may be included.

    Raises:
        UsageError: A dataset has no tokens, or too few.
    """
    for name, count in there.items():
        if not count:
            raise UsageError(f"dataset {name!r} has no tokens. Name the column of its texts with --text-column.")
    most = min(there[name] * max_epochs / share for name, share in shares.items())
    wanted = most if num_tokens is None else num_tokens
    for name, share in shares.items():
        epochs = wanted * share / there[name]
        if epochs > max_epochs * (1 + _ROUNDING):
            raise UsageError(
                f"{wanted * share:,.0f} tokens of {name!r} are asked for, and it has {there[name]:,}: that is "
                f"{epochs:.2f} epochs. Ask for at most {int(most):,} tokens in all, or use --max-epochs "
                f"{int(np.ceil(epochs))}."
            )
    return {name: wanted * share for name, share in shares.items()}


def check_epochs(name: str, epochs: float, num_rows: int) -> None:
    """Refuse more repeated rows than memory holds.

    Args:
        name: Name of the dataset.
        epochs: Number of times that its rows are included.
        num_rows: Number of rows that can be drawn.

    Raises:
        UsageError: There are too many.
    """
    total = epochs * num_rows
    if epochs > 1 and total > _MOST_REPEATED:
        raise UsageError(
            f"{epochs:,.0f} epochs of {name!r} are {total:.3g} rows, and at most {_MOST_REPEATED:,} can be mixed. Ask "
            f"for fewer with --tokens or --max-epochs."
        )


def draw(num_tokens: np.ndarray, keys: np.ndarray, budget: float, seed: int) -> Drawn:
    """Draw rows in random order, epoch by epoch, until their tokens are as close to the budget as whole rows allow.

    Args:
        num_tokens: int64 `[n]`, number of tokens of each row; a row without tokens is never drawn.
        keys: uint64 `[n]`, see `selection.choice.keys_of`.
        budget: Number of tokens.
        seed: Random seed for the order.
    """
    there = np.flatnonzero(num_tokens > 0)
    whole = int(num_tokens[there].sum())
    drawn: list[np.ndarray] = []
    left, epoch = budget, 0
    while left > 0:
        noise = mixed(keys[there] + np.uint64(key(f"{seed} {epoch}".encode())))
        order = there[np.argsort(noise, kind="stable")]
        if left < whole:
            sums = np.concatenate([[0], np.cumsum(num_tokens[order])])
            order = order[: int(np.argmin(np.abs(sums - left)))]
        drawn.append(order)
        left, epoch = left - whole, epoch + 1
    rows = np.concatenate(drawn) if drawn else there[:0]
    return Drawn(rows, int(num_tokens[rows].sum()), whole)


def positions(counts: Sequence[int], seed: int) -> list[np.ndarray]:
    """Return the positions of all drawn rows in the shuffled mixture.

    Args:
        counts: Number of rows drawn from each dataset.
        seed: Random seed for the order.

    Returns:
        int64 `[count]` for each dataset; together they are all numbers from 0 on.
    """
    total = sum(counts)
    places = np.empty(total, np.int64)
    noise = mixed(np.arange(total, dtype=np.uint64) + np.uint64(key(f"{seed} places".encode())))
    places[np.argsort(noise, kind="stable")] = np.arange(total)
    return np.split(places, np.cumsum(counts)[:-1])


def _suggested(shares: Mapping[str, float], total: float) -> str:
    words = " ".join(f"{name}:{share / total:.4g}" for name, share in shares.items())
    return f"In the same proportion: {words}."
