"""Prompts of rows, and statistics of generated texts."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from hf_toedit.config import PriorConfig, SourceConfig, TextConfig
from hf_toedit.errors import PriorError, UsageError
from hf_toedit.generation.config import GenerateConfig
from hf_toedit.generation.generator import Continuation, Prompt
from hf_toedit.rows.texts import Texts
from hf_toedit.tasks.generate import CANDIDATES, GenerateTask, asked_prompts
from hf_toedit.tasks.generate_check import GenerateCheck
from hf_toedit.tasks.generate_prompts import Prompts
from hf_toedit.tasks.generate_rows import LoadedGenerate
from hf_toedit.tasks.generate_stats import GenerateStats
from tests.generation.models import TEMPLATE, copied, generator, stories

CHATS = [
    [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}, {"role": "user", "content": "?"}],
    [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}],
    [{"role": "assistant", "content": "Hello."}],
    [{"role": "tool", "content": "Hi."}],
    [{"role": "user", "content": "word " * 600}],
    None,
]


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return the small model with a chat template."""
    return generator(copied(tmp_path_factory.mktemp("chat") / "model", stories(), TEMPLATE), prompt_tokens=None)


def read(table: dict[str, list[Any]], of: Any, **texts: Any) -> list[str]:
    """Return the prompts of rows as text, or why a row has none."""
    found = Prompts.of(pa.table(table), Texts(TextConfig(**texts)), of)
    return [one if isinstance(one, str) else of._decode(one.ids) for one in found.rows]


def test_prompts_of_texts() -> None:
    table = {"text": ["The cat sat on the mat.", "The end.", "", None], "title": ["A cat", None, "A", "B"]}
    few = generator(stories(), prompt_tokens=3)
    assert read(table, few) == ["The cat", "The end", "empty", "null"]
    assert read(table, few, context_columns=("title",)) == ["A cat\n\nThe c", "The end", "empty", "null"]
    whole = generator(stories(), prompt_tokens=None)
    assert read(table, whole)[0] == "The cat sat on the mat.\n\n"
    assert read({"text": ["word " * 600]}, whole) == ["prompt_too_long"]
    with pytest.raises(PriorError, match="has no chat template, so it cannot answer conversations"):
        read({"messages": CHATS}, whole, messages_column="messages")


def test_prompts_by_a_chat_template(chat: Any) -> None:
    found = Prompts.of(pa.table({"messages": CHATS}), Texts(TextConfig(messages_column="messages")), chat)
    said = [one if isinstance(one, str) else chat._decode(one.ids) for one in found.rows]
    assert said == [
        "user: Hi.\nassistant: Hello.\nuser: ?\nassistant:", "user: Hi.\nassistant:", "empty", "template_failed",
        "prompt_too_long", "empty",
    ]  # fmt: skip
    assert found.num_chats == 3 and ["no tools" in refusal for refusal in found.refusals] == [True]
    table = {"text": ["How many?", None], "topic": ["Eggs.", "A"]}
    assert read(table, chat, context_columns=("topic",)) == ["user: Eggs.\n\nHow many?\nassistant:", "null"]


def test_which_columns_are_the_prompt() -> None:
    def asked(prompt_tokens: int | None = None, **texts: Any) -> tuple[Any, ...]:
        source, found = asked_prompts(SourceConfig("sample", **texts), prompt_tokens)
        return source.text_columns, source.context_columns, found

    assert asked() == (("text",), (), 32)
    assert asked(5, text_columns="body") == (("body",), (), 5)
    assert asked(context_columns=("topic", "question")) == (("question",), ("topic",), None)
    assert asked(text_columns="answer", context_columns="question") == (("question",), (), None)
    assert asked(0, context_columns="question") == (("question",), (), None)
    assert asked(8, text_columns="answer", context_columns="question") == (("answer",), ("question",), 8)
    assert asked(messages_column="messages") == ((), (), None)
    for said, texts in (
        ("one text per row, and a, b may be several", {"text_columns": ("a", "b")}),
        ("one text per row", {"text_columns": "turns[].body"}),
        ("Leave --roles out", {"messages_column": "messages", "roles": ("user", "assistant")}),
    ):
        with pytest.raises(UsageError, match=said):
            asked(**texts)
    with pytest.raises(UsageError, match="conversations are read whole"):
        asked(8, messages_column="messages")
    with pytest.raises(UsageError, match="leaves nothing to read"):
        asked(0)


def parts() -> list[GenerateStats]:
    """Return statistics of a few rows each."""
    draws, found = np.random.default_rng(0), []
    for number in range(3):
        stats = GenerateStats(num_rows=4, num_chats=number, seconds={"generate": 1.0})
        stats.add_skipped("empty" if number else "null")
        for _ in range(3):
            made = [Continuation([1] * int(draws.integers(1, 40)), -draws.exponential(50), "limit") for _ in range(2)]
            made.append(Continuation([1, 2], -0.3, "eos"))
            stats.add(Prompt([1, 2, 3], ""), made, ["a", "bc", ""])
        found.append(stats)
    return found


