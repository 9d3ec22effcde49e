"""Figure 1: repeated training on the last model's output, on all output so far, or on edited text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hf_toedit.papers.item import TOEDIT, Cell, Holds, Item, Line, Outcome, Plot, Scale, Table, Work
from hf_toedit.papers.toedit.data import DIFFERS, settings_of, texts_of, write_texts
from hf_toedit.papers.toedit.training import NEEDS, TRAINED, differences, interval, model_of, probed

_HUMAN, _REPLACED, _ACCUMULATED, _EDITED = "human", "replaced", "accumulated", "edited"


class Figure1(Item):
    """Figure 1: model collapse, and edits instead."""

    paper = TOEDIT
    name = "Figure 1"
    claim = (
        "Models that are trained again and again on the text of the model before get worse on human text; where "
        "human text is edited instead, they do not."
    )
    needs = NEEDS
    minutes = 12
    differs = (
        f"{DIFFERS}{TRAINED} In each generation the model that was trained on replaced or accumulated data continues "
        "the beginnings of the human texts; edited data are those of as many generations of edits."
    )

    def settings(self, scale: Scale) -> Mapping[str, Any]:
        """See `Item.settings`."""
        if scale == "tiny":
            training = {"model": "tiny", "context": 128, "num_tokens": 25_000, "generations": 4, "num_candidates": 8}
            more = {"prompt_tokens": 32, "max_new_tokens": 96, "learning_rates": [0.003]}
        else:
            tokens = 50 * 10**9
            training = {"model": "gpt2", "context": 1024, "num_tokens": tokens, "generations": 5, "num_candidates": 1}
            more = {"prompt_tokens": 64, "max_new_tokens": 960, "learning_rates": [6e-4]}
        return settings_of(scale, **training, **more, seeds=2, synthetic="none")

    def run(self, settings: Mapping[str, Any], work: Work) -> Outcome:
        """See `Item.run`."""
        from hf_toedit.api.edits import edit

        data = texts_of(settings, work)
        how = {"prior": settings["prior"], "generations": settings["generations"]}
        run = edit(data.human, work.folder / "edited", **work.of_runs, **how)
        edited = [f"{run.path}:gen{number}" for number in range(1, settings["generations"] + 1)]
        report = probed({_HUMAN: data.human, _EDITED: edited[0]}, data.held_out, settings, work, "probe-0", True)
        models = dict.fromkeys((_REPLACED, _ACCUMULATED), model_of(_HUMAN, settings, work, "probe-0"))
        written: list[str] = []
        found: dict[str, list[Mapping[str, Any]]] = {_REPLACED: [], _ACCUMULATED: [], _EDITED: []}
        rows: list[list[Cell]] = []
        for generation, variant in enumerate(edited, start=1):
            texts = {
                name: _written(data.human, model, name, generation, settings, work) for name, model in models.items()
            }
            written += texts[_ACCUMULATED]
            folder = work.folder / f"generation-{generation}"
            variants = {
                _HUMAN: data.human,
                _REPLACED: write_texts(folder / "replaced.parquet", texts[_REPLACED]),
                _ACCUMULATED: write_texts(folder / "accumulated.parquet", [*_texts(data.human), *written]),
                _EDITED: variant,
            }
            probe = f"probe-{generation}"
            report = probed(variants, data.held_out, settings, work, probe, True)
            models = {name: model_of(name, settings, work, probe) for name in models}
            perplexities, against = differences(report)
            for name, difference in zip(found, against, strict=True):
                found[name].append(difference)
            rows += [[str(generation), *row] for row in perplexities]
        last = {name: values[-1] for name, values in found.items()}
        reason = "after {} generations, perplexity on held-out human text against training on human text: {}.".format(
            settings["generations"],
            ", ".join(f"{name} {interval(difference)}" for name, difference in last.items()),
        )
        x = list(range(1, settings["generations"] + 1))
        lines = [
            Line(name, x, [entry["value"] for entry in values], [entry["half"] for entry in values])
            for name, values in found.items()
        ]
        plot = Plot(
            "generations", "Log perplexity on human text against a model of human text, by generation.", "generation",
            "log perplexity, against human", lines,
        )  # fmt: skip
        columns = ("generation", "trained on", "perplexity", "against human", "95 % interval")
        table = Table("Perplexity on held-out human text", columns, rows, labels=2)
        holds = verdict(last[_REPLACED], last[_EDITED])
        return Outcome(
            holds, reason, [table], [plot], {"differences": {k: [dict(v) for v in vs] for k, vs in found.items()}}
        )


def verdict(replaced: Mapping[str, float], edited: Mapping[str, float]) -> Holds:
    """Return whether the claim holds, from the intervals of differences in log perplexity against human text.

    Args:
        replaced: Ends `low` and `high` of that of the text of the last model.
        edited: Those of edited text.

    Returns:
        "yes" if replaced text is worse than human text, and edited text is not seen to be worse and is better than
        replaced text: an interval so wide that both could be equal decides nothing.
    """
    if edited["low"] > 0 or replaced["high"] < 0:
        return "no"
    return "yes" if replaced["low"] > max(edited["high"], 0) else "not decided"


def _written(human: str, model: Path, name: str, generation: int, settings: Mapping[str, Any], work: Work) -> list[str]:
    """Return a model's continuations of the beginnings of the human texts."""
    from hf_toedit.api.generated import generate

    run = generate(
        human,
        work.folder / f"generation-{generation}" / f"written-{name}",
        prior=str(model),
        num_candidates=settings["num_candidates"],
        prompt_tokens=settings["prompt_tokens"],
        max_new_tokens=settings["max_new_tokens"],
        **{**work.of_runs, "seed": work.seed + generation},
    )
    rows = [text for split in run.dataset().values() for found in split["candidates"] for text in found]
    return [text for text in rows if text.strip()]


def _texts(source: str) -> list[str]:
    import pyarrow.parquet as pq

    return [str(text) for text in pq.read_table(source)["text"].to_pylist()]
