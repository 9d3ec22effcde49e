"""Tables 1 to 4: a model that predicts eigenvalues, its beams, and models trained on selected predictions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hf_toedit.papers.item import REINFORCEMENT, Cell, Holds, Item, Outcome, Scale, Table, Work
from hf_toedit.papers.reinforcement.eigenvalues import Study

_GENERATOR = "generator"

_TOLERANCES = (0.02, 0.05, 0.1)
"""Relative errors with a column in the tables."""

_DIFFERS = (
    "The paper has 5 x 5 matrices, and calls a prediction right whose relative error is at most 2 %. Here matrices are "
    "2 x 2, and a prediction is right within 5 %; 2 % and 10 % are reported beside it. Models have 0.2 million "
    "parameters and are trained for a minute or less, and the tokens of mantissas begin as sinusoids of their value, "
    "without which such models learn little. Sizes of scale paper are of the paper's order, not known to be its own. "
    "The numbers of the tables differ between versions of the paper, so that which of them has this content is not "
    "certain, and no numbers of the paper are given. "
)

_TRAINED = (
    "Models are trained on synthetic examples alone, from the same new weights and for as many steps as the generator."
)


@dataclass(frozen=True)
class _Measured:
    """Accuracy of one prediction method in one repetition.

    Attributes:
        errors: Relative errors for held-out matrices, `[k]`.
        examples: Number of training examples; 0 without training.
        share: Share of these with a right label.
    """

    errors: np.ndarray
    examples: int = 0
    share: float = 0.0


class _Eigenvalues(Item):
    """An item that measures several prediction methods, with one repetition per seed.

    Attributes:
        sizes: Settings of each scale.
        better: Pairs of methods; the claim is that the first of each is better than the second.
        no_better: Pairs of methods; the claim is that the first of each is not better than the second.
    """

    paper = REINFORCEMENT
    needs = "hf-toedit[probe]"
    minutes = 6
    sizes: ClassVar[Mapping[Scale, Mapping[str, Any]]] = {
        "tiny": {
            "dimension": 2,
            "all_entries": False,
            "d_model": 64,
            "layers": 1,
            "heads": 4,
            "dropout": 0.0,
            "originals": 3_000,
            "synthetic": 40_000,
            "held_out": 2_000,
            "steps": 1_000,
            "batch_size": 64,
            "learning_rate": 3e-3,
            "further": {"steps": 500, "learning_rate": 1e-3},
            "tolerance": 0.05,
            "beam": 10,
            "repetitions": 2,
        },
        "paper": {
            "dimension": 5,
            "all_entries": True,
            "d_model": 512,
            "layers": 4,
            "heads": 8,
            "dropout": 0.0,
            "originals": 200_000,
            "synthetic": 1_000_000,
            "held_out": 10_000,
            "steps": 300_000,
            "batch_size": 64,
            "learning_rate": 1e-4,
            "further": {"steps": 100_000, "learning_rate": 1e-5},
            "tolerance": 0.02,
            "beam": 50,
            "repetitions": 2,
        },
    }
    better: ClassVar[tuple[tuple[str, str], ...]]
    no_better: ClassVar[tuple[tuple[str, str], ...]] = ()

    def settings(self, scale: Scale) -> Mapping[str, Any]:
        """See `Item.settings`."""
        return self.sizes[scale]

    @abstractmethod
    def measured(self, study: Study) -> dict[str, _Measured]:
        """Return the results of the prediction methods, by name."""

    def run(self, settings: Mapping[str, Any], work: Work) -> Outcome:
        """See `Item.run`."""
        from hf_toedit.probes.config import check_installed

        check_installed(lora=False)
        found = [self.measured(Study(settings, work, number)) for number in range(settings["repetitions"])]
        by_name = {name: [each[name] for each in found] for name in found[0]}
        tolerance = settings["tolerance"]
        right = {name: np.array([each.errors <= tolerance for each in runs]) for name, runs in by_name.items()}
        is_right = [_sign(right[first], right[second]) for first, second in self.better]
        is_wrong = [_sign(right[first], right[second]) for first, second in self.no_better]
        holds: Holds = "not decided"
        if min(is_right) < 0 or max(is_wrong, default=0) > 0:
            holds = "no"
        elif min(is_right) > 0:
            holds = "yes"
        told = ", ".join(f"{name} {found.mean():.1%}" for name, found in right.items())
        reason = f"within {tolerance:.0%} of the eigenvalues are: {told}."
        return Outcome(holds, reason, [_table(by_name, right)], (), {
            "right": {name: found.mean(axis=1).tolist() for name, found in right.items()}
        })  # fmt: skip


class Table1(_Eigenvalues):
    """Table 1: greedy predictions, and beams."""

    name = "Table 1"
    claim = (
        "The best candidate of a beam is far more often right than the greedy prediction, and than the candidate that "
        "the model itself finds likeliest."
    )
    differs = _DIFFERS + (
        "All candidates have as many tokens, so that the likeliest one is the one of the lowest perplexity: the first."
    )
    better = (("beam, by oracle", _GENERATOR), ("beam, by oracle", "beam, by perplexity"))

    def measured(self, study: Study) -> dict[str, _Measured]:
        """See `_Eigenvalues.measured`."""
        model = study.generator()
        beams = study.predicted(_GENERATOR, model, "held_out", study.settings["beam"])
        errors = study.errors("held_out", beams.values)
        return {
            _GENERATOR: _Measured(study.held_out_errors(_GENERATOR, model)),
            "beam, by perplexity": _Measured(_by_perplexity(errors, beams.perplexities)),
            "beam, by oracle": _Measured(errors.min(axis=1)),
        }


class _Selected(_Eigenvalues):
    """An item that trains models on synthetic examples."""

    def generated(self, study: Study) -> tuple[dict[str, _Measured], np.ndarray, np.ndarray]:
        """Return the generator's result, its greedy labels `[k, 3 d]` of synthetic examples, and which are right."""
        model = study.generator()
        greedy = study.predicted(_GENERATOR, model, "synthetic")
        is_right = study.errors("synthetic", greedy.values)[:, 0] <= study.settings["tolerance"]
        own = _Measured(study.held_out_errors(_GENERATOR, model), study.settings["originals"], 1.0)
        return {_GENERATOR: own}, greedy.tokens[:, 0], is_right

    def trained(
        self,
        study: Study,
        name: str,
        labels: np.ndarray,
        is_right: np.ndarray,
        kept: np.ndarray | None = None,
        is_further: bool = False,
    ) -> _Measured:
        """Return the result of a model trained on labels of synthetic examples.

        Args:
            study: The repetition.
            name: Name of the model.
            labels: Labels, `[k, 3 d]`.
            is_right: Whether each label is right, `[k]`.
            kept: Whether each example is trained on, `[k]`; None for all.
            is_further: Train the generator further.
        """
        kept = np.ones(len(labels), bool) if kept is None else kept
        file = "".join(character if character.isalnum() else "-" for character in name)
        model = study.trained(
            file, lambda: {"input_ids": study.inputs("synthetic")[kept], "labels": labels[kept]}, is_further
        )
        return _Measured(study.held_out_errors(file, model), int(kept.sum()), float(is_right[kept].mean()))


