"""What engines tell workers, and what workers say, as lines of JSON with the kind of each message in its `type`."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from hf_toedit.config import Resources


class _Message(msgspec.Struct, tag=str.lower):
    """A message."""


class Setup(_Message):
    """The first order: load the model of a task, which is as plans have it."""

    task: dict[str, Any]
    resources: Resources


class Work(_Message):
    """Do a shard: its index in the plan of this content hash, which lies in the run folder."""

    run: str
    plan: str
    shard: int


class Ready(_Message):
    """The model is loaded: the task, its model pinned."""

    task: dict[str, Any]


class Rows(_Message):
    """Some rows of the shard are done, in a pass of that name."""

    pass_name: str
    counts: dict[str, int]


class Done(_Message):
    """The shard is done."""

    shard: int


class Failed(_Message):
    """The shard is not done, and why."""

    shard: int
    reason: str


class Fatal(_Message):
    """No shard can be done: the name of an error of `hf_toedit.errors`, and its message."""

    kind: str
    message: str


class Warned(_Message):
    """A warning, to be passed on."""

    message: str


class Died(_Message):
    """Said by an engine of a worker that is gone, and how it died."""

    why: str


class Lost(_Message):
    """The same where its whole machine is gone, which is no fault of the shard."""

    why: str


Order: TypeAlias = Setup | Work
Answer: TypeAlias = Ready | Rows | Done | Failed | Fatal | Warned | Died | Lost

_ENCODER = msgspec.json.Encoder()
_ORDERS = msgspec.json.Decoder(Order)
_ANSWERS = msgspec.json.Decoder(Answer)


def to_line(message: Order | Answer) -> str:
    """A message as a line of JSON."""
    return _ENCODER.encode(message).decode() + "\n"


def read_order(line: str | bytes) -> Order:
    """The order that a line holds."""
    return _ORDERS.decode(line)


def read_answer(line: str | bytes) -> Answer:
    """The answer that a line holds."""
    return _ANSWERS.decode(line)
