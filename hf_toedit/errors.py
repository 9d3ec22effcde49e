"""Errors that a user can meet; every message says what is wrong, where, and what to do next."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

KEPT = "Finished work is kept; the same command continues where it stopped."
"""What a command that writes, and can be repeated, may promise when it is interrupted."""

_MOST_KNOWN = 20
"""Maximum number of words that an error message lists."""


class ToEditError(Exception):
    """A failure that the user can act on; the command line prints it on one line and exits with `exit_code`."""

    exit_code = 1


class UsageError(ToEditError):
    """A command, option or configuration that is not valid (exit code 2)."""

    exit_code = 2


class SourceError(ToEditError):
    """A dataset that cannot be found, read, or edited as requested."""


class PriorError(ToEditError):
    """A language model that cannot be found, loaded, or used as a prior."""


class OutOfMemory(PriorError):
    """A document that a language model cannot read in the available memory, even alone."""


class RunError(ToEditError):
    """A run folder that cannot be written, does not match the request, or lacks expected content."""


class HubError(ToEditError):
    """The Hub does not answer or refuses a request, or a repository may not be written to."""


class NoAnswer(HubError):
    """The Hub did not answer after all retries; it may answer later.

    Attributes:
        what: The message without advice; only the caller can advise, since it knows what has been kept.
    """

    def __init__(self, message: str, what: str | None = None) -> None:
        super().__init__(message)
        self.what = what or message


class Interrupted(ToEditError):
    """The user, or the machine, asked to stop (exit code 130, as in shells)."""

    exit_code = 130


@contextmanager
def kept(advice: str = KEPT) -> Iterator[None]:
    """Add to a `NoAnswer` error the promise that finished work is kept; for work that writes.

    Args:
        advice: The promise.

    Raises:
        HubError: The Hub did not answer; the message contains the promise.
    """
    try:
        yield
    except NoAnswer as error:
        raise HubError(f"{error.what} {advice}") from None


def command_line(*words: object, **options: str | None) -> str:
    """Return a command of hf-toedit, as a shell reads it; options without a value are left out."""
    given = (word for name, value in options.items() if value for word in (f"--{name}", value))
    return shlex.join(("hf-toedit", *map(str, words), *given))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the end of an error message: the nearest known word, or all known words.

    Args:
        name: The word that was not found.
        known: The known words.

    Returns:
        A sentence with a leading space, or an empty string if there are no known words.
    """
    known = [word for word in known if word]
    if near := nearest(name, known):
        return near
    more = f" and {len(known) - _MOST_KNOWN} more" if len(known) > _MOST_KNOWN else ""
    return f" Known: {', '.join(known[:_MOST_KNOWN])}{more}." if known else ""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the end of an error message that lists the known words itself: the nearest one.

    Args:
        name: The word that was not found.
        known: The known words.

    Returns:
        A sentence with a leading space, or an empty string if no word is near.
    """
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f" Did you mean {near[0]!r}?" if near else ""


def within(low: object, high: object | None) -> str:
    """Describe a range from `low` to `high`, both included; None is no upper end."""
    return f"at least {low}" if high is None else f"between {low} and {high}"


def in_one_line(error: BaseException, most: int = 300) -> str:
    """Return an error's message on one line of at most `most` characters, or its type's name if there is no message."""
    text = " ".join(str(error).split())
    return (text if len(text) <= most else f"{text[: most - 1].rstrip()}…") or type(error).__name__


def reason(error: BaseException) -> str:
    """Format an error on one line; an unexpected error includes its type."""
    text = " ".join(str(error).split())
    return text if text and isinstance(error, ToEditError) else f"{type(error).__name__}: {text}".removesuffix(": ")