def test_statistics_merge_in_any_order_and_come_back_from_json() -> None:
    merged = {json.dumps(GenerateStats.merged(order).to_json()) for order in permutations(parts())}
    assert len(merged) == 1
    told = json.loads(merged.pop())
    total = GenerateStats.from_json(told)
    assert total.to_json() == told and GenerateStats.from_json(GenerateStats().to_json()) == GenerateStats()
    assert (total.num_rows, total.num_documents, total.num_candidates, total.num_characters) == (12, 12, 27, 27)
    assert total.stops == {"limit": 18, "eos": 9} and total.num_skipped == {"empty": 2, "null": 1}
    assert total.lengths.num_values == 27 and total.lengths.sum_nano == total.num_generated * 10**9
    assert total.num_tokens == total.num_generated + total.num_prompt_tokens == total.num_generated + 27
    assert "12 prompts (3 skipped), 27 candidates of " in repr(total)
    assert math.isnan(GenerateStats().perplexity) and "perplexity" not in GenerateStats().summary()


def test_perplexity_is_that_of_the_generated_tokens() -> None:
    stats = GenerateStats()
    stats.add(Prompt([1], ""), [Continuation([5, 6], math.log(0.5) * 2, "eos")], ["x"])
    stats.add(Prompt([1], ""), [Continuation([5, 6], math.log(0.125) * 2, "limit")], ["x"])
    assert stats.perplexity == pytest.approx(4)


def test_what_is_known_of_rows_is_not_generated_again() -> None:
    small = generator(stories(), num_candidates=2, max_new_tokens=8)
    small.batch_rows = 2
    loaded = LoadedGenerate(small, "candidates")
    table = pa.table({"text": ["Once upon a time.", None, "The cat", "A dog ran.", ""]})
    first = list(loaded.process(Texts(TextConfig()), [table], CANDIDATES, lambda rows: None))
    kept = {batch.rows: batch.kept._replace(value=json.loads(json.dumps(batch.kept.value))) for batch in first[:2]}
    again = list(loaded.process(Texts(TextConfig()), [table], CANDIDATES, kept.get))
    assert [batch.rows for batch in again] == [(0, 2), (2, 2), (4, 1)]
    assert [batch.is_known for batch in again] == [True, True, False]
    whole, resumed = (pa.concat_tables(batch.table() for batch in made) for made in (first, again))
    assert whole.equals(resumed) and whole.column("candidates").null_count == 0
    assert [len(some) for some in whole.column("candidates").to_pylist()] == [2, 0, 2, 2, 0]


def test_rows_are_held_against_their_source_and_statistics() -> None:
    source = pa.table({"text": ["a", "b", None]})
    rows = source.append_column("candidates", pa.array([["x", "yz"], ["", "é"], []], pa.list_(pa.string())))
    stats = GenerateStats(num_rows=3, num_candidates=4, num_characters=4, num_skipped={"null": 1})

    def problems(table: pa.Table, recorded: GenerateStats = stats) -> list[str]:
        check = GenerateCheck("candidates", 2)
        found = list(check.rows(CANDIDATES, table, None, source, 0))
        return found or list(check.statistics(CANDIDATES, recorded))

    def changed(column: str, values: list[Any]) -> pa.Table:
        at = rows.column_names.index(column)
        return rows.set_column(at, column, pa.array(values, rows.field(column).type))

    assert problems(rows) == []
    assert "column 'text'" in problems(changed("text", ["a", "c", None]))[0]
    for some in ([["x", "y"], ["z"], []], [["x", None], ["", ""], []], [["x", "y"], None, []]):
        assert "does not have 2 candidates, or none" in problems(changed("candidates", some))[0]
    assert "num_characters is 5 by the rows, 4" in problems(changed("candidates", [["x", "yz"], ["!", "é"], []]))[0]
    assert "1 rows have no candidates" in problems(rows, replace(stats, num_skipped={}))[0]


def test_an_estimate_reads_and_generates_as_many_tokens_as_it_is_told() -> None:
    class Counting(type(generator(stories()))):
        def generate(self, prompts, num_new=None):
            asked.append((sum(len(prompt.ids) for prompt in prompts), len(prompts), num_new))
            return super().generate(prompts, num_new)

    asked: list[tuple[int, int, int]] = []
    small = generator(stories(), num_candidates=2, max_new_tokens=30, prompt_tokens=10)
    small.__class__ = Counting
    loaded = LoadedGenerate(small, "candidates")
    table = pa.table({"text": ["Once upon a time there was a little girl named Lily who sang.", None] * 4})
    num_tokens, documents = loaded.sample(Texts(TextConfig()), table)
    assert num_tokens.tolist() == [11 + 60, 0] * 4 and [len(one) for one in documents] == [71] * 4
    loaded.read([documents])
    [(num_read, num_rows, num_new)] = asked
    assert abs(num_read - 44) <= num_rows and abs(2 * num_new * num_rows - 240) <= 2 * num_rows


def test_a_task_comes_back_from_its_facts() -> None:
    for how in ({}, {"decoding": "beam", "num_candidates": 4}, {"top_k": 5, "temperature": 0.5, "prompt_tokens": None}):
        task = GenerateTask(PriorConfig(), GenerateConfig(**how))
        assert GenerateTask.from_json_value(json.loads(json.dumps(task.to_json())), "task") == task
    for prior in (PriorConfig("my:Prior", trust_remote_code=True), PriorConfig(prune=True)):
        with pytest.raises(UsageError, match="does not generate|pruning is for edits"):
            GenerateTask(prior, GenerateConfig())
