from __future__ import annotations

import pickle
import re
import sys

import pytest

from hf_toedit import EditConfig, ToEditError, ToEditor
from hf_toedit.place_kinds import counted_kinds
from hf_toedit.space.permalink import EditRequest
from hf_toedit.space.priors import Priors
from hf_toedit.space.settings import SpaceSettings
from hf_toedit.space.view import Superseded, Turns, take_view

TEXT = "Once upon a time, there was a little girl named Lily. She lived in a small house with her mom and dad. " * 4


@pytest.fixture(scope="module")
def priors() -> Priors:
    return Priors(SpaceSettings())


def test_edits_are_those_of_the_editor(priors: Priors) -> None:
    request = EditRequest(TEXT, threshold=0.8, top_k=20, temperature=3.0, seed=7, generations=3, shown=2)
    editor = ToEditor.from_pretrained("embedded", threshold=0.8, top_k=20, temperature=3.0, seed=7)
    assert request.config == editor.config != EditConfig()
    result, expected = None, []
    for _ in range(3):
        result = editor.edit(result or [TEXT])
        expected.append(result.documents[0].text)
    view = take_view(request, priors, 20_000)
    assert [scene.edited for scene in view.scenes] == expected
    assert len({TEXT, *expected}) > 1
    assert view.request == request
    assert f"changed: {counted_kinds(result.stats.num_changed_by_kind)}." in view.scenes[2].picture
    assert ">changed, gen 3<" in view.table


def test_a_long_text_is_refused_by_the_server(priors: Priors) -> None:
    with pytest.raises(ToEditError, match="has 101 characters; here it may have 100. Shorten it"):
        take_view(EditRequest("a" * 101), priors, 100)
    take_view(EditRequest("a" * 100), priors, 100)
    with pytest.raises(ToEditError, match="There is no text"):
        take_view(EditRequest(""), priors, 100)


@pytest.mark.parametrize("text", [" ", "\n\n", "\0", "<script>alert(1)</script>", "${a}{{b}}`\\", "\u202e🦔", "\r\n"])
def test_any_text_can_be_looked_at(priors: Priors, text: str) -> None:
    (scene,) = take_view(EditRequest(text), priors, 100).scenes
    assert scene.edited
    assert not {"<script", "${", "{{", "`", "\u202e"} & {
        scene.picture[i : i + n] for n in (1, 2, 7) for i in range(len(scene.picture))
    }


def test_a_new_request_ends_the_one_before(priors: Priors) -> None:
    turns = Turns()
    turn = turns.take()
    told = []

    def progress(done: int, total: int) -> None:
        told.append((done, total))
        if done == 3:
            turns.take()  # as another thread would
        turns.check(turn)

    with pytest.raises(Superseded):
        take_view(EditRequest("A dog. A cat.", generations=10, shown=10), priors, 100, progress)
    assert told == [(0, 20), (1, 20), (2, 20), (3, 20)]


def test_what_is_kept_for_a_visitor_is_small(priors: Priors) -> None:
    view = take_view(EditRequest((TEXT * 20)[:8000] + "🦔", generations=2, shown=2), priors, 20_000)
    shown = [scene.picture for scene in view.scenes]
    assert all(picture.startswith('<div class="te te-told">') and picture.endswith("</div>") for picture in shown)
    assert len(pickle.dumps(view)) < sum(map(sys.getsizeof, shown)) / 16


@pytest.mark.parametrize(
    "text", [TEXT, TEXT[:40], "Zwölf 🦔🦔 in Ψ-Ω, 無限 qxzv!", "x = [i**2 for i in range(10)]\n" * 20]
)
@pytest.mark.parametrize("preset", ["toedit", "careful"])
def test_any_text_teaches_how_to_select_a_share_of_it(priors: Priors, text: str, preset: str) -> None:
    view = take_view(EditRequest(text, preset=preset), priors, 20_000)
    picture = view.scenes[0].picture
    assert re.search(r"Half of the tokens of your text have p up to \S+, 90% up to \S+, and 95% up to ", picture)
    if view.suggested is None:
        assert preset == "careful" and "Fewer than 5% of them may be edited." in picture
        return
    assert f"A threshold of {view.suggested:g} selects at least 5% of them." in picture
    assert round(view.suggested, 3) == view.suggested  # a value of the slider
    config = EditRequest(text, preset=preset, threshold=view.suggested).config
    stats = ToEditor(priors.get("embedded"), config).edit([text]).stats
    assert 0.05 * stats.num_tokens <= stats.num_selected < max(0.5 * stats.num_tokens, 3)


def test_the_embedded_prior_is_said_to_be_a_toy(priors: Priors) -> None:
    picture = take_view(EditRequest(TEXT), priors, 20_000).scenes[0].picture
    assert "<p>The embedded prior is a toy for a first try" in picture
    assert "HuggingFaceTB/SmolLM2-135M" in picture and "meta-llama/Meta-Llama-3-8B" in picture


def test_of_several_generations_each_is_shown_against_the_source(priors: Priors) -> None:
    request = EditRequest(TEXT, threshold=0.8, temperature=4.0, generations=2, shown=2)
    view = take_view(request, priors, 20_000)
    editor = ToEditor(priors.get("embedded"), request.config)
    result = None
    for number, scene in enumerate(view.scenes, 1):
        result = editor.edit(result or [TEXT])
        table = result.documents[0].table
        assert table
        shown = scene.picture.partition("te-against")[2]
        assert f"<h2>Source and after generation {number}</h2>" in shown
        assert f"{len(table.edits)} places differ from the source: " in shown
        assert shown.count("<ins") == sum(edit.end > edit.start for edit in table.edits)
    assert "te-against" not in take_view(EditRequest(TEXT), priors, 20_000).scenes[0].picture
    same = take_view(EditRequest(TEXT, threshold=1.0, generations=2), priors, 20_000).scenes[1].picture
    assert "Nothing differs from the source." in same and "<ins" not in same.partition("te-against")[2]
