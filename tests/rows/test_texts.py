"""Texts in structs, lists and conversations: found, edited and put back, with all other values unchanged."""

from __future__ import annotations

import copy
import re
from typing import Any

import pyarrow as pa
import pytest
from datasets import ClassLabel, Features, Image, Json, LargeList, List, Value
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_toedit import EditConfig, ToEditor
from hf_toedit.config import TextConfig
from hf_toedit.errors import SourceError, UsageError
from hf_toedit.rows.rows import GroupSize, edit_table, grouped, output_features, reverted_table
from hf_toedit.rows.texts import Texts

TEXTS = (
    st.none()
    | st.sampled_from(["", "Once upon a time", " \n", "naïve 👩‍👩‍👧", "a little girl named Lily."])
    | st.text(max_size=5)
)
MORE = pa.struct({"note": pa.string()})
MESSAGE = pa.struct({"role": pa.string(), "content": pa.string(), "weight": pa.float32()})
TURN = pa.struct(
    {"body": pa.large_string(), "at": pa.timestamp("ns", "UTC"), "kind": pa.dictionary(pa.int8(), pa.string())}
)
SCHEMA = pa.schema(
    {
        "text": pa.string(),
        "meta": pa.struct({"body": pa.large_string(), "size": pa.decimal128(9, 2), "more": MORE}),
        "meta.note": pa.string(),
        "turns": pa.list_(pa.field("turn", TURN)),
        "deep": pa.large_list(pa.struct({"notes": pa.list_(pa.string()), "blob": pa.binary()})),
        "legacy": pa.struct({"from": pa.list_(pa.string()), "value": pa.list_(pa.string())}),
        "messages": pa.list_(MESSAGE),
    }
)  # fmt: skip
PATHS = ("text", "meta.body", "meta.more.note", "meta.note", "turns[].body", "deep[].notes[]", "legacy.value[]")
CONFIGS = [
    TextConfig(text_columns=PATHS),
    TextConfig(text_columns="turns[].body", context_columns=("meta.body", "text")),
    TextConfig(text_columns="meta.body", context_columns="meta.note"),
    TextConfig(messages_column="messages"),
    TextConfig(messages_column="messages", roles=("gpt", "user")),
]


def _values(kind: pa.DataType) -> st.SearchStrategy[Any]:
    """Python values of an Arrow type, with nulls at every level."""
    if pa.types.is_struct(kind):
        values: st.SearchStrategy[Any] = st.fixed_dictionaries({field.name: _values(field.type) for field in kind})
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        values = st.lists(_values(kind.value_type), max_size=3)
    elif kind == MESSAGE.field("role").type or kind == pa.large_string():
        values = TEXTS | st.sampled_from(["user", "assistant", "human", "gpt"])
    elif pa.types.is_timestamp(kind):
        values = st.just(1_700_000_000_123_456_789)
    elif pa.types.is_dictionary(kind):
        values = st.sampled_from(["x", "y"])
    else:
        values = st.just({pa.float32(): 0.5, pa.binary(): b"\xff\x00", pa.decimal128(9, 2): 3}[kind])
    return st.none() | values


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    """Rows in chunks, each sliced from a longer one."""
    parts = []
    for _ in range(draw(st.integers(1, 2))):
        rows = [{f.name: draw(_values(f.type)) for f in SCHEMA} for _ in range(draw(st.integers(0, 4)))]
        table = pa.table([_array([row[f.name] for row in rows], f.type) for f in SCHEMA], schema=SCHEMA)
        parts.append(table.slice(draw(st.integers(0, 1)), draw(st.integers(0, 4))))
    return pa.concat_tables(parts)


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    """Build an array; null lists have hidden items, as Arrow allows."""
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        return pa.array(values, kind)
    filled = pa.array([value if value is not None else [None] for value in values], kind)
    mask = pa.array([value is None for value in values], pa.bool_())
    return type(filled).from_arrays(filled.offsets, filled.values, type=kind, mask=mask)


def _put(row: dict[str, Any], label: str, text: str) -> None:
    """Set a text in a row of Python values."""
    steps = [label] if label in row else re.findall(r"[^.\[\]]+", label)
    *way, last = [int(step) if step.isdigit() else step for step in steps]
    at: Any = row
    for step in way:
        at = at[step]
    at[last] = text


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: ",".join(config.text_columns) or str(config.roles))
@settings(max_examples=40, deadline=None)
@given(table=tables())
def test_texts_are_replaced_and_nothing_else_is(config: TextConfig, table: pa.Table) -> None:
    texts = Texts(config)
    found = texts.read(table)
    assert texts.write(table, found, [text.text for text in found]) is table
    changed = [None if text.text is None else f"{text.label}: {text.text}" for text in found]
    written = texts.write(table, found, changed)
    written.validate()
    assert written.schema.equals(table.schema, check_metadata=True)
    expected = copy.deepcopy(table.to_pylist())
    for text, new in zip(found, changed, strict=True):
        if new is not None:
            _put(expected[text.row], text.label, new)
    assert written.to_pylist() == expected
    again = texts.read(written)
    assert [text.text for text in again] == changed
    assert texts.write(written, again, [text.text for text in found]).equals(table)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: ",".join(config.text_columns) or str(config.roles))
