"""The contracts of editing, with awkward texts, every kind of tokenizer and random settings.

`HF_TOEDIT_EXAMPLES` sets the number of examples per test; the default is fast.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Sequence
from functools import cache

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from hf_toedit import ToEditor
from hf_toedit.config import SAMPLERS, SELECT_MODES, EditConfig
from hf_toedit.editing.alignment import CAUSES, Document
from hf_toedit.editing.editor import Editor
from hf_toedit.editing.passage import Passage
from hf_toedit.editing.piece_table import Edit, PieceTable, Replacement
from hf_toedit.editing.prior import DocumentScores
from hf_toedit.editing.result import EditResult
from hf_toedit.editing.selection import SelectionRule
from hf_toedit.errors import PriorError, ToEditError, UsageError
from tests.editing.tokenizers import ALL_TOKENIZERS, aligner, tokenizer
from tests.shared import texts

EXAMPLES = int(os.environ.get("HF_TOEDIT_EXAMPLES", "40"))
NUM_CONFIGS = max(EXAMPLES // 20, 6)
CANDIDATES = 12


class HashPrior:
    """A language model whose probabilities are hashes of a token, the previous token and its position.

    A third of the tokens are nearly certain, and a sixth have almost no probability. Candidates are any ids: special
    tokens, parts of characters, and ids beyond the vocabulary.
    """

    name = "hash"
    revision = "1"
    dtype = "float32"
    concurrency = 1

    def __init__(self, backend: Tokenizer, has_bos: bool = True) -> None:
        self.tokenizer = backend
        self._vocabulary = backend.get_vocab_size() + 5
        self._has_bos = has_bos

    def render(self, messages: list[dict]) -> None:
        return None

    def score(self, documents: Sequence[Document], rule: SelectionRule) -> list[DocumentScores]:
        return [self._score(document, rule) for document in documents]

    def _score(self, document: Document, rule: SelectionRule) -> DocumentScores:
        ids = document.ids.astype(np.uint64)
        before = np.concatenate([[0], ids[:-1]]).astype(np.uint64)
        keys = ids + before * np.uint64(1 << 20) + np.arange(len(ids), dtype=np.uint64) * np.uint64(1 << 40)
        uniform = _hash(keys)
        logprobs = np.log(np.select([uniform < 1 / 3, uniform < 1 / 2], [0.9999, 1e-5], uniform)).astype(np.float32)
        logprobs[~document.own] = np.nan
        if not self._has_bos:
            logprobs[:1] = np.nan
        positions = np.flatnonzero(rule.selected(logprobs) & document.eligible)
        width = min(CANDIDATES, rule.num_candidates)
        columns = np.arange(width, dtype=np.uint64)
        noise = _hash(keys[positions, None] + columns * np.uint64(1 << 56))
        steps = 1 + (noise * (self._vocabulary // CANDIDATES)).astype(np.int64)
        candidates = (
            ids[positions, None].astype(np.int64) - steps[:, :1] + np.cumsum(steps, axis=1)
        ) % self._vocabulary
        weights = -np.sort(-noise, axis=1) + 0.01
        candidate_logprobs = np.log(weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
        if rule.config.sampler == "top-p":
            candidate_logprobs[noise < 0.1] = -np.inf
        return DocumentScores(logprobs, positions, candidates.astype(np.int32), candidate_logprobs)


def _hash(keys: np.ndarray) -> np.ndarray:
    """Apply the last steps of SplitMix64; returns float64 in [0, 1)."""
    mixed = (keys + np.uint64(0x9E3779B97F4A7C15)) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53


@cache
def editors(name: str) -> list[ToEditor]:
    """Return editors with random settings; few copies of a tokenizer are made, because copying large ones is slow."""
    rng = random.Random(name)
    made = []
    for number in range(NUM_CONFIGS):
        config = EditConfig(
            select=SELECT_MODES[number % 5 % 3],
            threshold=rng.choice([0.5, 0.99]),
            sampler=SAMPLERS[number % 3],
            top_k=rng.choice([1, 8, 64]),
            temperature=rng.choice([0.5, 1.0, 1.5, 100.0]),
            exclude_original=rng.random() < 0.5,
            drop_below=0.01 if number % 5 == 2 else rng.choice([None, 0.001, 1.0]) if number % 2 else None,
            protect=tuple(
                rng.sample(["numbers", "urls", "emails", "code", "math", "handles", "re:[aeiou]"], k=number % 3)
            ),
            seed=rng.randrange(-(2**63), 2**63),
        )
        made.append(ToEditor(HashPrior(tokenizer(name), has_bos=number % 2 == 0), config))
    return made


@cache
def real_rows() -> list[str]:
    names = ("awkward_blns", "awkward_emoji", "multilingual_udhr2", "multilingual_mgsm")
    return [row for name in names for row in texts(name)[::5] if row]


ODDITIES = [
    "\ud7ff\ue000", "a\u0301\u0327", "\u0301", "\x00", "\u202eabc\u202c", "\u2066x\u2069", "\ufeff", "\U0010ffff",
    "👩\u200d👩\u200d👧", "🏳\ufe0f\u200d🌈", "🇫🇷", "नि", "각", "각", "ﬁ½", "İß", "\u2581", "Ġ", "##s", "</w>", "<0x0A>",
    "<s>", "</s>", "<unk>", "<|endoftext|>", "[MASK]", " \t\r\n \n", "\u3000\u00a0\u2003", "   ", "12.5% of $5", "`x`",
]  # fmt: skip


@st.composite
def slices(draw: st.DrawFn) -> str:
    row = draw(st.sampled_from(real_rows()))
    start = draw(st.integers(0, max(len(row) - 1, 0)))
    return row[start : start + draw(st.integers(1, 150))]


fragments = st.one_of(
    slices(), slices(), st.sampled_from(ODDITIES), st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
)
documents = st.lists(fragments, min_size=1, max_size=4).map("".join)
quick = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def spliced(text: str, replacements: Sequence[Replacement]) -> str:
    """Apply replacements to a text, from last to first."""
    for start, end, new in reversed(replacements):
        text = text[:start] + new + text[end:]
    return text


def assert_in_order(spans: Sequence[Replacement | Edit], length: int) -> None:
    at = 0
    for span in spans:
        assert at <= span.start <= span.end <= length
        at = span.end


def check(result: EditResult, inputs: list[str], sources: list[str]) -> None:
    """Check one generation of texts against its input and its sources; only empty texts may be skipped."""
    for document, text, source in zip(result.documents, inputs, sources, strict=True):
        if not text:
            assert document.skipped == "empty" and document.table.revert() == source
            continue
        reading, edited = document.reading, document.text
        replacements = reading.replacements()
        assert_in_order(replacements, len(text))
        assert edited == spliced(text, replacements)
        edited.encode("utf-8")

        tokens = reading.document
        touched = [*reading.changed, *reading.dropped.tolist()]
        assert len(set(touched)) == len(touched) == len(replacements)
        assert set(reading.changed) <= set(reading.scores.positions.tolist())
        assert tokens.eligible[touched].all()
        spans = {(int(tokens.starts[position]), int(tokens.ends[position])) for position in touched}
        assert {(start, end) for start, end, _ in replacements} == spans
        for start, end, new in replacements:
            assert text[start:end] and text[start:end] != new

        log = json.loads(json.dumps(document.to_log()))
        assert_in_order(document.table.edits, len(edited))
        assert PieceTable.from_log(edited, log["edits"]).revert() == source
        assert all(edited[start:end] != old for start, end, old, _ in document.table.edits)
        if not replacements:
            assert edited == text
    check_counts(result)


def check_counts(result: EditResult) -> None:
    stats = result.stats
    for name in ("num_tokens", "num_selected", "num_changed", "num_dropped"):
        assert getattr(stats, name) == sum(document.to_log()[name] for document in result.documents)
    readings = [document.reading for document in result.documents if document.reading]
    assert stats.num_documents == len(result.documents)
    assert stats.num_rows == len(result.passages)
    assert stats.num_scored == sum(stats.probability_histogram)
    assert stats.num_changed <= stats.num_selected <= stats.num_scored <= stats.num_tokens
    causes = np.concatenate([np.empty(0, np.uint8), *(reading.document.causes for reading in readings)])
    assert stats.num_ineligible == {
        why: int((causes == cause).sum()) for cause, why in CAUSES.items() if cause in causes
    }


@pytest.mark.parametrize("name", ALL_TOKENIZERS)
def test_editing_is_lossless_and_reversible(name):
    num_changed = num_dropped = 0

    @settings(quick, max_examples=EXAMPLES)
    @given(st.sampled_from(editors(name)), st.lists(documents.filter(bool), min_size=1, max_size=3), st.integers(1, 4))
    def run(editor: ToEditor, sources: list[str], generations: int) -> None:
        nonlocal num_changed, num_dropped
        result = editor.edit(sources)
        check(result, sources, sources)
        made = [result.stats]
        for generation in range(2, generations + 1):
            inputs = result.texts
            if not all(inputs):
                break  # all tokens were dropped
            logs = [PieceTable.from_log(document.text, document.to_log()["edits"]) for document in result.documents]
            result = editor.edit(result)
            check(result, inputs, sources)
            made.append(result.stats)
            # A run knows the previous generation only from its log.
            assert editor.edit(inputs, generation=generation, tables=logs).edits == result.edits
        assert result.revert() == sources
        num_changed += sum(stats.num_changed for stats in made)
        num_dropped += sum(stats.num_dropped for stats in made)

    run()
    for editor in editors(name):  # examples may lack one that changes or drops anything
        run.hypothesis.inner_test(editor, ["Once upon a time, in 1990. " * 20], 2)
    assert num_changed and num_dropped


@pytest.mark.parametrize("name", ALL_TOKENIZERS)
def test_draws_do_not_depend_on_the_batch(name):
    @settings(quick, max_examples=EXAMPLES // 3)
    @given(
        st.sampled_from(editors(name)), st.lists(documents, min_size=2, max_size=6), st.randoms(use_true_random=False)
    )
    def run(editor: ToEditor, sources: list[str], shuffler: random.Random) -> None:
        whole = editor.edit(sources)
        alone = [editor.edit([source]).documents[0].table for source in sources]
        assert [document.table for document in whole.documents] == alone
        order = list(range(len(sources)))
        shuffler.shuffle(order)
        shuffled = editor.edit([sources[index] for index in order])
        assert [document.table for document in shuffled.documents] == [alone[index] for index in order]
        assert shuffled.stats.probability_histogram == whole.stats.probability_histogram

    run()


@st.composite
def passages(draw: st.DrawFn) -> Passage:
    """Texts, some of them empty, with context on both sides; all may begin or end in the middle of a token."""
    text, spans = "", []
    for _ in range(draw(st.integers(0, 3))):
        text += draw(documents)
        own = draw(documents)
        spans.append((len(text), len(text) + len(own)))
        text += own
    return Passage(text + draw(documents), tuple(spans))


@pytest.mark.parametrize("name", ALL_TOKENIZERS)
def test_context_is_only_read(name):
    num_changed = num_context = 0

    @settings(quick, max_examples=EXAMPLES)
    @given(st.sampled_from(editors(name)), st.lists(passages(), min_size=1, max_size=3))
    def run(editor: ToEditor, given: list[Passage]) -> None:
        nonlocal num_changed, num_context
        sources = [text for passage in given for text in passage.texts]
        result = editor.edit(given)
        alone = [editor.edit([passage]).texts for passage in given]
        assert result.texts == [text for texts in alone for text in texts]
        for generation in range(1, 4):
            inputs = [text for passage in result.passages for text in passage.texts]
            check(result, inputs, sources)
            for passage, now in zip(given, result.edited_passages(), strict=True):
                assert now.with_texts(passage.texts) == passage
            assert result.stats.num_rows_changed == sum(
                now != before for now, before in zip(result.edited_passages(), result.passages, strict=True)
            )
            num_changed += result.stats.num_changed
            num_context += sum(len(passage.text) for passage in given) - sum(map(len, sources))
            if generation < 3:
                result = editor.edit(result)
        assert result.revert() == sources

    run()
    story = "Once upon a time, in 1990. " * 20
    for editor in editors(name):  # examples may lack one that changes anything
        run.hypothesis.inner_test(editor, [Passage(story, ((9, len(story) - 9),))])
    assert num_changed and num_context


@pytest.mark.parametrize("name", ALL_TOKENIZERS)
def test_a_passage_is_tokenized_whole(name):
    @settings(quick, max_examples=EXAMPLES // 3)
    @given(passages())
    def run(passage: Passage) -> None:
        (whole,) = aligner(name).align([passage.text])
        (tokens,) = aligner(name).align([passage])
        assert np.array_equal(tokens.ids, whole.ids) and np.array_equal(tokens.starts, whole.starts)
        assert set(tokens.causes[tokens.own] - whole.causes[tokens.own]) <= {0}
        spans = [span for span in passage.spans if span[0] < span[1]]
        for start, end, own in zip(tokens.starts, tokens.ends, tokens.own, strict=True):
            inside = any(first <= start and end <= stop for first, stop in spans)
            assert own == inside or start == end

    run()


@settings(quick, max_examples=EXAMPLES)
@given(st.lists(st.one_of(documents, st.sampled_from([None, "", "a\ud800b", 7])), max_size=8))
def test_what_cannot_be_read_passes_through(rows):
    editor = editors("stories260K")[0]
    rows = [*rows, "A list without any text is refused."]
    result = editor.edit(rows)
    causes = {None: "null", "": "empty", "a\ud800b": "invalid_unicode", 7: "not_text"}
    assert [document.skipped for document in result.documents] == [causes.get(row) for row in rows]
    for row, document in zip(rows, result.documents, strict=True):
        if document.skipped:
            assert document.text == (row if isinstance(row, str) else None)
            assert document.to_log()["edits"] == []
    assert sum(result.stats.num_skipped.values()) == sum(row in causes for row in rows)
    check_counts(result)


def test_texts_in_any_iterable_are_read_in_their_order():
    editor = editors("stories260K")[0]
    stories = [text[:100] for text in texts("synthetic_tinystories_500")[:3]]
    expected = editor.edit(stories, contexts=[*stories[1:], ""])
    series = pd.Series(stories, index=[2, 0, 1])  # its labels are other numbers than the places of its texts
    contexts = pd.Series([*stories[1:], ""], index=[1, 2, 0])
    for given_texts, given_contexts in ((series, contexts), (iter(stories), iter([*stories[1:], ""]))):
        assert editor.edit(given_texts, contexts=given_contexts).texts == expected.texts
    missing = editor.edit(pd.Series([stories[0], None]), contexts=pd.Series([None, None, ""])[:2])  # None becomes NaN
    assert missing == editor.edit([stories[0], None], contexts=[None, None])


@pytest.mark.parametrize(
    "wrong", [[b"bytes"], [["a", "list"]], Dataset.from_dict({"text": ["a"]}), pd.DataFrame({"text": ["a"]}), [7, None]]
)
def test_values_of_which_none_is_a_text_are_refused(wrong):
    with pytest.raises(UsageError, match="^texts must be a list of strings, not of"):
        editors("stories260K")[0].edit(wrong)


def test_results_are_equal_if_their_texts_and_edits_are():
    editor = editors("stories260K")[0]
    first, again, other = (editor.edit(given) for given in (["Once upon a time."], ["Once upon a time."], ["Other."]))
    assert first == again and first.documents == again.documents and editor.edit(first) == editor.edit(again)
    assert first != other and first != editor.edit(["Once upon a time."], generation=2)
    with pytest.raises(UsageError, match="generation must be a whole number, not '2'"):
        editor.edit(["a"], generation="2")


@pytest.mark.parametrize("wrong", [b"a", {"a": "b"}, None, 5])
def test_what_is_not_a_list_of_texts(wrong):
    editor = editors("stories260K")[0]
    with pytest.raises(UsageError, match="list"):
        editor.edit(wrong)
    with pytest.raises(UsageError, match="contexts must be a list"):
        editor.edit(["a"], contexts=5 if wrong is None else wrong)


def test_an_editor_needs_a_loaded_prior_and_a_config():
    with pytest.raises(UsageError, match=r"Load it: ToEditor.from_pretrained\('embedded'\)"):
        Editor("embedded")
    with pytest.raises(UsageError, match="config must be an EditConfig"):
        Editor(editors("stories260K")[0].prior, {"threshold": 0.5})


def test_what_cannot_be_read_of_a_passage():
    editor = editors("stories260K")[0]
    story = texts("synthetic_tinystories_500")[0][:100]
    turns = Passage(story + "Hi." + story, ((0, 100), (100, 100), (103, 203)))
    result = editor.edit([turns, Passage("a\ud800" + story, ((2, 102),)), Passage(story, ()), story, None])
    assert [document.skipped for document in result.documents] == [None, "empty", None, "invalid_unicode", None, "null"]
    assert (result.stats.num_rows, result.stats.num_documents) == (5, 6)
    assert result.stats.num_skipped == {"empty": 1, "invalid_unicode": 1, "null": 1}
    again = editor.edit(result)
    assert again.revert() == [story, "", story, story, story, None]
    assert again.passages[0].text.partition("Hi.")[0] == result.texts[0]


class FailingPrior(HashPrior):
    """A prior that fails on texts with a certain word."""

    def __init__(self, backend: Tokenizer, word: str, error: Exception) -> None:
        super().__init__(backend)
        self._word, self._error = word, error

    def _score(self, document: Document, rule: SelectionRule) -> DocumentScores:
        if self._word in document.text:
            raise self._error
        return super()._score(document, rule)


def test_a_prior_that_fails_on_a_passage_leaves_its_texts():
    story = texts("synthetic_tinystories_500")[0][:100]
    given = [Passage("one bad two", ((0, 3), (3, 3), (8, 11))), story]
    result = ToEditor(FailingPrior(tokenizer("gpt2"), "bad", ValueError("cannot"))).edit(given)
    assert [document.skipped for document in result.documents] == ["prior_failed", "empty", "prior_failed", None]
    assert result.texts[:3] == ["one", "", "two"]
    # An error of the prior itself, such as running out of memory, is raised, and is not counted as a skipped text.
    with pytest.raises(PriorError, match="out of memory"):
        ToEditor(FailingPrior(tokenizer("gpt2"), "bad", PriorError("out of memory"))).edit(given)


def test_contexts():
    editor = editors("stories260K")[0]
    story, other = (text[:200] for text in texts("synthetic_tinystories_500")[:2])
    result = editor.edit([story, other, None], contexts=[other, None, "before nothing"])
    assert result.passages[:2] == [Passage.of(story, [other]), Passage.of(other)]
    assert result.texts == editor.edit([Passage.of(story, [other]), other, None]).texts
    scores = [editor.edit([story], contexts=[context]).documents[0].reading.nll for context in (other, None)]
    assert scores[0] != scores[1]
    for wrong in ([other], "text"):
        with pytest.raises(UsageError, match="one for each of the 2 texts"):
            editor.edit([story, other], contexts=wrong)
    with pytest.raises(UsageError, match="its own context"):
        editor.edit([Passage.of(story)], contexts=[other])
    with pytest.raises(UsageError, match="Leave the contexts out"):
        editor.edit(result, contexts=[other, None, None])


def test_patterns_protect_within_a_text_only():
    editor = ToEditor(HashPrior(tokenizer("gpt2")), EditConfig(select="none", drop_below=1.0, protect=("code",)))
    # The context opens a code fence that the text closes: only positions within the text count.
    passage = Passage.of("so it is\n```\nand `this` stays", ["```\nlet it be"])
    assert editor.edit([passage]).texts == ["\n```\nand `this` stays"]
    assert editor.edit(["```\nlet it be\n```"]).texts == ["```\nlet it be\n```"]


def test_distance_from_the_source():
    editor = ToEditor(HashPrior(tokenizer("gpt2")), EditConfig(temperature=100.0, threshold=0.5, drop_below=0.001))
    stories = [story[:300] for story in texts("synthetic_tinystories_500")[:5]]
    result = editor.edit([*stories, ""])
    unchanged = []
    for _ in range(3):
        stats = result.stats
        assert stats.num_characters == sum(map(len, stories))
        pieces = [document.table.edits for document in result.documents]
        assert stats.num_characters_unchanged == stats.num_characters - sum(len(e.source) for es in pieces for e in es)
        tables = [document.table for document in result.documents]
        unchanged.append((stats.num_characters_unchanged, stats.num_tokens_unchanged))
        result, unknown = editor.edit(result), editor.edit(result.texts, generation=result.generation + 1)
        assert unknown.texts == result.texts
        assert unknown.stats.num_characters == unknown.stats.num_tokens_unchanged == 0
        # Count token by token the unchanged tokens that do not overlap earlier edits.
        count = 0
        for document, table in zip(result.documents[:5], tables, strict=False):
            tokens, touched = document.reading.document, {*document.reading.changed, *document.reading.dropped}
            for position, (start, end) in enumerate(zip(tokens.starts, tokens.ends, strict=True)):
                edited = any(start < edit.end and edit.start < end for edit in table.edits)
                count += not edited and position not in touched
        assert result.stats.num_tokens_unchanged == count
    assert unchanged == sorted(unchanged, reverse=True) and len(set(unchanged)) == 3


@settings(quick, max_examples=EXAMPLES)
@given(documents)
def test_alignment_never_misplaces_a_token(text):
    for name in ALL_TOKENIZERS:
        (tokens,) = aligner(name).align([text])
        assert (0 <= tokens.starts).all() and (tokens.starts <= tokens.ends).all() and (tokens.ends <= len(text)).all()
        kept = np.flatnonzero(tokens.eligible)
        assert (tokens.starts[kept] < tokens.ends[kept]).all()
        assert (tokens.ends[kept][:-1] <= tokens.starts[kept][1:]).all()
        for index in kept:
            surface = aligner(name).surface(int(tokens.ids[index]))
            assert text[tokens.starts[index] : tokens.ends[index]] == surface.text


@st.composite
def splices(draw: st.DrawFn, length: int, min_span: int = 0) -> list[Replacement]:
    """Ascending replacements of a text: insertions, deletions and adjacent ones."""
    cuts = sorted(draw(st.lists(st.integers(0, length), max_size=8)))
    pairs = zip(cuts[::2], cuts[1::2], strict=False)
    return [Replacement(start, end, draw(st.text("ab", max_size=3))) for start, end in pairs if end - start >= min_span]


@settings(quick, max_examples=5 * EXAMPLES)
@given(st.data(), st.text("ab\U0001f600", max_size=20), st.integers(1, 5))
def test_piece_tables_compose_and_revert(data, source, generations):
    table = PieceTable(source)
    for generation in range(1, generations + 1):
        replacements = data.draw(splices(len(table.text)))
        expected = spliced(table.text, replacements)
        before = {edit.generation for edit in table.edits}
        table = table.apply(replacements, generation)
        assert table.text == expected
        assert_in_order(table.edits, len(table.text))
        assert all(table.text[edit.start : edit.end] != edit.source for edit in table.edits)
        assert {edit.generation for edit in table.edits} <= before | {generation}
        table = PieceTable.from_log(table.text, json.loads(json.dumps(table.to_log())))
        assert table.revert() == source


@settings(quick, max_examples=EXAMPLES)
@given(st.data(), st.text("ab\U0001f600", max_size=12), st.integers(1, 3))
def test_spans_that_edits_touch(data, source, generations):
    table = PieceTable(source)
    for generation in range(1, generations + 1):
        table = table.apply(data.draw(splices(len(table.text))), generation)
    ends = range(len(table.text) + 1)
    spans = np.array([(start, end) for end in ends for start in range(end)], int).reshape(-1, 2)
    expected = [any(edit.start < end and start < edit.end for edit in table.edits) for start, end in spans]
    assert table.touched(spans[:, 0], spans[:, 1]).tolist() == expected


def test_adjacent_edits_stay_apart():
    once = PieceTable("abcd").apply([Replacement(0, 1, "x"), Replacement(1, 2, "yy")], 1)
    assert once.edits == (Edit(0, 1, "a", 1), Edit(1, 3, "b", 1))
    again = once.apply([Replacement(3, 4, "z")], 2)
    assert again.edits == (*once.edits, Edit(3, 4, "c", 2))


_MAYBE = st.none() | st.integers(-1, 6)


@settings(quick, max_examples=5 * EXAMPLES)
@given(
    st.text("ab\U0001f600", max_size=5),
    st.lists(
        st.builds(Edit, _MAYBE, _MAYBE, st.none() | st.text("ab", max_size=2), st.none() | st.just(1)), max_size=3
    ),
)
def test_a_log_that_cannot_be_of_its_text_is_refused(text, edits):
    """Invalid logs: null, out of range, overlapping, descending, or with an end before the start."""
    places = [place for edit in edits for place in edit[:2]]
    fits = not any(None in edit for edit in edits) and [0, *places, len(text)] == sorted([0, *places, len(text)])
    if fits:
        assert PieceTable.from_log(text, [edit._asdict() for edit in edits]).edits == tuple(edits)
        return
    for read in (
        PieceTable(text, tuple(edits)).revert,
        lambda: PieceTable.from_log(text, [e._asdict() for e in edits]),
    ):
        with pytest.raises(ToEditError, match="does not fit its text.*get the dataset again"):
            read()


@settings(quick, max_examples=2 * EXAMPLES)
@given(st.data(), st.text("ab\U0001f600", min_size=1, max_size=20))
def test_edits_that_restore_the_source_leave_the_log(data, source):
    replacements = [entry for entry in data.draw(splices(len(source), min_span=1)) if entry.text]
    table = PieceTable(source).apply(replacements, 1)
    back = [Replacement(edit.start, edit.end, edit.source) for edit in table.edits]
    chosen = data.draw(st.lists(st.sampled_from(back), unique=True)) if back else []
    restored = table.apply(sorted(chosen), 2)
    assert len(restored.edits) == len(back) - len(chosen)
    assert {edit.generation for edit in restored.edits} <= {1}
    assert restored.revert() == source
    assert table.apply(back, 2) == PieceTable(source)
