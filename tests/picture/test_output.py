"""Results in notebooks: texts are escaped, the size is bounded, and omissions are stated."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape

import numpy as np
import pytest

from hf_toedit import EditConfig, EditResult, EditStats, ToEditor, ToEditProcessor
from hf_toedit.cards.escape import printable
from hf_toedit.picture.output import MAX_CHARACTERS, MAX_DOCUMENTS, stats_html
from hf_toedit.place_kinds import KINDS, counted_kinds
from tests.picture.conftest import HOSTILE
from tests.picture.test_html import Parsed, shown
from tests.shared import texts

TAGS = {"div", "style", "section", "p", "ul", "li", "span", "del", "ins", "table", "caption", "thead", "tbody", "tr",
        "th", "td"}  # fmt: skip


def output(shows: EditResult | EditStats) -> str:
    """Return the cell output of a notebook, after checking that its HTML is harmless."""
    markup = shows._repr_html_()
    assert markup is not None
    tags = Parsed(markup).tags
    assert {tag for tag, _ in tags} <= TAGS
    names = {name for _, attributes in tags for name in attributes}
    assert names <= {"class", "title", "role", "aria-label", "scope", "tabindex"}
    assert [tag for tag, _ in tags].count("style") == 1
    assert not re.search(r"url\(|@import|https?:", markup.partition("</style>")[0])
    return markup


def read(markup: str) -> list[str]:
    """Return the original texts."""
    inner = re.findall(r'<div class="te-text">(.*?)</div>', markup, re.DOTALL)
    return ["".join(Parsed(f'<div class="te-text">{text}</div>').texts) for text in inner]


@pytest.mark.parametrize("first", range(0, len(HOSTILE), MAX_DOCUMENTS))
def test_whatever_a_text_holds_is_shown_as_text(editor: ToEditor, first: int) -> None:
    given = HOSTILE[first : first + MAX_DOCUMENTS]
    markup = output(editor.edit(given))
    assert read(markup) == [shown(text) for text in given if text]
    assert "not shown" not in markup
    for text in given:
        assert not text or "documents[0]: " in markup


def test_every_token_is_coloured_and_tells_its_probability(editor: ToEditor) -> None:
    result = editor.edit([texts("synthetic_tinystories_500")[0][:300]])
    markup = output(result)
    marked = [attributes for tag, attributes in Parsed(markup).tags if tag == "span" and "title" in attributes]
    tokens = [token for token in result.tokens(0) if token.text]
    assert len(marked) == len(tokens)
    for attributes, token in zip(marked, tokens, strict=True):
        classes, first, *candidates = [str(attributes["class"]), *str(attributes["title"]).split("\n")]
        assert first.startswith(f"“{printable(token.text)}”, ")
        p = re.search(r"p ([\d.e-]+)", first)
        assert (p is None) == (token.probability is None)
        assert p is None or float(p[1]) == pytest.approx(token.probability, rel=0.5, abs=6e-5)
        assert ("te-selected" in classes) == token.selected == bool(candidates)
        assert ("te-changed" in classes) == (token.replacement is not None) == ("selected and changed" in first)
    assert f"selected: p ≥ {editor.config.threshold:g}" in unescape(markup)
    assert f"documents[0]: {len(result.tokens(0))} tokens, {result.stats.num_selected} selected" in markup


def test_what_is_shown_is_bounded_and_what_is_left_out_is_told(editor: ToEditor) -> None:
    """Truncated tokens do not add to the size."""
    long = " ".join(texts("synthetic_tinystories_500")[:40])
    result = editor.edit([long, None, long[:MAX_CHARACTERS], *["a"] * 6])
    markup = output(result)
    assert read(markup) == [shown(long[:MAX_CHARACTERS]), shown(long[:MAX_CHARACTERS])]
    assert f"{len(long) - MAX_CHARACTERS:,} more characters not shown." in markup
    assert markup.count("not shown.") == 2
    assert f"{len(result.documents) - MAX_DOCUMENTS} more documents not shown." in markup
    assert len(markup) < 500_000
    assert "documents[1]: not read, unchanged: null" in markup


def test_a_text_that_was_not_read_is_cut_as_well(editor: ToEditor) -> None:
    """A token that does not fit is not shown in part."""
    spaces = editor.edit([" " * (MAX_CHARACTERS + 1)])
    assert "1 more character not shown." in output(spaces)
    assert read(output(spaces)) == [" " * MAX_CHARACTERS]


def test_tokens_without_a_probability_are_marked_so(editor: ToEditor) -> None:
    """Pruning, for example, omits their probabilities."""
    result = editor.edit(["One day."])
    reading = result.documents[0].reading
    assert reading is not None
    scores = replace(reading.scores, logprobs=np.full_like(reading.scores.logprobs, np.nan))
    document = replace(result.documents[0], reading=replace(reading, scores=scores))
    markup = output(replace(result, documents=[document]))
    assert markup.count('class="te-t te-unscored') == markup.count("not scored") == len(result.tokens(0))


def test_nothing_is_still_shown(editor: ToEditor) -> None:
    result = editor.edit([])
    assert repr(result) == "EditResult(0 documents, 0 tokens, 0 % selected, 0 % changed, generation 1)"
    assert "0 documents" in output(result)
    assert "documents" in output(EditStats())


def test_statistics_are_a_table(editor: ToEditor) -> None:
    first = editor.edit([*texts("synthetic_tinystories_500")[:3], None, "<b>"])
    second = editor.edit(first)
    markup = output(first.stats)
    for name, value in [
        ("documents", "5"),
        ("skipped: null", "1"),
        ("tokens", f"{first.stats.num_tokens:,}"),
        ("selected", f"{first.stats.num_selected:,} ({first.stats.selected_rate:.2%})"),
        ("perplexity", f"{first.stats.perplexity:,.2f}"),
        *(
            (f"changed: {KINDS[kind]}", f"{counts.num_changed:,} ({counts.num_changed / first.stats.num_changed:.1%})")
            for kind, counts in first.stats.kinds.items()
            if counts.num_changed
        ),
    ]:
        assert f'<th scope="row">{name}</th><td>{value}</td>' in markup
    assert markup.count("changed: ") >= 2
    assert f"changed by kind: {counted_kinds(first.stats.num_changed_by_kind)}" in output(first)
    both = stats_html([first.stats, second.stats])
    assert '<th scope="row">changed, gen 2</th>' in both and '<th scope="col">inside a word</th>' in both
    assert f"<td>{second.stats.selected_rate / first.stats.selected_rate:.3f}</td>" in both
    assert set(tag for tag, _ in Parsed(both).tags) <= TAGS


def test_one_line_tells_the_figures(editor: ToEditor) -> None:
    stats = EditStats(num_documents=2, num_tokens=1000, num_selected=124, num_changed=85)
    assert repr(stats) == "EditStats(2 documents, 1,000 tokens, 12.4 % selected, 8.5 % changed)"
    stats = EditStats(num_documents=3, num_skipped={"null": 1}, num_tokens=8000, num_changed=1, num_dropped=80)
    assert (
        repr(stats) == "EditStats(3 documents (1 skipped), 8,000 tokens, 0 % selected, 0.0125 % changed, 1 % dropped)"
    )
    result = editor.edit(editor.edit(["One day."]))
    assert re.fullmatch(
        r"EditResult\(1 document, \d+ tokens, .* % selected, .* % changed, generation 2\)", repr(result)
    )


def test_one_line_tells_the_settings_that_are_not_the_defaults(stories_prior) -> None:
    assert repr(ToEditor(stories_prior)) == f"ToEditor({stories_prior.name!r})"
    config = EditConfig(threshold=0.9, protect=("urls",), seed=3)
    assert repr(ToEditor(stories_prior, config)).endswith(", threshold=0.9, protect=('urls',), seed=3)")
    assert repr(ToEditProcessor()) == "ToEditProcessor('embedded')"
    processor = ToEditProcessor(
        messages_column="chat", edit_log_column=None, generation=2, device="cpu", prune=True, token_budget=64, top_k=4
    )
    assert repr(processor) == (
        "ToEditProcessor('embedded', messages_column='chat', generation=2, edit_log_column=None, device='cpu', "
        "prune=True, token_budget=64, top_k=4)"
    )


def test_a_class_of_ones_own_is_shown_as_what_it_is_made_from() -> None:
    class Mine(EditStats):
        pass

    assert Mine()._repr_html_() == EditStats()._repr_html_()