class Table2(_Selected):
    """Table 2: data selection."""

    name = "Table 2"
    claim = (
        "Trained on its own predictions, a model is no better than the generator; trained on those that a verifier "
        "finds right, it is better."
    )
    differs = (
        _DIFFERS
        + _TRAINED
        + (
            " The number of steps matters: it was raised from 600, at which the gain of the selection was 1 point and "
            "not decided, since models were not trained to the end there."
        )
    )
    better = (("selected by oracle", _GENERATOR), ("selected by oracle", "all"), ("selected by oracle", "random"))
    no_better = (("all", _GENERATOR), ("random", _GENERATOR))

    def measured(self, study: Study) -> dict[str, _Measured]:
        """See `_Eigenvalues.measured`."""
        found, labels, is_right = self.generated(study)
        drawn = np.random.default_rng((study.work.seed, study.repetition)).permutation(is_right)
        found["all"] = self.trained(study, "all", labels, is_right)
        found["random"] = self.trained(study, "random", labels, is_right, drawn)
        found["selected by oracle"] = self.trained(study, "selected by oracle", labels, is_right, is_right)
        return found


class Table3(_Selected):
    """Table 3: label selection."""

    name = "Table 3"
    claim = (
        "Trained on the best candidate of each beam, a model is better than the generator; trained on the candidate "
        "that the generator finds likeliest, or on greedy predictions, it is not."
    )
    minutes = 9
    differs = _DIFFERS + _TRAINED + " Every matrix is kept, whether its best candidate is right or not."
    better = (
        ("beam, by oracle", _GENERATOR),
        ("beam, by oracle", "greedy"),
        ("beam, by oracle", "beam, by perplexity"),
    )
    no_better = (("greedy", _GENERATOR), ("beam, by perplexity", _GENERATOR))

    def measured(self, study: Study) -> dict[str, _Measured]:
        """See `_Eigenvalues.measured`."""
        found, labels, is_right = self.generated(study)
        beams = study.predicted(_GENERATOR, study.generator(), "synthetic", study.settings["beam"])
        errors = study.errors("synthetic", beams.values)
        found["greedy"] = self.trained(study, "greedy", labels, is_right)
        for name, chosen in (
            ("beam, by perplexity", beams.perplexities.argmin(axis=1)),
            ("beam, by oracle", errors.argmin(axis=1)),
        ):
            rows = np.arange(len(chosen))
            is_right = errors[rows, chosen] <= study.settings["tolerance"]
            found[name] = self.trained(study, name, beams.tokens[rows, chosen], is_right)
        return found


