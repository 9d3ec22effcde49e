from __future__ import annotations

import base64
import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_toedit import ToEditError
from hf_toedit.space import permalink
from hf_toedit.space.permalink import EditRequest, from_fragment, to_fragment

REQUESTS = st.integers(1, permalink.MAX_GENERATIONS).flatmap(
    lambda generations: st.builds(
        EditRequest,
        text=st.text(st.characters(exclude_categories=["Cs"])),
        prior=st.sampled_from(["embedded", "gpt2", "org/name", "a.b-c/d_e.f"]),
        threshold=st.floats(0, 1),
        top_k=st.integers(1, permalink.MAX_TOP_K),
        temperature=st.floats(0, permalink.MAX_TEMPERATURE, exclude_min=True),
        seed=st.integers(0, permalink.MAX_SEED),
        generations=st.just(generations),
        shown=st.integers(1, generations),
        preset=st.sampled_from(permalink.PRESETS_OFFERED),
    )
)


def _link(content: bytes) -> str:
    return permalink.PREFIX + base64.urlsafe_b64encode(zlib.compress(content)).decode().rstrip("=")


@given(REQUESTS)
def test_a_link_holds_everything(request: EditRequest) -> None:
    fragment = to_fragment(request)
    assert fragment.startswith("#te1=") and fragment[1:].replace("=", "").replace("-", "").replace("_", "").isalnum()
    assert from_fragment(fragment) == request


def test_a_link_that_is_older_than_presets_still_opens() -> None:
    link = (
        "#te1=eNoVisEKwjAQBX9F3jmEehDa3PolouyjKdps2EQUpP_e7W2YmT86fx0J80V0iQiotqq54PakCMVVz8aW9S1IQ"
        "5wmF1rvL6TRiVulPfrHiHSNt4BGnl_AwnKWVUvz5CHrtzjtB1yHJL4"
    )
    assert from_fragment(link) == EditRequest("A dog.")


@given(REQUESTS, st.data())
def test_a_damaged_link_is_told_of(request: EditRequest, data: st.DataObject) -> None:
    fragment = to_fragment(request)
    position = data.draw(st.integers(0, len(fragment) - 1))
    damaged = data.draw(
        st.sampled_from([fragment[:position], fragment[:position] + "?" + fragment[position + 1 :], fragment + "AAAA"])
    )
    with pytest.raises(ToEditError, match="damaged"):
        from_fragment(damaged)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda of: st.lists(of) | st.dictionaries(st.text(), of)
    )
)
def test_whatever_a_link_holds_there_is_one_clear_error(content: object) -> None:
    for value in (content, {"text": content}, {"text": "a", "threshold": content}, {"text": "a", "shown": content}):
        try:
            request = from_fragment(_link(json.dumps(value).encode()))
        except ToEditError:
            continue
        assert isinstance(request.text, str) and 0 <= request.threshold <= 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"threshold": 1.5}, "threshold 1.5 is out of range"),
        ({"threshold": float("nan")}, "out of range"),
        ({"top_k": 65}, "top_k 65 is out of range: here it must be between 1 and 64"),
        ({"top_k": 2.5}, "whole number"),
        ({"temperature": 5.1}, "temperature"),
        ({"seed": -1}, "seed"),
        ({"generations": 11}, "generations must be a whole number between 1 and 10"),
        ({"generations": True}, "whole number"),
        ({"shown": 2}, "the generation shown"),
        ({"preset": "filtering"}, "the preset must be one of toedit, careful"),
        ({"preset": None}, "the preset"),
        ({"text": None}, "must be a text"),
        ({"text": "\ud800"}, "character 1 of the text is half of one"),
    ],
)
def test_a_link_holds_nothing_that_could_not_be_typed(values: dict[str, object], message: str) -> None:
    with pytest.raises(ToEditError, match=message):
        EditRequest(**{"text": "a", **values})  # type: ignore[arg-type]
    with pytest.raises(ToEditError, match="This link cannot be followed: .*" + message):
        from_fragment(_link(json.dumps({"text": "a", **values}).encode()))


@pytest.mark.parametrize(
    "prior", ["/etc", "./model", "../model", "~/model", "a/b/c", "a//b", ".hidden", "a/..", "C:\\model", ""]
)
def test_a_link_names_no_folder(prior: str) -> None:
    assert to_fragment(EditRequest("a", prior)) == ""
    with pytest.raises(ToEditError, match="not a Hub id"):
        from_fragment(_link(json.dumps({"text": "a", "prior": prior}).encode()))


def test_a_link_turns_nothing_else_on() -> None:
    with pytest.raises(ToEditError, match="damaged"):
        from_fragment(_link(b'{"text":"a","trust_remote_code":true}'))


def test_a_small_link_cannot_become_large() -> None:
    with pytest.raises(ToEditError, match="damaged"):
        from_fragment(_link(b'{"text":"' + b"a" * 2**24 + b'"}'))
    with pytest.raises(ToEditError, match="damaged"):
        from_fragment(_link(b"[" * 2**19))
    with pytest.raises(ToEditError, match="damaged"):
        from_fragment(permalink.PREFIX + "A" * 2**19)


def test_a_link_to_the_longest_text_is_not_refused() -> None:
    request = EditRequest("".join(chr(0x4E00 + (index * index * 7919) % 20_000) for index in range(20_000)))
    assert from_fragment(to_fragment(request)) == request