@settings(max_examples=15, deadline=None)
@given(table=tables())
def test_any_generation_alone_reverts(config: TextConfig, stories_prior: Any, table: pa.Table) -> None:
    editor = ToEditor(stories_prior, EditConfig(threshold=0.0, temperature=50.0, drop_below=1e-4))
    texts = Texts(config)
    edited = table
    for generation in (1, 2):
        before = edited
        edited, stats = edit_table(editor, edited, texts, "log", generation)
        edited.validate()
        found = texts.read(table)
        assert stats.num_rows == len(table)
        assert stats.num_documents == len(found)
        assert stats.num_characters == sum(len(text.text or "") for text in found)
        changed = {
            old.row for old, new in zip(texts.read(before), texts.read(edited), strict=True) if old.text != new.text
        }
        assert stats.num_rows_changed == len(changed)
        logs = edited.column("log").to_pylist()
        for name in ("num_tokens", "num_selected", "num_changed", "num_dropped"):
            assert sum(log[name] for log in logs) == getattr(stats, name)
        assert reverted_table(edited, texts, "log").equals(table)


FEATURES = Features(
    {
        "id": Value("int64"),
        "label": ClassLabel(names=["a"]),
        "text": Value("string"),
        "nothing": Value("null"),
        "picture": Image(),
        "meta": {"title": Value("string"), "size": Value("int32")},
        "pair": List(Value("string"), length=2),
        "messages": List({"role": Value("string"), "content": Value("string")}),
        "talk": LargeList({"from": Value("string"), "value": Value("large_string")}),
        "parts": List({"role": Value("string"), "content": List({"type": Value("string"), "text": Value("string")})}),
        "calls": List(Json()),
        "old": {"role": List(Value("string")), "content": List(Value("string"))},
    }
)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"text_columns": "txt"}, "there is no column 'txt'. Did you mean 'text'? Name it with --text-column"),
        ({"text_columns": "meta.titel"}, "'meta' has no field 'titel'. Did you mean 'title'? Name it with --text-col"),
        ({"text_columns": "messages.content"}, "'messages' holds a list, so '.content' leads nowhere. Text columns: "
                                               "text, .*messages\\[\\].content"),
        ({"text_columns": "talk[]value"}, "'talk\\[\\]' holds a struct, so 'value' leads nowhere"),
        ({"text_columns": ".text"}, "there is no column ''"),
        ({"text_columns": "meta.size"}, "column 'meta.size' holds int32, not text"),
        ({"text_columns": "meta"}, "column 'meta' holds a struct, not text"),
        ({"text_columns": "label"}, "column 'label' holds int64, not text"),
        ({"text_columns": "nothing"}, "column 'nothing' holds null, not text"),
        ({"text_columns": "pair[]"}, "'pair' holds a list of fixed length, so '\\[\\]' leads nowhere"),
        ({"text_columns": "text", "context_columns": "id"}, "'id' holds int64, not text.*--context-columns"),
        ({"text_columns": "text", "context_columns": "old.role[]"}, "'old.role\\[\\]' is inside a list"),
        ({"messages_column": "message"}, "no column 'message'. Did you mean 'messages'? Name it with --messages-col"),
        ({"messages_column": "text"}, "column 'text' holds text, not a list of messages with role and content: leave "
                                      "--messages-column out, and use --text-column.$"),
        ({"text_columns": "messages"}, "'messages' holds a list, not text.*Use --messages-column messages.$"),
        ({"messages_column": "old"}, "'old' holds a struct.*old.content\\[\\].*--messages-column"),
        ({"messages_column": "calls"}, "'calls' is not one list per row of messages.*are values of several types"),
        ({"messages_column": "pair"}, "'pair' holds a list of fixed length"),
        ({"messages_column": "parts"}, "messages of column 'parts' hold a list as 'content', not text"),
    ],
)  # fmt: skip
def test_what_cannot_be_edited_is_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(SourceError, match=message.replace("?", "\\?")):
        Texts(TextConfig(**config)).check(FEATURES, None)


def test_what_can_be_edited_is_found() -> None:
    for path in ("text", "meta.title", "messages[].content", "talk[].value", "old.content[]", "parts[].content[].text"):
        Texts(TextConfig(text_columns=path, context_columns="picture.path")).check(FEATURES, "log")
    for column in ("messages", "talk"):
        texts = Texts(TextConfig(messages_column=column))
        texts.check(FEATURES, "log")
        assert texts.columns(list(FEATURES)) == [column]
        assert output_features(FEATURES, texts, "log")["log"]["edits"].feature["path"] == Value("string")
    with pytest.raises(SourceError, match="already has a column 'id'"):
        Texts(TextConfig()).check(FEATURES, "id")
    assert Texts(TextConfig(text_columns=("meta.title", "text"))).columns(list(FEATURES)) == ["meta", "text"]
    with pytest.raises(UsageError, match="'text' is to be edited twice"):
        TextConfig(text_columns=("text", "text"))


def test_groups_are_bounded_in_rows_text_and_all_bytes() -> None:
    texts = Texts(TextConfig(text_columns="turns[].body", context_columns="prompt"))
    rows = [{"prompt": "p" * 10, "turns": [{"body": "é" * 5}] * (row % 3), "blob": b"x" * 1000} for row in range(100)]
    table = pa.Table.from_pylist(rows)
    assert texts.num_bytes(table).tolist() == [10 + 10 * (row % 3) for row in range(100)]
    assert texts.num_bytes(table.slice(7, 3)).tolist() == [20, 30, 10]
    for size, longest in ((GroupSize(7, 10**9), 7), (GroupSize(10**9, 60), 3), (GroupSize(10**9, 10**9, 5000), 5)):
        groups = list(grouped([table.slice(0, 41), table.slice(41)], texts, size))
        assert pa.concat_tables(groups).equals(table)
        assert max(map(len, groups)) == longest
