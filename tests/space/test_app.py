"""The whole app on 127.0.0.1, with requests like those of its page."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import gradio as gr
import httpx
import pytest

from hf_toedit import ToEditError, ToEditor
from hf_toedit.space.app import launch
from hf_toedit.space.permalink import EditRequest, from_fragment, to_fragment
from hf_toedit.space.settings import SpaceSettings

TEXT = "Once upon a time, there was a little girl named Lily. She lived in a small house with her mom and dad."
SETTINGS = [0.5, 8, 3.0, 7, 2, "toedit"]


@pytest.fixture(scope="module")
def app() -> Iterator[gr.Blocks]:
    app = launch(SpaceSettings(max_characters=2000), block=False)
    yield app
    app.close()


class Visitor:
    """An open page."""

    def __init__(self, app: gr.Blocks) -> None:
        self.app = app
        self.session = uuid.uuid4().hex
        self.client = httpx.Client(base_url=app.local_url, timeout=120)

    def ask(self, name: str, *data: Any) -> list[Any] | None:
        """Return the result of a function of the tab; None if it fails."""
        index = next(index for index, function in self.app.fns.items() if function.name == name)
        body = {"data": data, "fn_index": index, "session_hash": self.session}
        sent = json.dumps(body)  # browsers escape half a character as well
        as_json = {"Content-Type": "application/json"}
        self.client.post("/gradio_api/queue/join", content=sent, headers=as_json).raise_for_status()
        with self.client.stream("GET", "/gradio_api/queue/data", params={"session_hash": self.session}) as events:
            for line in events.iter_lines():
                event = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
                if event.get("msg") == "process_completed":
                    return event["output"]["data"] if event["success"] else None
        raise AssertionError("no answer")

    def edit(self, text: str, settings: list[Any] = SETTINGS, prior: str = "embedded") -> dict[str, Any]:
        """Return the values of the outputs by name."""
        answer = self.ask("edit", text, prior, *settings, None)
        assert answer is not None
        return _named(answer)

    def show(self, generation: int) -> list[Any] | None:
        return self.ask("show", None, generation)


def _named(values: list[Any]) -> dict[str, Any]:
    names = ("notice", "several", "generation", "picture", "histogram", "edited", "fragment", "kept", "source", "table")
    return dict(zip((*names, "suggestion", "asked"), values, strict=True))


def test_edits_are_those_of_the_editor(app: gr.Blocks) -> None:
    editor = ToEditor.from_pretrained("embedded", threshold=0.5, temperature=3.0, seed=7)
    once = editor.edit([TEXT])
    twice = editor.edit(once)
    visitor = Visitor(app)
    shown = visitor.edit(TEXT)
    assert shown["edited"]["value"] == twice.documents[0].text != once.documents[0].text
    assert shown["source"] == TEXT
    assert [value for _, value in shown["generation"]["choices"]] == [1, 2]
    assert "te-histogram" in shown["histogram"] and "te-generations" in shown["table"]
    request = from_fragment(shown["fragment"])
    assert request == EditRequest(TEXT, "embedded", 0.5, 8, 3.0, 7, 2, 2)
    before = visitor.show(1)
    assert before is not None and before[2]["value"] == once.documents[0].text
    assert from_fragment(before[3]).shown == 1


def test_a_link_restores_what_was_shown(app: gr.Blocks) -> None:
    fragment = Visitor(app).edit(TEXT)["fragment"]
    for shown in (1, 2):
        link = to_fragment(EditRequest(**{**vars(from_fragment(fragment)), "shown": shown}))
        visitor = Visitor(app)
        answer = visitor.ask("restore", link, None)
        assert answer is not None and answer[:8] == [TEXT, "embedded", *SETTINGS]
        restored = _named(answer[8:])
        assert restored["generation"]["value"] == shown and restored["fragment"] == link
        assert restored["edited"]["label"] == f"After generation {shown}"
    answer = Visitor(app).ask("restore", fragment[:-9], None)
    assert answer is not None and "This link is damaged" in str(answer)
    assert Visitor(app).ask("restore", "", None) is not None


def test_a_threshold_is_offered_for_the_text_as_it_is_now(app: gr.Blocks) -> None:
    visitor = Visitor(app)
    asked = [0.999, *SETTINGS[1:4], 1, "toedit"]
    suggestion = visitor.edit(TEXT, asked)["suggestion"]
    for text in (TEXT, "The wind was cold. The wind was cold. The wind was cold."):  # the second is not edited yet
        answer = visitor.ask("suggested", text, "embedded", "toedit", None, None)
        assert answer is not None
        (threshold,) = answer
        shown = visitor.edit(text, [threshold, *asked[1:]])
        assert shown["suggestion"] == f"Select 5% (p ≥ {threshold:g})" and "te-selected" in shown["picture"]
        assert (shown["suggestion"] == suggestion) == (text == TEXT)


def test_careful_edits_protect(app: gr.Blocks) -> None:
    shown = Visitor(app).edit(TEXT, [*SETTINGS[:-1], "careful"])
    request = from_fragment(shown["fragment"])
    assert request.preset == "careful" and "names" in request.config.protect and "Lily" in shown["edited"]["value"]
    assert json.loads(shown["asked"]) == ["embedded", *SETTINGS[:-1], "careful"]


@pytest.mark.parametrize(
    ("text", "settings", "prior", "message"),
    [
        ("", SETTINGS, "embedded", "There is no text"),
        ("a" * 2001, SETTINGS, "embedded", "The text has 2,001 characters; here it may have 2,000"),
        ("a\ud800", SETTINGS, "embedded", "Character 2 of the text is half of one"),
        ("a", SETTINGS, "/etc", "cannot be named here"),
        ("a", SETTINGS, "org/name", "The Hub cannot be reached"),
        ("a", SETTINGS, "<img src=x onerror=alert(1)>", "cannot be named here"),
    ],
)
def test_what_cannot_be_done_is_told(app: gr.Blocks, text: str, settings: list[Any], prior: str, message: str) -> None:
    notice = Visitor(app).edit(text, settings, prior)["notice"]
    assert message in notice["value"] and notice["visible"]
    assert "<img" not in notice["value"]


@pytest.mark.parametrize(
    "settings",
    [
        [2, 8, 1.5, 0, 1, "toedit"],
        [0.9, 1000, 1.5, 0, 1, "toedit"],
        [0.9, 8, 1.5, 0, 500, "toedit"],
        [0.9, 8, 9, 0, 1, "toedit"],
        [0.9, 8, 1.5, 0, 1, "filtering"],
    ],
)
def test_a_server_checks_what_sliders_hold(app: gr.Blocks, settings: list[Any]) -> None:
    assert Visitor(app).ask("edit", "A dog.", "embedded", *settings, None) is None


def test_visitors_do_not_see_each_other(app: gr.Blocks) -> None:
    visitors = {name: Visitor(app) for name in ("Agnes", "Bruno", "Carla", "Dario")}
    shown: dict[str, list[str]] = {name: [] for name in visitors}

    def visit(name: str) -> None:
        for turn in range(3):
            text = f"{name} wrote letter {turn}. Once upon a time, there was a little girl."
            shown[name].append(str(visitors[name].edit(text, [1, 8, 1.5, 0, 1, "toedit"])))  # changes nothing
            shown[name].append(str(visitors[name].show(1)))

    threads = [threading.Thread(target=visit, args=[name]) for name in visitors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name, answers in shown.items():
        assert len(answers) == 6
        for turn, answer in enumerate(answers):
            assert f"{name} wrote letter {turn // 2}" in answer
            assert not any(other in answer for other in visitors if other != name)
    stranger = Visitor(app).show(1)
    assert stranger is None or not any(name in str(stranger) for name in visitors)


def test_the_page_reaches_for_nothing_outside(app: gr.Blocks) -> None:
    answer = httpx.get(app.local_url)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy and "connect-src 'self'" in policy
    assert "frame-ancestors 'self' https://huggingface.co" in policy
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "<title>ToEdit" in answer.text or '"title":"ToEdit' in answer.text
    for function in app.fns.values():
        assert function.api_visibility == "private", function.name


def test_files_are_served_to_nobody_else() -> None:
    with pytest.raises(ToEditError, match="can be reached by others"):
        launch(SpaceSettings(local=True), host="0.0.0.0", block=False)
    app = launch(SpaceSettings(local=True), block=False)
    try:
        assert httpx.get(app.local_url).status_code == 200
        assert httpx.get(app.local_url, headers={"Host": "elsewhere.example.org"}).status_code == 400
    finally:
        app.close()


def test_nothing_of_a_visitor_is_written_to_files(app: gr.Blocks) -> None:
    visitor = Visitor(app)
    visitor.edit(TEXT)
    session = {"session_hash": visitor.session}
    assert visitor.client.get("/gradio_api/deep_link", params=session).status_code == 404
    for path in ("/gradio_api/upload", "/gradio_api/upload?upload_id=1"):
        assert visitor.client.post(path, files={"files": ("a.html", b"a")}).status_code == 404
    assert visitor.client.get("/").headers["x-content-type-options"] == "nosniff"


def test_a_server_takes_no_large_request(app: gr.Blocks) -> None:
    assert "here it may have 2,000" in Visitor(app).edit("a" * 10**6)["notice"]["value"]
    visitor = Visitor(app)
    for content in (b" " * 2**23, (b" " * 2**20 for _ in range(8))):  # with and without a Content-Length header
        answer = visitor.client.post(
            "/gradio_api/queue/join", content=content, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code == 400
    assert visitor.edit(TEXT)["edited"]["value"]
