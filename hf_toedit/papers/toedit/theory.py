"""Theorems 1 and 2 and Equations 7 and 8: linear regression on edited data, simulated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hf_toedit.papers.item import TOEDIT, Cell, Item, Line, Outcome, Plot, Scale, Table, Work
from hf_toedit.papers.theory.linear import (
    collapse,
    equation_7,
    expected_errors,
    geometric_shares,
    simulated_errors,
    theorem_1,
)

_ERRORS = 3.0
"""Number of standard errors by which a simulation must miss a number to contradict it."""

_SHOWN = (0, 1, 2, 3, 5, 6, 10, 20, 40)
_X, _Y = "generation", "test error, in sigma²d/(T−d−1)"
_DIFFERS = (
    "The paper proves this for linear regression and simulates nothing. Here the process of its Eq. 3 is simulated, "
    "with rows that are edited at random and the shares of Table 9: 12.5 % at first, times 0.94 in each generation."
)


class _Simulated(Item):
    """An item about the process of Eq. 3."""

    paper = TOEDIT
    minutes = 0.1
    differs = _DIFFERS

    def settings(self, scale: Scale) -> Mapping[str, Any]:
        """See `Item.settings`; the paper has none, so `paper` has more repetitions."""
        return {
            "num_samples": 100,
            "dimension": 20,
            "first_share": 0.125,
            "decay": 0.94,
            "generations": 40,
            "repetitions": 400 if scale == "tiny" else 20_000,
        }


class Theorem1(_Simulated):
    """Theorem 1, with Eq. 5."""

    name = "Theorem 1"
    claim = (
        "After n generations of editing the test error is sigma²d/(T−d−1), and for each generation of edits the part "
        "of that which its edited rows have."
    )

    def run(self, settings: Mapping[str, Any], work: Work) -> Outcome:
        """See `Item.run`."""
        shares, mean, error = _simulated(settings, work.seed)
        formula = theorem_1(shares)
        expected = expected_errors(settings["num_samples"], settings["dimension"], shares)
        away = np.abs(mean - formula) / error
        first = int(np.argmax(away > _ERRORS))
        holds = bool((away <= _ERRORS).all())
        last = len(mean) - 1
        reason = (
            f"the simulated error agrees with the formula within {_ERRORS:g} standard errors in all {last} generations."
            if holds
            else f"from generation {first} on, the simulated error is larger than the formula: {mean[last]:.2f} "
            f"against {formula[last]:.2f} after {last}. Editing a row takes its residual away, which Eq. 5 leaves out; "
            f"with it {expected[last]:.2f} are expected (docs/theory.md)."
        )
        table = _table(
            "Test error", ("simulated", "standard error", "Theorem 1", "with residuals"), mean, error, formula, expected
        )
        lines = [
            _line("simulated", mean, error),
            Line("Theorem 1", range(len(formula)), formula.tolist(), style="dashed"),
            Line("with residuals", range(len(expected)), expected.tolist(), style="dashed"),
        ]
        words = "Test error by generation: simulated, by Theorem 1, and with residuals."
        return Outcome("yes" if holds else "no", reason, [table], [Plot("errors", words, _X, _Y, lines)])


class Theorem2(_Simulated):
    """Theorem 2, with Eq. 6."""

    name = "Theorem 2"
    claim = "Edits that get fewer from generation to generation keep the test error below 2 sigma²d/(T−d−1) (Eq. 6)."

    def run(self, settings: Mapping[str, Any], work: Work) -> Outcome:
        """See `Item.run`."""
        shares, mean, error = _simulated(settings, work.seed)
        sums = np.concatenate([[0.0], np.cumsum(shares)])
        above = mean - _ERRORS * error > 2
        last = len(mean) - 1
        if above.any():
            first = int(np.argmax(above))
            reason = (
                f"the simulated error is above 2 from generation {first} on, where the shares sum to "
                f"{sums[first]:.2f}, and is {mean[last]:.2f} after {last}. It stays far below that of full "
                f"replacement, {last + 1}."
            )
        else:
            reason = f"the simulated error is at most {mean.max():.2f} in {last} generations."
        table = _table("Test error", ("simulated", "standard error", "sum of shares"), mean, error, sums)
        lines = [
            _line("simulated", mean, error),
            Line("bound of Eq. 6", [0, last], [2.0, 2.0], style="dashed"),
        ]
        words = "Test error by generation beside the bound of Eq. 6."
        plot = Plot("errors", words, _X, _Y, lines)
        return Outcome("no" if above.any() else "yes", reason, [table], [plot])


class Equation7(_Simulated):
    """Eq. 7: the bound by norms."""

    name = "Equation 7"
    claim = "Edits whose norm decays by a constant ratio keep the test error below a bound that does not grow with n."

    def run(self, settings: Mapping[str, Any], work: Work) -> Outcome:
        """See `Item.run`."""
        shares, mean, error = _simulated(settings, work.seed)
        size = settings["num_samples"], settings["dimension"]
        bound = equation_7(*size, shares)
        limit = equation_7(*size, geometric_shares(settings["first_share"], settings["decay"], 10_000))[-1]
        holds = bool((mean <= bound + _ERRORS * error).all())
        last = len(mean) - 1
        reason = (
            f"the simulated error is {mean[last]:.2f} after {last} generations; the bound there is {bound[last]:.2f}, "
            f"and {limit:.2f} for any number of them."
        )
        table = _table("Test error", ("simulated", "standard error", "bound of Eq. 7"), mean, error, bound)
        lines = [
            _line("simulated", mean, error),
            Line("bound of Eq. 7", range(last + 1), bound.tolist(), style="dashed"),
        ]
        words = "Test error by generation below the bound of Eq. 7."
        plot = Plot("errors", words, _X, _Y, lines, y_log=True)
        return Outcome("yes" if holds else "no", reason, [table], [plot], {"limit": float(limit)})


class Equation8(_Simulated):
    """Eq. 8: model collapse, where all labels are replaced."""

    name = "Equation 8"
    claim = (
        "Where each generation replaces all labels, the test error grows with the number of generations, without bound."
    )
    differs = (
        "The paper takes this from earlier work. Here the process is simulated, beside that of edits with the shares "
        "of Table 9."
    )

    def run(self, settings: Mapping[str, Any], work: Work) -> Outcome:
        """See `Item.run`."""
        everything = np.ones(settings["generations"])
        rng = np.random.default_rng(work.seed)
        size = settings["num_samples"], settings["dimension"]
        mean, error = _mean(simulated_errors(*size, everything, settings["repetitions"], rng))
        _, edited, edited_error = _simulated(settings, work.seed)
        formula = collapse(settings["generations"])
        away = np.abs(mean - formula) / error
        holds = bool((away <= _ERRORS + 1).all())  # the largest of many
        last = len(mean) - 1
        reason = (
            f"after {last} generations the simulated error is {mean[last]:.1f}, by Eq. 8 {formula[last]:.0f}; where "
            f"rows are edited instead it is {edited[last]:.2f}."
        )
        table = _table("Test error", ("replaced", "standard error", "Eq. 8", "edited"), mean, error, formula, edited)
        lines = [
            _line("replaced", mean, error),
            Line("Eq. 8", range(last + 1), formula.tolist(), style="dashed"),
            _line("edited", edited, edited_error),
        ]
        words = "Test error by generation where all labels are replaced, and where some are edited."
        return Outcome("yes" if holds else "no", reason, [table], [Plot("errors", words, _X, _Y, lines)])


def _simulated(settings: Mapping[str, Any], seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return shares of edited rows, and means and standard errors of the simulated test errors."""
    shares = geometric_shares(settings["first_share"], settings["decay"], settings["generations"])
    rng = np.random.default_rng(seed)
    errors = simulated_errors(settings["num_samples"], settings["dimension"], shares, settings["repetitions"], rng)
    return shares, *_mean(errors)


def _mean(errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return errors.mean(axis=0), errors.std(axis=0, ddof=1) / len(errors) ** 0.5


def _table(title: str, names: Sequence[str], *columns: np.ndarray) -> Table:
    shown = [generation for generation in _SHOWN if generation < len(columns[0])]
    rows: list[list[Cell]] = [[str(at), *(float(column[at]) for column in columns)] for at in shown]
    return Table(title, ("generation", *names), rows)


def _line(name: str, mean: np.ndarray, error: np.ndarray) -> Line:
    return Line(name, range(len(mean)), mean.tolist(), (1.96 * error).tolist())
