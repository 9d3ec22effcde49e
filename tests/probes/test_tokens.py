"""Tokens on disk and in blocks, compared with a direct implementation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from hf_toedit.api.request import RunRequest
from hf_toedit.config import SourceConfig
from hf_toedit.editing.alignment import Aligner
from hf_toedit.priors.embedded import path as embedded
from hf_toedit.probes.contamination import EvalGrams
from hf_toedit.probes.tokens import IGNORED, Blocks, Separators, Stream, Tokens, documents
from hf_toedit.tasks.measure import MeasureTask
from tests.probes.small import stories, write

NO_EVALS = EvalGrams.of({"none": []})
TEMPLATE = "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}</end>{% endfor %}"


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=8),
    st.integers(0, 3),
    st.integers(1, 7),
    st.integers(1, 12),
    st.data(),
)
def test_blocks_are_documents_one_after_the_other(
    lengths: list[int], seed: int, context: int, num_blocks: int, data: st.DataObject
) -> None:
    ids = np.arange(sum(lengths), dtype=np.int32)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    kept = np.flatnonzero(data.draw(st.lists(st.booleans(), min_size=len(lengths), max_size=len(lengths))) or [True])
    kept = kept if len(kept) else np.array([0])
    blocks = Blocks(Stream(ids, offsets, kept, seed), context, num_blocks)

    plain: list[int] = []
    epoch = 0
    while len(plain) < context * num_blocks:
        keys = np.random.default_rng([seed, epoch]).random(len(lengths))
        for number in sorted(kept, key=lambda number: keys[number]):
            plain += ids[offsets[number] : offsets[number + 1]].tolist()
        epoch += 1
    order = data.draw(st.permutations(range(num_blocks)))
    for index in order:
        expected = plain[index * context : (index + 1) * context]
        assert blocks[index]["input_ids"].tolist() == blocks[index]["labels"].tolist() == expected
    with pytest.raises(IndexError):
        blocks[num_blocks]


def tokens_of(path: Path, around: Separators, render: object = lambda _: None, **texts: object) -> Tokens:
    tokenizer = Tokenizer.from_file(str(embedded() / "tokenizer.json"))
    task = MeasureTask()
    plan = RunRequest(SourceConfig(str(path), **texts), task).plan(lambda: task)  # type: ignore[arg-type]
    found = lambda: documents(plan, Aligner(tokenizer), render)  # type: ignore[arg-type] # noqa: E731
    return Tokens.of(path.with_suffix(".tokens"), found, around, NO_EVALS)


def test_texts_of_a_source(tmp_path: Path) -> None:
    """Documents are separated by a token, empty ones are left out, and written tokens are not written again."""
    texts = stories(5)
    path = write(tmp_path / "a.jsonl", [*texts[:3], "", *texts[3:]])
    around = Separators(before=0, after=7)
    tokens = tokens_of(path, around)
    tokenizer = Tokenizer.from_file(str(embedded() / "tokenizer.json"))
    plain = [[0, *tokenizer.encode(text, add_special_tokens=False).ids, 7] for text in texts]
    assert tokens.ids.tolist() == sum(plain, [])
    assert tokens.offsets.tolist() == np.cumsum([0, *map(len, plain)]).tolist()
    before = path.with_suffix(".tokens").stat().st_mtime_ns
    assert tokens_of(path, around).ids.tolist() == tokens.ids.tolist()
    assert path.with_suffix(".tokens").stat().st_mtime_ns == before
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.jsonl", "a.tokens", "a.tokens.npz"]


def test_context_has_no_loss(tmp_path: Path) -> None:
    """In conversations, the loss includes only the assistant's messages."""
    import jinja2

    template = jinja2.Template(TEMPLATE)
    messages = [{"role": "user", "content": "Hello there"}, {"role": "assistant", "content": "General story"}]
    path = tmp_path / "chats.jsonl"
    path.write_text(json.dumps({"messages": messages}) + "\n")
    render = lambda messages: template.render(messages=messages)  # noqa: E731
    tokens = tokens_of(path, Separators(0, None), render, messages_column="messages")
    tokenizer = Tokenizer.from_file(str(embedded() / "tokenizer.json"))
    [size] = np.diff(tokens.offsets)
    block = Blocks(tokens.stream(0, False), int(size), 1)[0]
    ids, labels = block["input_ids"], block["labels"]
    assert tokenizer.decode(ids[1:].tolist()) == "<user>Hello there</end><assistant>General story</end>"
    learnt = tokenizer.decode(ids[labels != IGNORED].tolist())
    assert learnt and learnt.strip() in "General story" and len(learnt) > 8
    assert torch.equal(ids[labels != IGNORED], labels[labels != IGNORED])
