"""Theorem 3.2 and Figures 2, 3 and 5: selection of synthetic labels in a Gaussian mixture, simulated."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from hf_toedit.papers.item import REINFORCEMENT, Item, Line, Outcome, Plot, Scale, Table, Work
from hf_toedit.papers.theory.gaussian import (
    accuracy,
    breakdown_point,
    fitted,
    normal_cdf,
    selection_by_angles,
    unit_vectors,
)

_NEAR = 0.02
"""Maximum distance between the limit and the accuracy of a finite simulation."""

_PAIRS = {"none": (1.0, 1.0), "weak": (0.6, 0.3), "strong": (0.9, 0.1), "oracle": (1.0, 0.0)}
"""(phi, psi) of the verifiers."""


class Theorem32(Item):
    """Theorem 3.2: the breakdown point."""

    paper = REINFORCEMENT
    name = "Theorem 3.2"
    latest = "Theorem 4.2"
    claim = (
        "With ever more synthetic data, a classifier that is trained on what a verifier keeps becomes as good as can "
        "be where the generator's error rate p is below p* = 1 / (1 + psi / phi), and as bad as can be above it."
    )
    minutes = 0.2
    differs = (
        "Labels are wrong independently of x, and 200,000 of them stand for ever more. The version of arXiv that is "
        "used for the name calls it Theorem 3.2; others number it 4.2."
    )

    def settings(self, scale: Scale) -> Mapping[str, Any]:
        """See `Item.settings`."""
        num_samples = 200_000 if scale == "tiny" else 10_000_000
        return {"dimension": 20, "norm": 2.0, "num_samples": num_samples, "distance": 0.05}

    def run(self, settings: Mapping[str, Any], work: Work) -> Outcome:
        """See `Item.run`."""
        rng = np.random.default_rng(work.seed)
        best = float(normal_cdf(settings["norm"]))
        rows, wrong = [], []
        for name, (phi, psi) in _PAIRS.items():
            point = breakdown_point(phi, psi)
            for p in (point - settings["distance"], point + settings["distance"]):
                if not 0 < p < 1:
                    continue
                found = _trained(settings, rng, p, phi, psi, settings["num_samples"])
                limit = best if p < point else 1 - best
                rows.append((name, phi, psi, point, p, found, limit))
                if abs(found - limit) > _NEAR:
                    wrong.append(name)
        columns = ("verifier", "phi", "psi", "p*", "p", "accuracy", "limit")
        reason = (
            f"{settings['distance']:g} below p* the accuracy is that of the best classifier ({best:.3f}) within "
            f"{_NEAR:g}, and as much above p* that of the worst one, for every verifier."
            if not wrong
            else f"the accuracy is further than {_NEAR:g} from its limit for {', '.join(sorted(set(wrong)))}."
        )
        return Outcome("no" if wrong else "yes", reason, [Table("Accuracy beside its limit", columns, rows)])


class Figure2(Item):
    """Figure 2: accuracy by the generator's error rate, for several verifiers."""

    paper = REINFORCEMENT
    name = "Figure 2"
    claim = (
        "Without selection training breaks down at an error rate of 1/2, with an oracle never, and with a verifier in "
        "between at p* = 1 / (1 + psi / phi)."
    )
    minutes = 0.5
    differs = "Labels are wrong independently of x, and the verifiers between none and oracle are chosen here."

    def settings(self, scale: Scale) -> Mapping[str, Any]:
        """See `Item.settings`."""
        return {
            "dimension": 20,
            "norm": 2.0,
            "num_samples": 20_000 if scale == "tiny" else 1_000_000,
            "error_rates": [round(0.05 * step, 2) for step in range(1, 20)],
            "repetitions": 3 if scale == "tiny" else 10,
        }

    def run(self, settings: Mapping[str, Any], work: Work) -> Outcome:
        """See `Item.run`."""
        rng = np.random.default_rng(work.seed)
        rates = settings["error_rates"]
        lines, rows, misses = [], [], []
        for name, (phi, psi) in _PAIRS.items():
            found = np.array(
                [
                    [_trained(settings, rng, p, phi, psi, settings["num_samples"]) for p in rates]
                    for _ in range(settings["repetitions"])
                ]
            )
            mean = found.mean(axis=0)
            point = breakdown_point(phi, psi)
            measured = _crossing(rates, mean)
            rows.append((name, phi, psi, measured, point))
            lines.append(Line(name, rates, mean.tolist(), found.std(axis=0).tolist()))
            reached = 1.0 if measured is None else measured
            if abs(reached - min(point, rates[-1] if measured is not None else 1.0)) > _NEAR:
                misses.append(name)
        reason = (
            f"every accuracy falls through 1/2 within {_NEAR:g} of p*; with an oracle it never does."
            if not misses
            else f"the accuracy falls through 1/2 further than {_NEAR:g} from p* for {', '.join(misses)}."
        )
        table = Table("Where accuracy falls through 1/2", ("verifier", "phi", "psi", "measured", "theory"), rows)
        plot = Plot(
            "accuracy", "Accuracy by error rate of the generator, for each verifier.", "error rate p of the generator",
            "accuracy", lines,
        )  # fmt: skip
        return Outcome("no" if misses else "yes", reason, [table], [plot])


