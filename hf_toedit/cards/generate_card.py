"""The card section about generated candidates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from hf_toedit.cards.data import CardData
from hf_toedit.cards.escape import Markdown, code, fenced, markdown, percent, shell
from hf_toedit.cards.origin import given, model_words, prior_rows, source_rows, version_rows
from hf_toedit.cards.score_tables import number
from hf_toedit.cards.section import shared, template
from hf_toedit.cards.tables import field_table, table
from hf_toedit.errors import UsageError
from hf_toedit.generation.config import STOPS, GenerateConfig
from hf_toedit.tasks.generate import GenerateTask
from hf_toedit.tasks.generate_stats import QUANTILES, GenerateStats

_STOPS = {"eos": "ended by the model", "limit": "cut at the limit", "context": "cut at the end of the context"}
_SKIPPED = {
    "null": "without a text",
    "empty": "with an empty prompt",
    "prompt_too_long": "whose prompt fills the context",
    "template_failed": "whose conversation the chat template refuses",
}


@dataclass(frozen=True)
class GenerateCardData(CardData):
    """A finished generate run, with the data that its card needs."""

    @property
    def task(self) -> GenerateTask:
        """The generate task.

        Raises:
            UsageError: The run has another task.
        """
        task = self.plan.task
        if not isinstance(task, GenerateTask):
            raise UsageError(f"this needs a run of generation, and the rows of this run are {task.done}.")
        return task

    @property
    def generated(self) -> GenerateStats:
        """Statistics over all splits."""
        return cast("GenerateStats", self.totals[0])

    @property
    def by_split(self) -> dict[str, GenerateStats]:
        """Statistics of each split."""
        return {split: cast("GenerateStats", stats) for split, stats in self.stats[0].items()}


def generate_section(data: GenerateCardData) -> str:
    """Return Markdown about a generate run."""
    task, stats = data.task, data.generated
    return template("generate").render(
        shared(data),
        task=task,
        prior=model_words(data),
        what=_what(data),
        headline=_headline(data),
        best=fenced(_best_snippet(data), "bash"),
        is_unreadable=stats.is_unreadable,
        origin=table(("what", "value"), _origin(data), left=2),
        figures=_figures(data),
        skipped=[
            Markdown(f"{count:,} {'row' if count == 1 else 'rows'} {_SKIPPED.get(cause, cause.replace('_', ' '))}")
            for cause, count in sorted(stats.num_skipped.items())
            if count
        ],
        fields=field_table(data, {task.candidates_column: "candidates"}),
        model_role="prior",
    )


def _what(data: GenerateCardData) -> Markdown:
    """Describe the candidates, as part of a sentence."""
    task, source = data.task, data.plan.source
    if source.messages_column is not None:
        return Markdown(f"answers to the conversations of {code(source.messages_column)}, without their last answer")
    columns = ", ".join(code(path) for path in (*source.context_columns, *source.text_columns))
    num_tokens = task.generate.prompt_tokens
    if num_tokens is None:
        return Markdown(f"answers to {columns}")
    before = ", ".join(code(path) for path in source.context_columns)
    after = f" behind {before}" if before else ""
    return Markdown(f"continuations of the first {num_tokens:,} tokens of {code(source.text_columns[0])}{after}")


def _headline(data: GenerateCardData) -> Markdown:
    """Return the most important figures as sentences."""
    stats = data.generated
    if not stats.num_candidates:
        return Markdown(f"There are {stats.num_rows:,} rows, and no candidates.")
    cut = stats.stops["limit"] + stats.stops["context"]
    return Markdown(
        f"{stats.num_candidates:,} candidates of {stats.num_generated:,} tokens for {stats.num_rows:,} rows; "
        f"{percent(cut / stats.num_candidates)} of them were cut before they ended. Their perplexity under the prior "
        f"itself is {number(stats.perplexity)}."
    )


def decoding_words(config: GenerateConfig) -> str:
    """Describe how tokens are chosen."""
    if config.decoding == "greedy":
        return "greedy: the likeliest token at each position"
    if config.decoding == "beam":
        beams = f"{config.num_candidates} beam{'' if config.num_candidates == 1 else 's'}"
        return f"beam search with {beams}, all of which are candidates, the best first"
    words = [f"sampled at temperature {config.temperature:g}"]
    if config.top_k is not None:
        words.append(f"from the {config.top_k:,} likeliest tokens")
    if config.top_p is not None:
        words.append(f"from those with a total probability of {config.top_p:g}")
    return ", ".join(words)


def _origin(data: GenerateCardData) -> Iterator[tuple[str, Markdown]]:
    """Yield everything that determines the result."""
    task, config = data.task, data.task.generate
    yield from source_rows(data)
    yield from prior_rows(data, task.prior, task.prior_revision)
    if data.generated.num_chats:
        yield "prompts", markdown("written by the prior's chat template")
    if config.prompt_tokens is not None:
        yield "prompt", markdown(f"the first {config.prompt_tokens:,} tokens of the text")
    yield "candidates per row", markdown(f"{config.num_candidates:,}")
    yield "decoding", markdown(decoding_words(config))
    yield "tokens per candidate, at most", markdown(f"{config.max_new_tokens:,}")
    if config.decoding == "sample":
        yield "seed", markdown(str(config.seed))
    yield from given({"candidates in column": task.candidates_column})
    yield from version_rows(data)


def _figures(data: GenerateCardData) -> Markdown:
    """Return a table of what was read and generated; by split if there are several."""
    parts = {Markdown("**all**"): data.generated}
    if len(data.by_split) > 1:
        parts = {**{code(split): stats for split, stats in data.by_split.items()}, **parts}
    rows: list[tuple[str, list[str]]] = [
        ("rows", [f"{stats.num_rows:,}" for stats in parts.values()]),
        ("rows without candidates", [f"{sum(stats.num_skipped.values()):,}" for stats in parts.values()]),
        ("tokens of the prompts", [f"{stats.num_prompt_tokens:,}" for stats in parts.values()]),
        ("candidates", [f"{stats.num_candidates:,}" for stats in parts.values()]),
        ("tokens generated", [f"{stats.num_generated:,}" for stats in parts.values()]),
        ("perplexity under the prior", [_known(stats, number(stats.perplexity)) for stats in parts.values()]),
        *((_STOPS[stop], [_share(stats, stats.stops[stop]) for stats in parts.values()]) for stop in STOPS),
        ("tokens per candidate, mean", [_known(stats, number(stats.lengths.mean)) for stats in parts.values()]),
        *(
            (f"tokens per candidate, {q:.0%}", [_known(s, number(s.lengths.quantile(q), True)) for s in parts.values()])
            for q in QUANTILES
        ),
    ]
    return table(("what", *parts), [(name, *cells) for name, cells in rows])


def _known(stats: GenerateStats, words: str) -> str:
    return words if stats.num_candidates else ""


def _share(stats: GenerateStats, count: int) -> str:
    return f"{count:,} ({percent(count / stats.num_candidates)})" if stats.num_candidates else ""


def _best_snippet(data: GenerateCardData) -> str:
    """Return a command that keeps the best candidate of each row."""
    asked = ("--best-of", data.task.candidates_column, "--by", "perplexity", "--keep", "lowest")
    return shell(["hf-toedit", "select", data.place, "-o", "best", *asked])
