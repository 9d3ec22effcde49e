"""Figure 4: models trained on selected summaries of generated news."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hf_toedit.papers.item import REINFORCEMENT, Cell, Holds, Item, Line, Outcome, Plot, Scale, Table, Work
from hf_toedit.papers.reinforcement.summaries import Study, examples, perplexities, rouge, summarize

if TYPE_CHECKING:
    from hf_toedit.probes.verdict import Estimate

_GENERATOR, _VERIFIER, _HUMAN = "generator", "weak verifier", "human, all"
_RANDOM, _ORACLE, _WEAK, _SELF = "random", "oracle", "weak verifier's perplexity", "own perplexity"
_PAPER = {_RANDOM: "worse", _ORACLE: "better", _WEAK: "near random", _SELF: "better"}
"""Models of the paper against its generator, by selection (Section 6.2 of version 2)."""


@dataclass(frozen=True)
class _Measured:
    """A model in one repetition.

    Attributes:
        scores: ROUGE-1 of its summaries of held-out articles, `[k]`.
        examples: Number of summaries that it was trained on.
        quality: Mean ROUGE-1 of these; None if they are human.
    """

    scores: np.ndarray
    examples: int
    quality: float | None


class Figure4(Item):
    """Figure 4: selection of summaries by an oracle, by a weak verifier, and by the generator itself."""

    paper = REINFORCEMENT
    name = "Figure 4"
    latest = "Figure 5"
    claim = (
        "Models that are trained on the summaries of a generator are better than it, by ROUGE-1, where an oracle or "
        "the generator's own perplexity selects these summaries, and are not better where they are selected at random."
    )
    needs = "hf-toedit[probe,analysis]"
    minutes = 18
    differs = (
        "The paper fine-tunes Llama-2-7B on XLSUM. Here news are generated: two sentences of an article are its story, "
        "among background in the same words, and a human summary names the facts of the story in 8 words, half of them "
        "with a synonym that its writer chooses in a quarter of the cases. Models of 0.2 million parameters are "
        "trained from scratch, all from the same weights and for as many steps, so that a larger selection is read "
        "less often; the paper reads each selection once. The generator writes for articles that it was not trained "
        "on, 8 times as many as these. The weak verifier is a larger model that is trained on the generator's "
        "examples, as the paper's is another model with a better ROUGE-1. The paper's values are in its figure, not in "
        "its text, so that only their order is given. Scale paper has the paper's numbers of articles, with "
        "generated news and models from scratch."
    )

    def settings(self, scale: Scale) -> Mapping[str, Any]:
        """See `Item.settings`."""
        if scale == "tiny":
            sizes = {"originals": 1_000, "synthetic": 8_000, "held_out": 1_000}
            model = {"d_model": 64, "layers": 1, "heads": 4, "dropout": 0.0, "verifier": {"d_model": 96}}
            how = {"steps": 300, "batch_size": 64, "learning_rate": 3e-3}
        else:
            sizes = {"originals": 38_400, "synthetic": 307_000, "held_out": 10_000}
            model = {"d_model": 512, "layers": 6, "heads": 8, "dropout": 0.1, "verifier": {"d_model": 1024}}
            how = {"steps": 10_000, "batch_size": 32, "learning_rate": 1e-4}
        return {**sizes, **model, **how, "rates": [0.125, 0.25, 0.5], "repetitions": 3}

    def run(self, settings: Mapping[str, Any], work: Work) -> Outcome:
        """See `Item.run`."""
        from hf_toedit.probes.config import check_installed

        check_installed(lora=False)
        rouge([], [])  # reports a missing package before the training
        repetitions = [_measured(Study(settings, work, number)) for number in range(settings["repetitions"])]
        found = {name: [one[name] for one in repetitions] for name in repetitions[0]}
        scores = {name: np.array([one.scores for one in runs]) for name, runs in found.items()}
        gains = {name: _estimate(values - scores[_GENERATOR]) for name, values in scores.items()}
        rates = settings["rates"]
        better = [_sign(gains[_name(by, rate)]) for by in (_ORACLE, _SELF) for rate in rates]
        no_better = [_sign(gains[_name(_RANDOM, rate)]) for rate in rates]
        holds: Holds = "not decided"
        if min(better) < 0 or max(no_better) > 0:
            holds = "no"
        elif min(better) > 0:
            holds = "yes"
        return Outcome(
            holds,
            _reason(gains, rates),
            [_table(found, gains, scores)],
            [_plot(scores, rates)],
            {"rouge1": {name: values.mean(axis=1).tolist() for name, values in scores.items()}},
        )


def _measured(study: Study) -> dict[str, _Measured]:
    """Train the models of a repetition, and return their results by name."""
    originals, synthetic, held_out = (study.news(kind) for kind in ("originals", "synthetic", "held_out"))

    def measured(name: str, model: Any, count: int, quality: float | None = None) -> _Measured:
        def make() -> dict[str, np.ndarray]:
            return {"scores": rouge(summarize(model, held_out.articles), held_out.summaries)}

        return _Measured(study.stored(f"{_file(name)}-held-out", make)["scores"], count, quality)

    def trained(name: str, rows: np.ndarray, summaries: Sequence[str]) -> Any:
        parts = ([texts[row] for row in rows] for texts in (synthetic.articles, summaries))
        return study.trained(_file(name), lambda: examples(*parts))

    generator, verifier = study.generator(), study.weak_verifier()
    everything = np.arange(len(synthetic.articles))
    found = {
        _GENERATOR: measured(_GENERATOR, generator, len(originals.articles)),
        _VERIFIER: measured(_VERIFIER, verifier, len(originals.articles)),
        _HUMAN: measured(_HUMAN, trained(_HUMAN, everything, synthetic.summaries), len(everything)),
    }
    kept = study.stored("written", lambda: {"summaries": np.array(summarize(generator, synthetic.articles))})
    written = kept["summaries"].tolist()
    quality = rouge(written, synthetic.summaries)
    orders = {
        _RANDOM: np.random.default_rng((study.work.seed, study.repetition)).permutation(len(written)),
        _ORACLE: np.argsort(-quality, kind="stable"),
        _WEAK: np.argsort(perplexities(verifier, synthetic.articles, written), kind="stable"),
        _SELF: np.argsort(perplexities(generator, synthetic.articles, written), kind="stable"),
    }
    for by, order in orders.items():
        for rate in study.settings["rates"]:
            name, rows = _name(by, rate), order[: round(rate * len(order))]
            found[name] = measured(name, trained(name, rows, written), len(rows), float(quality[rows].mean()))
    return found


def _name(by: str, rate: float) -> str:
    """Return the name of a model that is trained on a share of the generator's summaries."""
    return f"{by}, {100 * rate:g} %"


