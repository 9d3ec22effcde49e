"""Real rows over three generations: responses after their prompts, conversations, long multilingual texts."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from datasets import Dataset, Features, load_dataset
from hypothesis import given
from hypothesis import strategies as st

from hf_toedit import EditConfig, PieceTable, PriorConfig, ToEditor, load_prior
from hf_toedit.config import TextConfig
from hf_toedit.editing.piece_table import Edit
from hf_toedit.errors import SourceError
from hf_toedit.rows.logs import UnrevertibleRows
from hf_toedit.rows.rows import (
    check_log_column,
    edit_table,
    output_features,
    piece_tables,
    reverted_table,
    revertible_rows,
)
from hf_toedit.rows.texts import Texts
from hf_toedit.stats import EditStats
from tests.shared import shared

TEMPLATE = (
    "{% for message in messages %}"
    "{% if message.weight is none %}{{ raise_exception('a null is not absent') }}{% endif %}"
    "{% for call in message.calls or [] if call | length > 1 %}{{ raise_exception('nor in a call') }}{% endfor %}"
    "{% if message.role not in ('system', 'user', 'assistant') %}{{ raise_exception('no such role') }}{% endif %}"
    "<|{{ message.role }}|>\n{{ message.content | trim }}\n"
    "{% endfor %}"
)
GENERATIONS = (1, 2, 3)


def _read(name: str, count: int) -> list[dict[str, Any]]:
    with shared(f"data/{name}.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line) for _, line in zip(range(count), lines, strict=False)]


def _chats(roles: tuple[str, str], keys: tuple[str, str], padding: str = "") -> list[dict[str, Any]]:
    """Instructions as conversations: a turn of another task first, contents that a template strips, other fields."""
    tasks = _read("instruct_seed_tasks", 12)
    rows = []
    for before, task in zip(tasks, tasks[1:], strict=False):
        said = [
            (roles[0], before["instruction"]),
            (roles[1], before["output"]),
            (roles[0], f"{task['instruction']}\n{task['input']}"),
            (roles[1], padding + task["output"] + padding),
        ]
        rows.append({"id": task["id"], "messages": [dict(zip(keys, turn, strict=True), weight=0.5) for turn in said]})
    return rows  # fmt: skip


def _padded_chats() -> list[dict[str, Any]]:
    rows = _chats(("user", "assistant"), ("role", "content"), padding=" \n")
    rows[1]["messages"][1]["content"] = None
    rows[2]["messages"][0]["role"] = "tool"  # refused by the template
    rows[3]["messages"] = []
    rows[4]["messages"] = None
    rows[5]["messages"][1]["content"] = " \n "
    rows[6]["messages"][2]["weight"] = None
    rows[6]["messages"][3]["calls"] = [{"at": 1}, {"to": "x"}]
    rows[7]["messages"].insert(1, None)
    return rows


CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "gsm8k": (
        lambda: _read("math_gsm8k_test", 12),
        {"text_columns": "answer", "context_columns": "question"},
    ),
    "instructions": (
        lambda: _read("instruct_seed_tasks", 12),
        {"text_columns": "output", "context_columns": ("instruction", "input")},
    ),
    "chats": (_padded_chats, {"messages_column": "messages"}),
    "sharegpt": (lambda: _chats(("human", "gpt"), ("from", "value")), {"messages_column": "messages", "roles": "gpt"}),
    "udhr": (lambda: [{"texts": [row["text"][:500] for row in _read("multilingual_udhr2", 24)[n:n + 3]], "n": n}
                      for n in range(0, 24, 3)], {"text_columns": "texts[]"}),
    "columns": (lambda: _read("math_gsm8k_test", 12), {"text_columns": ("question", "answer")}),
}  # fmt: skip


@pytest.fixture(scope="module")
def editor(tmp_path_factory: pytest.TempPathFactory) -> ToEditor:
    """Return an editor that changes many of the tokens; its prior has a chat template."""
    folder = tmp_path_factory.mktemp("prior") / "chat"
    shutil.copytree(shared("models/stories260K"), folder)
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "chat_template": TEMPLATE}))
    return ToEditor(load_prior(PriorConfig(str(folder))), EditConfig(threshold=0.5, temperature=4.0, drop_below=1e-4))


@pytest.fixture(scope="module")
def edited(editor: ToEditor) -> dict[str, tuple[Texts, list[pa.Table], list[EditStats]]]:
    """Return for each case: its texts, tables of the source and of each generation, and statistics of each."""
    done = {}
    for name, (rows, config) in CASES.items():
        texts = Texts(TextConfig(**config))
        tables, stats = [pa.Table.from_pylist(rows())], []
        texts.check(Features.from_arrow_schema(tables[0].schema), "toedit")
        for generation in GENERATIONS:
            table, counted = edit_table(editor, tables[-1], texts, "toedit", generation)
            tables.append(table)
            stats.append(counted)
        done[name] = texts, tables, stats
    return done


@pytest.mark.parametrize("case", CASES)
def test_each_generation_alone_reverts_and_touches_the_texts_only(edited: dict, case: str) -> None:
    texts, (source, *generations), all_stats = edited[case]
    found = texts.read(source)
    for generation, table, stats in zip(GENERATIONS, generations, all_stats, strict=True):
        assert reverted_table(table, texts, "toedit").equals(source)
        now = texts.read(table)
        assert [text._replace(text=None) for text in now] == [text._replace(text=None) for text in found]
        # With the texts of the source in place of its own, it equals the source: nothing else changed.
        restored = texts.write(table, now, [text.text for text in found]).drop_columns("toedit")
        assert restored.equals(source)
        changed = {old.row for old, new in zip(found, now, strict=True) if old.text != new.text}
        assert len(changed) > 5
        logs = table.column("toedit").to_pylist()
        assert {row for row, log in enumerate(logs) if log["edits"]} == changed
        assert {edit["generation"] for log in logs for edit in log["edits"]} == set(range(1, generation + 1))
        _assert_counted(stats, table, texts)


def _assert_counted(stats: EditStats, table: pa.Table, texts: Texts) -> None:
    logs = table.column("toedit").to_pylist()
    for name in ("num_tokens", "num_selected", "num_changed", "num_dropped"):
        assert sum(log[name] for log in logs) == getattr(stats, name) > 0
    # The prior has a BOS, so every token is scored.
    assert sum(log["nll"] * log["num_tokens"] for log in logs if log["num_tokens"]) * 1e9 == pytest.approx(
        stats.nll_nano, rel=1e-5
    )
    entries = [entry for entry in piece_tables(table, texts, "toedit") if entry]
    assert stats.num_characters == sum(entry.num_source for entry in entries)
    assert stats.num_characters_unchanged == sum(entry.num_unchanged for entry in entries)
    assert stats.num_rows == len(table) > stats.num_rows_changed > 0 or stats.num_rows_changed == len(table)
    assert stats.num_documents == len(texts.read(table))


def test_conversations_that_cannot_be_read_pass_through(edited: dict) -> None:
    _, (source, *generations), all_stats = edited["chats"]
    for table, stats in zip(generations, all_stats, strict=True):
        assert stats.num_skipped == {"template_failed": 2, "empty": 1}
        assert table.select(source.column_names).slice(2, 3).equals(source.slice(2, 3))
        assert [log["num_tokens"] for log in table.column("toedit").to_pylist()[2:5]] == [0, 0, 0]
        paths = {edit["path"] for log in table.column("toedit").to_pylist() for edit in log["edits"]}
        assert paths == {f"messages[{index}].content" for index in (1, 2, 3, 4)}, "a null message stands for none"
        for row in table.column("messages").to_pylist()[6:]:
            assert row[-1]["content"].startswith(" \n")
            assert row[-1]["content"].endswith(" \n")


@given(
    lengths=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.text("abc", max_size=2)), max_size=5),
    at=st.floats(0, 1),
)
def test_a_text_cut_anywhere_reverts_as_one(lengths: list[tuple[int, int, str]], at: float) -> None:
    text, edits = "", []
    for kept, edited, source in lengths:
        start = len(text) + kept
        edits.append(Edit(start, start + edited, source, 1))
        text += "k" * kept + "e" * edited
    table = PieceTable(text + "k", tuple(edits))
    parts = table.split(round(at * len(table.text)))
    whole = PieceTable.joined(parts)
    assert whole.text == table.text
    assert whole.revert() == "".join(part.revert() for part in parts) == table.revert()
    for count in ("num_source", "num_unchanged"):
        assert sum(getattr(part, count) for part in parts) == getattr(table, count)


def test_what_is_read_before_a_text_decides_its_edits(editor: ToEditor, edited: dict) -> None:
    texts, (source, first, *_), (stats, *_) = edited["gsm8k"]
    alone, other = edit_table(editor, source, Texts(TextConfig(text_columns="answer")), "toedit", 1)
    assert alone.schema == first.schema
    assert alone.column("answer") != first.column("answer")
    assert stats.nll < other.nll, "the question tells something of the answer"
    assert stats.num_tokens == pytest.approx(other.num_tokens, rel=0.01), "context is not counted"
    rows = source.select(["answer", "question"]).to_pylist()
    rows = [{**row, "question": None if n % 2 else ""} for n, row in enumerate(rows)]
    empty, _ = edit_table(
        editor, pa.Table.from_pylist(rows, source.select(["answer", "question"]).schema), texts, "toedit", 1
    )
    assert empty.column("answer").equals(alone.column("answer"))


def test_without_a_log_earlier_edits_are_unknown(editor: ToEditor) -> None:
    rows, config = CASES["chats"]
    texts = Texts(TextConfig(**config))
    first, known = edit_table(editor, pa.Table.from_pylist(rows()), texts, None, 1)
    _, unknown = edit_table(editor, first, texts, None, 2)
    assert first.column_names == ["id", "messages"]
    assert known.num_characters > known.num_characters_unchanged > 0
    assert unknown.num_characters == unknown.num_characters_unchanged == 0 < unknown.num_tokens


@pytest.mark.parametrize("case", CASES)
def test_datasets_gives_the_output_back_with_its_features(edited: dict, case: str, tmp_path: Path) -> None:
    texts, (source, *_, last), _ = edited[case]
    features = output_features(Features.from_arrow_schema(source.schema), texts, "toedit")
    rows = Dataset(pa.Table.from_arrays(last.columns, schema=features.arrow_schema))
    assert rows.features == features
    rows.to_parquet(tmp_path / "rows.parquet")
    loaded = load_dataset("parquet", data_files=str(tmp_path / "rows.parquet"), cache_dir=str(tmp_path))["train"]
    assert loaded.features == features
    check_log_column(loaded.features, texts, "toedit")
    table = loaded.with_format("arrow")[:]
    assert reverted_table(table, texts, "toedit").cast(source.schema).equals(source)


def test_a_log_of_other_texts_is_refused(edited: dict) -> None:
    texts, (_, table, *_), _ = edited["gsm8k"]
    chats = edited["chats"][0]
    features = Features.from_arrow_schema(table.schema)
    with pytest.raises(SourceError, match="'toedit' is the edit log of other texts"):
        check_log_column(features, chats, "toedit")
    with pytest.raises(SourceError, match="no column 'to_edit'. Did you mean 'toedit'"):
        check_log_column(features, texts, "to_edit")
    with pytest.raises(SourceError, match="'answer' is not an edit log of hf-toedit"):
        check_log_column(features, texts, "answer")
    users = Texts(TextConfig(messages_column="messages", roles="user"))
    with pytest.raises(SourceError, match=r"describes messages\[1\].content in a row.*--roles"):
        reverted_table(edited["chats"][1][1], users, "toedit")
    with pytest.raises(SourceError, match="describes answer in a row"):
        reverted_table(edited["columns"][1][1], Texts(TextConfig(text_columns=("question", "text"))), "toedit")


def _first(**changes: Any) -> Callable[[list[Any]], list[Any]]:
    return lambda edits: [{**edits[0], **changes}, *edits[1:]]


WRONG_EDITS: dict[str, tuple[Callable[[list[Any]], list[Any] | None], str]] = {
    "no edits": (lambda edits: None, "has no list of edits"),
    "a null edit": (lambda edits: [*edits, None], "an edit that is null"),
    "no start": (_first(start=None), "has no start"),
    "no end": (_first(end=None), "has no end"),
    "no source": (_first(source=None), "has no source"),
    "no generation": (_first(generation=None), "has no generation"),
    "negative": (_first(start=-1), "characters -1 to"),
    "too far": (_first(end=10**6), "to 1000000"),
    "backwards": (_first(start=2, end=1), "characters 2 to 1"),
    "descending": (lambda edits: edits[::-1], "does not fit its text"),
    "overlapping": (lambda edits: [{**edits[0], "end": edits[0]["end"] + 1}, *edits], "does not fit its text"),
}


def _with_log(table: pa.Table, row: int, log: dict[str, Any] | None) -> pa.Table:
    index = table.column_names.index("toedit")
    logs = table.column(index).to_pylist()
    logs[row] = log
    return table.set_column(index, table.schema.field(index), pa.array(logs, table.schema.field(index).type))


@pytest.mark.parametrize("wrong", ["no log", *WRONG_EDITS])
@pytest.mark.parametrize("case", ["gsm8k", "columns"])
def test_a_wrong_log_never_gives_a_source(editor: ToEditor, edited: dict, case: str, wrong: str) -> None:
    texts, (source, _, table, _), _ = edited[case]
    log, reason = None, "it has no edit log"
    if wrong != "no log":
        change, reason = WRONG_EDITS[wrong]
        log = table.column("toedit")[3].as_py()
        log["edits"] = change(log["edits"])
    damaged = _with_log(table, 3, log)
    for read in (reverted_table, piece_tables, lambda *args: edit_table(editor, *args, generation=3)):
        with pytest.raises(
            UnrevertibleRows, match=rf"the source of 1 row cannot be rebuilt: row 3 \(.*{reason}"
        ) as said:
            read(damaged, texts, "toedit")
        assert pickle.loads(pickle.dumps(said.value)).reasons == said.value.reasons, "workers raise it, too"
    rows, reasons = revertible_rows(damaged, texts, "toedit")
    assert list(reasons) == [3]
    assert rows.equals(pa.concat_tables([source.slice(0, 3), source.slice(4)]))


def test_a_log_of_a_text_that_is_gone_gives_no_source(edited: dict) -> None:
    for case, column in (("gsm8k", "answer"), ("columns", "question")):
        texts, (_, table, *_), _ = edited[case]
        index = table.column_names.index(column)
        values = [None, *table.column(column).to_pylist()[1:]]
        gone = table.set_column(index, table.schema.field(index), pa.array(values))
        assert list(revertible_rows(gone, texts, "toedit")[1]) == [0]


def test_rows_of_elsewhere_among_edited_ones_are_not_taken_for_sources(edited: dict) -> None:
    """`concatenate_datasets` fills their log with null, whether they are sources or were edited without a log."""
    texts, (source, table, *_), _ = edited["chats"]
    mixed = pa.concat_tables([source.slice(0, 4), table, source], promote_options="default")
    rows, reasons = revertible_rows(mixed, texts, "toedit")
    assert rows.equals(source)
    assert list(reasons) == [0, 1, 2, 3, *range(4 + len(source), 4 + 2 * len(source))]
    with pytest.raises(UnrevertibleRows, match=r"15 rows .*row 4 \(it has no edit log\)|and \d+ more\."):
        reverted_table(mixed, texts, "toedit")
