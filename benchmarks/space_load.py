"""Load test of the demo with many concurrent visitors; checks that each gets the right answers.

The server is `hf-toedit space run` in its own process; each visitor is a thread that communicates like the page, over
HTTP with Gradio's queue, and presses the next button as soon as it gets an answer. Every answer is compared with the
editor's result for the same text and settings.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import secrets
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from command import peak_mb
from report import space_tables

from hf_toedit import EditConfig, PriorConfig, ToEditor, load_prior
from hf_toedit.space.examples import example_texts

TIMEOUT_S = 300.0
API = "/gradio_api"


@dataclass(frozen=True)
class Wish:
    """A visitor's request, and the expected text after each generation."""

    text: str
    config: EditConfig
    expected: tuple[str, ...]

    @property
    def inputs(self) -> list[Any]:
        """Inputs as the page sends them; the server keeps the last one."""
        edit = self.config
        return [
            self.text,
            "embedded",
            edit.threshold,
            edit.top_k,
            edit.temperature,
            edit.seed,
            len(self.expected),
            "toedit",
            None,
        ]


@dataclass
class Visitor:
    """One page in one browser.

    Attributes:
        wishes: Requests, made one after the other, repeatedly.
        seconds: Duration of each edit, from the button to the answer.
        errors: Errors instead of answers.
        wrong: Answers that differ from the editor's result, or belong to another visitor.
    """

    address: str
    wishes: list[Wish]
    seconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def stay(self, until: float) -> None:
        """Open the page, and use it until the given time."""
        with httpx.Client(base_url=self.address, timeout=TIMEOUT_S, trust_env=False) as client:
            try:
                self._client, self._session = client, secrets.token_hex(8)
                client.get("/").raise_for_status()
                config = client.get("/config").raise_for_status().json()
                edit, show = _event(config, "Edit (Ctrl+Enter)", "click"), _event(config, "Generation", "input")
                number = 0
                while time.monotonic() < until:
                    wish = self.wishes[number % len(self.wishes)]
                    began = time.monotonic()
                    answer = self._ask(edit, wish.inputs)
                    self.seconds.append(time.monotonic() - began)
                    self._check(wish, answer, len(wish.expected), with_source=True)
                    shown = number % len(wish.expected) + 1
                    self._check(
                        wish, self._ask(show, [None, shown]), shown
                    )  # the value that the server keeps for this visitor
                    number += 1
            except (httpx.HTTPError, KeyError, ValueError, RuntimeError) as error:
                self.errors.append(f"{type(error).__name__}: {error}")

    def _check(self, wish: Wish, values: dict[str, Any], generation: int, with_source: bool = False) -> None:
        found = values[f"After generation {generation}"]
        if found != wish.expected[generation - 1] or (with_source and values["Source"] != wish.text):
            self.wrong.append(f"{wish} gave {values}")

    def _ask(self, event: _Event, inputs: list[Any]) -> dict[str, Any]:
        """Press a button, wait in the queue, and return the values of text boxes by their labels."""
        asked = {"data": inputs, "fn_index": event.number, "session_hash": self._session}
        self._client.post(f"{API}/queue/join", json=asked).raise_for_status()
        with self._client.stream("GET", f"{API}/queue/data", params={"session_hash": self._session}) as stream:
            for line in stream.iter_lines():
                message = json.loads(line.removeprefix("data:")) if line else {}
                if message.get("msg") == "process_completed":
                    if not message["success"]:
                        raise RuntimeError(str(message["output"]))
                    return event.values(message["output"]["data"])
        raise RuntimeError("the stream ended before the answer")


@dataclass(frozen=True)
class _Event:
    """An event handler; its outputs by their labels, None for those without one."""

    number: int
    labels: list[str | None]

    def values(self, data: list[Any]) -> dict[str, Any]:
        found = {}
        for label, value in zip(self.labels, data, strict=True):
            is_update = isinstance(value, dict) and value.get("__type__") == "update"
            name = value.get("label", label) if is_update else label
            if name:
                found[name] = value.get("value") if is_update else value
        return found


def _event(config: dict[str, Any], name: str, trigger: str) -> _Event:
    """Return the event handler for a trigger of the first component with a name."""
    props = {each["id"]: each["props"] for each in config["components"]}
    thing = next(number for number, each in props.items() if name in (each.get("label"), each.get("value")))
    event = next(each for each in config["dependencies"] if [thing, trigger] in map(list, each["targets"]))
    return _Event(event["id"], [props[number].get("label") for number in event["outputs"]])


def wishes(num_visitors: int, each: int) -> list[list[Wish]]:
    """Return different texts and settings for each visitor, with the editor's results."""
    rng = random.Random(0)
    words = " ".join(example_texts().values()).split(" ")
    prior = load_prior(PriorConfig())
    found = []
    for visitor in range(num_visitors):
        own = []
        for number in range(each):
            start = rng.randrange(len(words) - 150)
            text = f"Visitor {visitor}, text {number}. {' '.join(words[start : start + rng.randint(20, 150)])}"
            config = EditConfig(
                threshold=rng.choice((0.5, 0.9, 0.99)),
                top_k=rng.randint(2, 64),
                temperature=rng.randint(10, 50) / 10,
                seed=rng.randrange(10_000),
            )
            own.append(Wish(text, config, _edited(ToEditor(prior, config), text, rng.randint(1, 3))))
        found.append(own)
    return found


def _edited(editor: ToEditor, text: str, generations: int) -> tuple[str, ...]:
    result, texts = None, []
    for _ in range(generations):
        result = editor.edit([text] if result is None else result)
        texts.append(str(result.texts[0]))
    return tuple(texts)


@contextmanager
def serving() -> Iterator[tuple[str, int]]:
    """Serve the demo; yields its address and the id of its process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "hf_toedit", "space", "run", "--port", str(port)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, encoding="utf-8") as process:
        try:
            assert process.stdout
            if not process.stdout.readline().startswith("Serving at "):
                raise SystemExit("the demo did not start")
            yield f"http://127.0.0.1:{port}", process.pid
        finally:
            process.terminate()


def measure(num_visitors: int, seconds: float) -> dict[str, Any]:
    """Run all visitors concurrently."""
    asked = wishes(num_visitors, 2)
    with serving() as (address, pid):
        before = peak_mb(pid)
        visitors = [Visitor(address, own) for own in asked]
        began = time.monotonic()
        threads = [threading.Thread(target=each.stay, args=[began + seconds]) for each in visitors]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.monotonic() - began
        after = peak_mb(pid)
    edits = sorted(second for visitor in visitors for second in visitor.seconds)
    return {
        "visitors": num_visitors,
        "seconds": took,
        "edits": len(edits),
        "fewest_of_a_visitor": min(len(visitor.seconds) for visitor in visitors),
        "median_seconds": statistics.median(edits),
        "p95_seconds": edits[int(0.95 * len(edits))],
        "longest_seconds": edits[-1],
        "server_mb": [before, after],
        "errors": [error for visitor in visitors for error in visitor.errors],
        "wrong": [wrong for visitor in visitors for wrong in visitor.wrong],
    }


def main() -> None:
    """Measure, print, and save the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visitors", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "latest-space.json")
    options = parser.parse_args()
    facts = {"machine": platform.machine(), "cores": os.cpu_count()} | measure(options.visitors, options.seconds)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    print(space_tables(facts))


if __name__ == "__main__":
    main()