def _file(name: str) -> str:
    return "".join(character if character.isalnum() else "-" for character in name)


def _estimate(values: np.ndarray) -> Estimate:
    """Return the mean of values `[repetitions, k]` with its 95 % interval over repetitions and articles."""
    from hf_toedit.probes.verdict import ALL, estimates

    return estimates({"held-out": values}, {"held-out": np.ones(values.shape[1], np.int64)})[ALL]


def _sign(gain: Estimate) -> int:
    """Return 1 if the interval of a gain is above 0, -1 if it is below 0, and 0 if it contains 0."""
    return int(gain.low > 0) - int(gain.high < 0)


def _interval(gain: Estimate) -> str:
    return f"{gain.low:+.1f} to {gain.high:+.1f}"


def _reason(gains: Mapping[str, Estimate], rates: Sequence[float]) -> str:
    """Return the gains over the generator in words."""
    shares = ", ".join(f"{100 * rate:g}" for rate in rates)
    told = "; ".join(f"{by} {', '.join(f'{gains[_name(by, rate)].value:+.1f}' for rate in rates)}" for by in _PAPER)
    return (
        f"on {shares} % of its summaries, selected by each, models gain over the generator in ROUGE-1 points: "
        f"{told}; on all human summaries {gains[_HUMAN].value:+.1f}."
    )


def _table(
    found: Mapping[str, Sequence[_Measured]],
    gains: Mapping[str, Estimate],
    scores: Mapping[str, np.ndarray],
) -> Table:
    """Return the scores of all models, and their gains over the generator."""
    rows: list[list[Cell]] = []
    for name, runs in found.items():
        qualities = [run.quality for run in runs if run.quality is not None]
        row: list[Cell] = [name, runs[0].examples, float(np.mean(qualities)) if qualities else None]
        row += [float(scores[name].mean()), None, None, _PAPER.get(name.partition(",")[0])]
        if name != _GENERATOR:
            row[4:6] = f"{gains[name].value:+.1f}", _interval(gains[name])
        rows.append(row)
    columns = (
        "trained on", "examples", "ROUGE-1 of these", "ROUGE-1", "gain", "95 % interval", "paper, against its generator"
    )  # fmt: skip
    return Table("ROUGE-1 of summaries of held-out articles, and gain over the generator", columns, rows)


def _plot(scores: Mapping[str, np.ndarray], rates: Sequence[float]) -> Plot:
    """Return ROUGE-1 by selected share, a line per selection."""
    x = [100 * rate for rate in rates]
    lines = []
    for by in _PAPER:
        values = [_estimate(scores[_name(by, rate)]) for rate in rates]
        lines.append(Line(by, x, [one.value for one in values], [one.half for one in values]))
    for name in (_GENERATOR, _HUMAN):
        lines.append(Line(name, [x[0], x[-1]], [float(scores[name].mean())] * 2, style="dashed"))
    words = "ROUGE-1 on held-out articles by selected share of the generator's summaries, for each selection."
    return Plot("rouge1", words, "selected share of the generator's summaries, %", "ROUGE-1", lines)
