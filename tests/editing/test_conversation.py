"""The contents of messages are located in the output of chat templates of every style."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from hf_toedit.editing.conversation import Conversation, conversation_passage
from hf_toedit.editing.passage import Passage
from hf_toedit.errors import PriorError
from tests.shared import tokenizer_path

TEMPLATES = {
    "chatml": "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}",
    "trimmed": (
        "{{ bos_token }}{% for m in messages %}{{ '<|header|>' + m.role + '<|end|>\n\n' }}"
        "{{ m.content | trim + '<|eot|>' }}{% endfor %}"
    ),
    "plain words": "{% for m in messages %}{{ m.role + ': ' + m.content.strip() + ' ' }}{% endfor %}",
    "newlines stripped": "{% for m in messages %}{{ m.role + '\n' + m.content.strip('\n') + '\n' }}{% endfor %}",
}
ALTERNATING = (
    "{% for m in messages %}"
    "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}"
    "{% if m.role == 'user' %}{{ '[INST] ' + m.content + ' [/INST]' }}{% else %}{{ ' ' + m.content.strip() + '</s>' }}"
    "{% endif %}{% endfor %}"
)
THINKING = (
    "{% for m in messages %}{{ '<|' + m.role + '|>\n' }}{% if m.role == 'assistant' and not loop.last %}"
    "{{ m.content.split('</think>')[-1].lstrip('\n') }}{% else %}{{ m.content }}{% endif %}{{ '<|end|>\n' }}"
    "{% endfor %}"
)


def renderer(template: str) -> Any:
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(tokenizer_path("stories260K") / "tokenizer.json"), bos_token="<s>"
    )
    return lambda messages: tokenizer.apply_chat_template(messages, chat_template=template, tokenize=False)


def turns(*contents: str | None) -> list[dict[str, Any]]:
    roles = ("user", "assistant")
    return [{"role": roles[index % 2], "content": content} for index, content in enumerate(contents)]


def check(conversation: Conversation, messages: list[dict[str, Any]], edited: list[int], rendered: str) -> None:
    assert conversation.passage.text == rendered
    contents = [messages[index]["content"] for index in edited]
    parts = [content[start:end] for content, (start, end) in zip(contents, conversation.parts, strict=True)]
    assert conversation.passage.texts == parts
    assert sorted(conversation.passage.spans) == list(conversation.passage.spans)


contents = st.one_of(
    st.sampled_from(["", " ", "\n\n", "yes", "user", "assistant: yes", "<|im_end|>\n", "[INST]", "</s>", "\ue000"]),
    st.text(" \nab\u3000é", max_size=8),
)


@settings(deadline=None, max_examples=150)
@given(st.sampled_from([*TEMPLATES.values(), ALTERNATING]), st.lists(contents, min_size=1, max_size=5), st.data())
def test_contents_are_found_again(template, given_contents, data):
    messages, render = turns(*given_contents), renderer(template)
    edited = sorted(data.draw(st.sets(st.integers(0, len(messages) - 1), min_size=1)))
    conversation = conversation_passage(messages, edited, render)
    check(conversation, messages, edited, render(messages))
    for index, text in zip(edited, conversation.passage.texts, strict=True):
        assert text.strip() == messages[index]["content"].strip()
    # The template renders a changed conversation with the new words in the same places.
    changed = [dict(message) for message in messages]
    for index, (start, end) in zip(edited, conversation.parts, strict=True):
        content = changed[index]["content"]
        changed[index]["content"] = content[:start] + "other" * (start < end) + content[end:]
    others = ["other" if start < end else "" for start, end in conversation.parts]
    assert conversation.passage.with_texts(others).text == render(changed)


def test_what_a_template_leaves_out_is_not_edited():
    messages = turns(
        "2+2?", "<think>Easy.\n</think>\n\n4, yes", "3+3?", "<think>Hm.</think>6", "sure?", "<think>6</think>"
    )
    render = renderer(THINKING)
    conversation = conversation_passage(messages, [1, 3, 5], render)
    check(conversation, messages, [1, 3, 5], render(messages))
    assert conversation.passage.texts == ["4, yes", "6", "<think>6</think>"]
    # A turn with only thoughts has no editable text, and does not affect its neighbours.
    messages[1]["content"] = "<think>Easy.</think>"
    assert conversation_passage(messages, [1, 3], render).passage.texts == ["", "6"]


def test_other_messages_and_keys_are_the_templates_own():
    template = (
        "{% for m in messages %}{{ m.role + '|' }}{% for call in m.tool_calls or [] %}{{ call.name }}{% endfor %}"
        "{{ m.content or '' }}{{ '\n' }}{% endfor %}"
    )
    messages = turns("weather?", None, "rain", "It rains.")
    messages[1] = {"role": "assistant", "tool_calls": [{"name": "look"}]}
    conversation = conversation_passage(messages, [3], renderer(template))
    assert conversation.passage.text == "user|weather?\nassistant|look\nuser|rain\nassistant|It rains.\n"
    assert conversation.passage.texts == ["It rains."]


def test_without_a_template_contents_stand_alone():
    messages = turns("Hi.", None, " Well? ", "", "  ", "Yes.\n")
    conversation = conversation_passage(messages, [2, 3, 4, 5], lambda messages: None)
    assert conversation.passage.text == "Hi.\n\n Well? \n\nYes.\n"
    assert conversation.passage.texts == [" Well? ", "", "", "Yes.\n"]
    assert conversation.parts == ((0, 7), (0, 0), (0, 0), (0, 5))


def test_where_nothing_is_edited_nothing_is_read():
    for messages in ([], turns("Hi.", "Hello.")):
        assert conversation_passage(messages, [], renderer(ALTERNATING)) == Conversation(Passage("", ()), ())


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}{{ m.content | upper }}{% endfor %}",
        "{% for m in messages %}{{ m.content | replace('a', 'aa') }}{% endfor %}",
        "{% for m in messages %}{{ m.content + m.content }}{% endfor %}",
        "{{ messages[-1].content }}",
    ],
)
def test_rewritten_contents_are_refused(template):
    with pytest.raises(PriorError, match="template"):
        conversation_passage(turns("banana", "apple"), [0, 1], renderer(template))