class Figure5(Item):
    """Figure 5: verifiers that are classifiers at an angle."""

    paper = REINFORCEMENT
    name = "Figure 5"
    claim = (
        "For a verifier that is a linear classifier, phi and psi, and so the breakdown point, follow from the angles "
        "between it, the generator and the truth; the better the verifier, the higher the breakdown point."
    )
    minutes = 0.2
    differs = (
        "phi and psi are orthant probabilities of a mixture with this mu, computed by quadrature, and checked by "
        "sampling. The planes of the generator's and the verifier's errors are at right angles."
    )

    def settings(self, scale: Scale) -> Mapping[str, Any]:
        """See `Item.settings`."""
        return {
            "norm": 1.5,
            "generator_degrees": 60,
            "verifier_degrees": [0, 15, 30, 45, 60, 75, 85],
            "num_samples": 200_000 if scale == "tiny" else 10_000_000,
        }

    def run(self, settings: Mapping[str, Any], work: Work) -> Outcome:
        """See `Item.run`."""
        rng = np.random.default_rng(work.seed)
        generator = math.radians(settings["generator_degrees"])
        rows, points, largest = [], [], 0.0
        for degrees in settings["verifier_degrees"]:
            verifier = math.radians(degrees)
            between = math.acos(math.cos(generator) * math.cos(verifier))
            theory = selection_by_angles(settings["norm"], generator, verifier, between)
            sampled = _sampled(settings, rng, generator, verifier, between)
            for value, (mean, error) in zip(theory, sampled, strict=True):
                largest = max(largest, abs(mean - value) / error if error else 0.0)
            points.append(theory.point)
            rows.append(
                (f"{degrees}°", theory.error, theory.phi, sampled[1][0], theory.psi, sampled[2][0], theory.point)
            )
        falls = all(high > low for high, low in zip(points, points[1:], strict=False))
        agrees = largest < 4
        reason = (
            f"the breakdown point falls from {points[0]:.3f} to {points[-1]:.3f} as the verifier gets worse; the "
            f"largest difference between quadrature and sampling is {largest:.1f} standard errors."
        )
        columns = ("angle of the verifier", "p", "phi", "phi, sampled", "psi", "psi, sampled", "p*")
        x = settings["verifier_degrees"]
        lines = [
            Line("breakdown point p*", x, points),
            Line("phi", x, [row[2] for row in rows], style="dashed"),
            Line("psi", x, [row[4] for row in rows], style="dashed"),
            Line("error rate p of the generator", [x[0], x[-1]], [rows[0][1]] * 2, style="dashed"),
        ]
        plot = Plot("angles", "phi, psi and p* by the angle of the verifier.", "angle of the verifier, degrees",
                    "share", lines)  # fmt: skip
        return Outcome("yes" if falls and agrees else "no", reason, [Table("By angle", columns, rows)], [plot])


class Figure3(Item):
    """Figure 3: finite numbers of original and synthetic examples."""

    paper = REINFORCEMENT
    name = "Figure 3"
    claim = (
        "With enough synthetic data, a model that is trained on what an oracle selects is better than the generator of "
        "these data, and than a model that is trained on all of them."
    )
    minutes = 1
    differs = (
        "The generator is a least squares classifier of N0 examples that labels new x of the mixture. Dimension, mu "
        "and the weak verifier (a classifier of 300 other examples) are chosen here. Where labels are kept by whether "
        "they are right, what is kept depends on x, so the limit of many examples is not the best classifier. Without "
        "selection the model may be better than the generator as well, since least squares sees where the mixture lies."
    )

    def settings(self, scale: Scale) -> Mapping[str, Any]:
        """See `Item.settings`."""
        tiny = scale == "tiny"
        return {
            "dimension": 50,
            "norm": 1.5,
            "originals": [100, 300, 900],
            "synthetic": [100, 1_000, 10_000, 100_000] if tiny else [10**n for n in range(2, 7)],
            "weak_examples": 300,
            "repetitions": 5 if tiny else 20,
        }

    def run(self, settings: Mapping[str, Any], work: Work) -> Outcome:
        """See `Item.run`."""
        rng = np.random.default_rng(work.seed)
        mean = _mean_vector(settings)
        rows, lines = [], []
        is_better = []
        for original in settings["originals"]:
            runs = [_finite(settings, rng, mean, original) for _ in range(settings["repetitions"])]
            generators = np.array([run.generator for run in runs])
            found = {name: np.array([run.by_verifier[name] for run in runs]) for name in runs[0].by_verifier}
            for name, values in found.items():
                gains = values[:, -1] - generators
                error = float(gains.std(ddof=1) / len(gains) ** 0.5)
                gain = float(gains.mean())
                rows.append((str(original), name, float(generators.mean()), float(values[:, -1].mean()), gain, error))
                if original == settings["originals"][0]:
                    lines.append(Line(name, settings["synthetic"], values.mean(axis=0).tolist()))
            oracle = found["oracle"][:, -1]
            is_better += [_is_above(oracle - generators), _is_above(oracle - found["none"][:, -1])]
            if original == settings["originals"][0]:
                x = settings["synthetic"]
                lines.append(Line("generator", [x[0], x[-1]], [float(generators.mean())] * 2, style="dashed"))
        columns = ("N0", "verifier", "generator", "model", "gain", "standard error")
        gains = {name: [row[4] for row in rows if row[1] == name] for name in ("oracle", "none")}
        told = {name: ", ".join(f"{gain:+.3f}" for gain in found) for name, found in gains.items()}
        reason = (
            f"with the most synthetic examples, models gain {told['oracle']} over the generator by the oracle's "
            f"selection, and {told['none']} without selection, for N0 = {', '.join(map(str, settings['originals']))}."
        )
        words = f"Accuracy by number of synthetic examples, for N0 = {settings['originals'][0]}."
        plot = Plot("accuracy", words, "synthetic examples", "accuracy", lines, x_log=True)
        table = Table("Accuracy with the most synthetic examples", columns, rows, labels=2)
        return Outcome("yes" if all(is_better) else "no", reason, [table], [plot])


