"""The card section about a mixture of datasets."""

from __future__ import annotations

from hf_toedit.cards.data import CardData
from hf_toedit.cards.escape import Markdown, code, markdown, percent
from hf_toedit.cards.origin import place_name, shortened, version_rows
from hf_toedit.cards.section import shared, template
from hf_toedit.cards.tables import field_table, table
from hf_toedit.errors import UsageError
from hf_toedit.runs.plan import Plan
from hf_toedit.tasks.mix import MixTask


def mix_section(data: CardData) -> str:
    """Return Markdown about a run that mixes datasets."""
    task = _task(data.plan)
    parts = task.parts
    num_tokens = sum(part.num_tokens for part in parts.values())
    rows = [
        (
            code(name),
            Markdown(f"{code(place_name(part.source))} @ {code(part.revision[:12])}"),
            percent(part.share),
            percent(part.num_tokens / num_tokens if num_tokens else 0.0),
            f"{part.num_tokens:,}",
            f"{part.num_rows:,} of {part.num_rows_there:,}",
            f"{part.epochs:.2f}",
        )
        for name, part in parts.items()
    ]
    names = ("name", "dataset", "share asked for", "share", "tokens", "rows", "epochs")
    left_out = [
        Markdown(f"{code(name)}: {', '.join(map(code, part.columns_left_out))}")
        for name, part in parts.items()
        if part.columns_left_out
    ]
    notes: dict[str | None, str] = {task.name_column: "name of the dataset that the row is from"}
    return template("mix").render(
        shared(data),
        names=Markdown(", ".join(map(code, parts))),
        num_rows=f"{sum(part.num_rows for part in parts.values()):,}",
        num_tokens=f"{num_tokens:,}",
        unit="words" if task.tokenizer is None else Markdown(f"tokens of {code(shortened(task.tokenizer))}"),
        parts=table(names, rows, left=2),
        repeated=any(part.epochs > 1 for part in parts.values()),
        left_out=left_out,
        name_column=code(task.name_column),
        seed=task.seed,
        origin=table(("what", "value"), version_rows(data), left=2),
        fields=field_table(data, notes),
        licences=[Markdown(f"{code(name)}: {markdown(part.license)}") for name, part in parts.items() if part.license],
    )


def _task(plan: Plan) -> MixTask:
    if not isinstance(plan.task, MixTask):
        raise UsageError(
            f"this needs a run in which datasets are mixed, and the rows of this run are {plan.task.done}."
        )
    return plan.task
