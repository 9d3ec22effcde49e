"""The errors a user can meet; every message says what is wrong, where, and what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

KEPT = "Finished work is kept; the same command continues where it stopped."
"""What a command that writes, and that can be repeated, may promise where it is broken off."""

_MOST_KNOWN = 20
"""Words that an error message lists at most."""


class ToEditError(Exception):
    """Something failed that the user can act on; the command line prints it in one line and exits with `exit_code`."""

    exit_code = 1


class UsageError(ToEditError):
    """A command, option or configuration that cannot be meant (exit code 2)."""

    exit_code = 2


class SourceError(ToEditError):
    """A dataset that cannot be found, read, or edited as asked."""


class PriorError(ToEditError):
    """A language model that cannot be found, loaded, or used as a prior."""


class OutOfMemory(PriorError):
    """A document that a language model cannot read in the memory there is, not even alone."""


class RunError(ToEditError):
    """A run folder that cannot be written, does not match the request, or does not hold what it should."""


class HubError(ToEditError):
    """The Hub does not answer, or refuses what was asked; or a repository is not one to write to."""


class NoAnswer(HubError):
    """The Hub did not answer, however often it was asked; it may answer later.

    Attributes:
        what: The message without advice, which only the caller can give who knows what is kept.
    """

    def __init__(self, message: str, what: str | None = None) -> None:
        super().__init__(message)
        self.what = what or message


class Interrupted(ToEditError):
    """The user, or the machine, asked to stop (exit code 130, as shells have it)."""

    exit_code = 130


@contextmanager
def kept(advice: str = KEPT) -> Iterator[None]:
    """Promise, where the Hub does not answer, that what is done so far is kept: for work that writes.

    Args:
        advice: The promise.

    Raises:
        HubError: With it.
    """
    try:
        yield
    except NoAnswer as error:
        raise HubError(f"{error.what} {advice}") from None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Name the nearest known word, or all of them, as the end of an error message.

    Args:
        name: the word that was not found.
        known: the words that would have been.

    Returns:
        A sentence with a leading space, or an empty string where nothing is known.
    """
    known = [word for word in known if word]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if near:
        return f" Did you mean {near[0]!r}?"
    more = f" and {len(known) - _MOST_KNOWN} more" if len(known) > _MOST_KNOWN else ""
    return f" Known: {', '.join(known[:_MOST_KNOWN])}{more}." if known else ""


def in_one_line(error: BaseException, most: int = 300) -> str:
    """What an error says, on one line of so many characters at most; its type's name where it says nothing."""
    return " ".join(str(error).split())[:most] or type(error).__name__


def reason(error: BaseException) -> str:
    """An error in one line; an error that nobody foresaw is named by its type as well."""
    text = " ".join(str(error).split())
    return text if text and isinstance(error, ToEditError) else f"{type(error).__name__}: {text}".removesuffix(": ")