class _Finite(NamedTuple):
    """Accuracies of one repetition: of the generator, and of models by verifier and number of synthetic examples."""

    generator: float
    by_verifier: dict[str, list[float]]


def _finite(settings: Mapping[str, Any], rng: np.random.Generator, mean: np.ndarray, original: int) -> _Finite:
    generator = fitted(*_examples(rng, mean, original))
    weak = fitted(*_examples(rng, mean, settings["weak_examples"]))
    features, truth = _examples(rng, mean, settings["synthetic"][-1])
    labels = np.where(features @ generator > 0, 1, -1)
    right = labels == truth
    keeps = {
        "none": np.ones(len(labels), bool),
        "random": rng.random(len(labels)) < right.mean(),
        "weak": np.where(features @ weak > 0, 1, -1) == labels,
        "oracle": right,
    }
    found = {
        name: [
            accuracy(fitted(features[:count][keep[:count]], labels[:count][keep[:count]]), mean)
            for count in settings["synthetic"]
        ]
        for name, keep in keeps.items()
    }
    return _Finite(accuracy(generator, mean), found)


def _is_above(gains: np.ndarray) -> bool:
    """Whether the mean gain over repetitions is above zero by more than two standard errors."""
    return bool(gains.mean() > 2 * gains.std(ddof=1) / len(gains) ** 0.5)


def _examples(rng: np.random.Generator, mean: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return features `[count, d]` and right labels `[count]` of a mixture."""
    labels = rng.choice((-1, 1), count)
    return labels[:, None] * mean + rng.standard_normal((count, len(mean))), labels


def _mean_vector(settings: Mapping[str, Any]) -> np.ndarray:
    mean = np.zeros(settings["dimension"])
    mean[0] = settings["norm"]
    return mean


def _trained(
    settings: Mapping[str, Any], rng: np.random.Generator, p: float, phi: float, psi: float, count: int
) -> float:
    """Return the accuracy of a classifier trained on kept labels, a share p of which is wrong before the selection."""
    mean = _mean_vector(settings)
    features, truth = _examples(rng, mean, count)
    is_wrong = rng.random(count) < p
    kept = rng.random(count) < np.where(is_wrong, psi, phi)
    return accuracy(fitted(features[kept], np.where(is_wrong, -truth, truth)[kept]), mean)


def _crossing(rates: list[float], mean: np.ndarray) -> float | None:
    """Return the error rate at which the accuracy falls below 1/2, interpolated; None if it does not."""
    below = np.flatnonzero(mean < 0.5)
    if not len(below) or not below[0]:
        return None
    at = int(below[0])
    (low, high), (above, under) = rates[at - 1 : at + 1], mean[at - 1 : at + 1]
    return float(low + (high - low) * (above - 0.5) / (above - under))


def _sampled(
    settings: Mapping[str, Any], rng: np.random.Generator, generator: float, verifier: float, between: float
) -> list[tuple[float, float]]:
    """Return error rate, phi and psi of a sample, each with its standard error."""
    truth, *classifiers = unit_vectors(3, generator, verifier, between)
    signed = settings["norm"] * truth + rng.standard_normal((settings["num_samples"], 3))  # y x
    says_right, verified = (signed @ classifier > 0 for classifier in classifiers)
    kept = says_right == verified
    shares = [~says_right, kept[says_right], kept[~says_right]]
    return [(float(one.mean()), float(one.std() / len(one) ** 0.5)) for one in shares]
