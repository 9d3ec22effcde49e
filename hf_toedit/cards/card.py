"""The dataset card of a run: run data in, Markdown out.

`render_card` is pure. Every string that comes from a dataset, a prior, a path or a command is escaped by a function of
`escape`; templates apply `markdown` to every string that is not `Markdown` yet.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from hf_toedit.cards.data import CardData
from hf_toedit.cards.edit_card import edit_section
from hf_toedit.cards.edit_data import EditCardData
from hf_toedit.cards.edit_plots import draw_edit_plots
from hf_toedit.cards.escape import markdown
from hf_toedit.cards.metadata import metadata
from hf_toedit.cards.origin import title
from hf_toedit.cards.plain_card import plain_section
from hf_toedit.cards.readme import merged
from hf_toedit.cards.section import ASSETS
from hf_toedit.errors import RunError
from hf_toedit.runs.plan import Plan

if TYPE_CHECKING:
    from hf_toedit.runs.store import RunFolder
    from hf_toedit.storage.remote import AnyPath

README = "README.md"


class CardKind(NamedTuple):
    """How to build the card of a task.

    Attributes:
        data: The class that holds the card's data.
        section: Writes Markdown about a run.
        plots: Draws PNG files, by name.
        words: What was done to the source, for headings.
        tags: Tags of the dataset.
    """

    data: type[CardData]
    section: Callable[[Any], str]
    plots: Callable[[Any], dict[str, bytes]]
    words: str
    tags: tuple[str, ...] = ("hf-toedit",)


def _edit_kind(plan: Plan) -> CardKind:
    tags = ("toedit", "hf-toedit", "synthetic", "token-editing")
    return CardKind(EditCardData, edit_section, draw_edit_plots, "edited with ToEdit", tags)


def _score_kind(plan: Plan) -> CardKind:
    # Imported here because scorers need `datasets`, and cards of edits should not wait for that import.
    from hf_toedit.cards.score_card import score_section
    from hf_toedit.cards.score_data import ScoreCardData, score_of
    from hf_toedit.cards.score_plots import draw_score_plots
    from hf_toedit.cards.scorer_words import scorer_words

    words = scorer_words(score_of(plan).scorer)
    return CardKind(ScoreCardData, score_section, draw_score_plots, words.title, ("hf-toedit", "scores", *words.tags))


def _select_kind(plan: Plan) -> CardKind:
    from hf_toedit.cards.select_card import select_section, select_title

    return CardKind(CardData, select_section, lambda data: {}, select_title(plan), ("hf-toedit", "data-selection"))


def _mix_kind(plan: Plan) -> CardKind:
    from hf_toedit.cards.mix_card import mix_section

    return CardKind(CardData, mix_section, lambda data: {}, "mixed", ("hf-toedit", "data-mixture"))


def _generate_kind(plan: Plan) -> CardKind:
    from hf_toedit.cards.generate_card import GenerateCardData, generate_section

    tags = ("hf-toedit", "synthetic", "text-generation")
    return CardKind(GenerateCardData, generate_section, lambda data: {}, "with generated candidates", tags)


def _plain_kind(plan: Plan) -> CardKind:
    return CardKind(CardData, plain_section, lambda data: {}, plan.task.done)


KINDS: dict[str, Callable[[Plan], CardKind]] = {
    "edit": _edit_kind,
    "generate": _generate_kind,
    "mix": _mix_kind,
    "score": _score_kind,
    "select": _select_kind,
}
"""Card kinds by kind of task."""


def card_kind(plan: Plan) -> CardKind:
    """Return how to build the card of a run; a plain card if the kind of its task is unknown."""
    return KINDS.get(plan.task.kind, _plain_kind)(plan)


def card_data(plan: Plan, folder: RunFolder, *, repo_id: str | None = None, prefix: str = "") -> CardData:
    """Return the card data of a finished run; see `CardData.from_run`."""
    return card_kind(plan).data.from_run(plan, folder, repo_id=repo_id, prefix=prefix)


def render_card(data: CardData, existing: str | None = None) -> str:
    """Write a `README.md`: front matter that `datasets` and the Hub understand, and a section about the run.

    Args:
        data: The run's card data.
        existing: The existing README; text that people wrote in it is kept.

    Raises:
        RunError: The existing README cannot be parsed.
    """
    kind = card_kind(data.plan)
    name = title(data, kind.words)
    heading = (
        f"## {markdown(data.prefix)}" if data.prefix else f"## {markdown(kind.words[:1].upper() + kind.words[1:])}"
    )
    if not (existing or "").strip():
        heading = f"# {markdown(name)}\n\n{heading}" if data.prefix else f"# {markdown(name)}"
    return merged(existing, metadata(data, name, kind.tags), kind.section(data), data.prefix, heading)


def write_card(plan: Plan, folder: RunFolder) -> list[AnyPath]:
    """Write the card of a finished run and its pictures into the run folder; each file is written atomically.

    Args:
        plan: The run's plan.
        folder: The run folder.

    Returns:
        The paths of the files.

    Raises:
        RunError: The run is not finished, its card cannot be parsed, or the folder cannot be written.
        UsageError: The run has no rows.
    """
    plan.check_rows("described by a card")
    path = folder.root / README
    try:
        existing = path.read_bytes().decode() if path.exists() else None
    except UnicodeDecodeError as error:
        raise RunError(f"{path} is not UTF-8. Fix it, or move it away; it was not overwritten.") from error
    data = card_data(plan, folder)
    card = render_card(data, existing)
    files = {f"{ASSETS}/{name}": image for name, image in card_kind(plan).plots(data).items()} | {README: card.encode()}
    for name, content in files.items():
        folder.update_bytes(name, content)
    return [folder.root / name for name in files]
