"""Conversations as a real prior reads them: with its chat template, its markers and its BOS."""

from __future__ import annotations

import json
import shutil
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from hf_toedit import EditConfig, PriorConfig, ToEditor, load_prior
from hf_toedit.editing.conversation import conversation_passage
from hf_toedit.errors import PriorError
from hf_toedit.priors.loading import locate
from tests.shared import shared

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'tool' %}{{ raise_exception('no tools here') }}{% endif %}"
    "{{ m.role + ':\n' + m.content | trim + eos_token + '\n' }}{% endfor %}"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copy = tmp_path / "prior"
    shutil.copytree(shared("models/stories260K"), copy, copy_function=shutil.copyfile)
    copy.chmod(0o755)
    (copy / "chat_template.jinja").write_text(TEMPLATE)
    return copy


def test_only_the_assistants_words_are_edited(folder):
    with shared("data/instruct_seed_tasks.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in islice(lines, 20)]
    conversations = [
        [
            {"role": "system", "content": "Answer in short."},
            {"role": "user", "content": row["instruction"]},
            {"role": "assistant", "content": row["output"] + "\n"},
            {"role": "user", "content": "Say it once more."},
            {"role": "assistant", "content": row["output"]},
        ]
        for row in rows
    ]
    prior = load_prior(PriorConfig(str(folder)))
    editor = ToEditor(prior, EditConfig(temperature=2.0))
    written = [conversation_passage(messages, [2, 4], prior.render) for messages in conversations]
    result = editor.edit([conversation.passage for conversation in written])
    for _ in range(2):
        result = editor.edit(result)
    assert result.stats.num_changed and result.stats.num_rows == 20 and result.stats.num_documents == 40
    assert result.revert() == [row["output"].strip() for row in rows for _ in range(2)]

    # The conversation that is written back is read as the edited passage.
    texts = iter(result.texts)
    for messages, conversation, passage in zip(conversations, written, result.edited_passages(), strict=True):
        for index, (start, end) in zip([2, 4], conversation.parts, strict=True):
            content = messages[index]["content"]
            messages[index]["content"] = content[:start] + next(texts) + content[end:]
        assert prior.render(messages) == passage.text


@torch.inference_mode()
def test_markers_are_read_as_the_tokens_they_are(folder):
    prior = load_prior(PriorConfig(str(folder)))
    messages = [{"role": "user", "content": "A story, please."}, {"role": "assistant", "content": "Once upon a time."}]
    passage = conversation_passage(messages, [1], prior.render).passage
    assert passage.text == "user:\nA story, please.</s>\nassistant:\nOnce upon a time.</s>\n"
    (document,) = ToEditor(prior).edit([passage]).documents
    ids = [1, *prior.tokenizer.encode(passage.text, add_special_tokens=False).ids]
    assert ids.count(2) == 2
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    logprobs = model(torch.tensor([ids])).logits[0].log_softmax(-1)
    tokens = document.reading.document
    first = next(at for at in range(len(ids)) if ids[at : at + len(tokens)] == tokens.ids.tolist())
    expected = [float(logprobs[at - 1, ids[at]]) for at in range(first, first + len(tokens))]
    np.testing.assert_allclose(document.reading.scores.logprobs, expected, atol=1e-4)


def test_a_template_that_refuses(folder):
    prior = load_prior(PriorConfig(str(folder)))
    with pytest.raises(PriorError, match="chat template of prior .* no tools here"):
        prior.render([{"role": "tool", "content": "4"}])
    with pytest.raises(PriorError, match="chat template"):
        prior.render([{"content": "Who says so?"}])


def test_a_template_does_not_tell_the_day(folder):
    (folder / "chat_template.jinja").write_text("Today is {{ strftime_now('%d %b %Y') }}.")
    assert load_prior(PriorConfig(str(folder))).render([{"role": "user", "content": ""}]) == "Today is 01 January 2025."


def test_a_prior_without_a_template(stories_prior):
    assert stories_prior.render([{"role": "user", "content": "Hi."}]) is None


def test_the_template_is_part_of_what_pins_a_prior(folder):
    before = locate(PriorConfig(str(folder)))[1]
    (folder / "chat_template.jinja").write_text(TEMPLATE + " ")
    assert locate(PriorConfig(str(folder)))[1] != before