class Table4(_Selected):
    """Table 4: fine-tuning."""

    name = "Table 4"
    claim = (
        "Fine-tuned on predictions of its own that a verifier finds right, the generator gets better; fine-tuned on "
        "all of them, it does not."
    )
    minutes = 17
    differs = _DIFFERS + "The generator is trained further for half as many steps, at a smaller learning rate."
    better = (("fine-tuned, selected by oracle", _GENERATOR), ("fine-tuned, selected by oracle", "fine-tuned, all"))
    no_better = (("fine-tuned, all", _GENERATOR),)

    def measured(self, study: Study) -> dict[str, _Measured]:
        """See `_Eigenvalues.measured`."""
        found, labels, is_right = self.generated(study)
        for name, kept in (("fine-tuned, all", None), ("fine-tuned, selected by oracle", is_right)):
            found[name] = self.trained(study, name, labels, is_right, kept, is_further=True)
        return found


def _table(by_name: Mapping[str, list[_Measured]], right: Mapping[str, np.ndarray]) -> Table:
    """Return the shares of right predictions by tolerance, and the gain over the generator at the item's tolerance."""
    is_trained = any(runs[0].examples for runs in by_name.values())
    rows: list[list[Cell]] = []
    first = next(iter(right.values()))
    for name, runs in by_name.items():
        row: list[Cell] = [name]
        if is_trained:
            row += [round(np.mean([run.examples for run in runs])), f"{np.mean([run.share for run in runs]):.1%}"]
        row += [f"{np.mean([run.errors <= allowed for run in runs]):.1%}" for allowed in _TOLERANCES]
        gains = right[name].mean(axis=1) - first.mean(axis=1)
        error = gains.std(ddof=1) / len(gains) ** 0.5 if len(gains) > 1 else 0.0
        rows.append([*row, f"{100 * gains.mean():+.1f} ± {100 * error:.1f}" if name != _GENERATOR else None])
    trained = ["examples", "right ones of these"] if is_trained else []
    columns = ("", *trained, *(f"within {allowed:.0%}" for allowed in _TOLERANCES), "gain, points")
    return Table("Right predictions for held-out matrices", columns, rows)


def _by_perplexity(errors: np.ndarray, perplexities: np.ndarray) -> np.ndarray:
    """Return the error of the candidate with the lowest perplexity, `[k]`, from `[k, n]` each."""
    return errors[np.arange(len(errors)), perplexities.argmin(axis=1)]


def _sign(first: np.ndarray, second: np.ndarray) -> int:
    """Return 1 if the first is right more often, -1 if less often, by two standard errors in every repetition; else 0.

    Args:
        first: Whether each prediction is right, `[repetitions, k]`.
        second: The same, for the same matrices.
    """
    gains = first.astype(float) - second
    means, errors = gains.mean(axis=1), gains.std(axis=1) / gains.shape[1] ** 0.5
    return 1 if (means > 2 * errors).all() else -1 if (means < -2 * errors).all() else 0
