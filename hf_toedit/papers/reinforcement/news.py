"""Generated news: articles with a main story and background, their human summaries, and both as tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

PAD, START, END = 0, 1, 2

_ONSETS, _VOWELS, _ENDINGS = "bdfgklmnprstvz", "aeiou", ("l", "n", "r", "sk", "th", "x")

_NUMBERS = tuple(map(str, range(2, 100)))
_EVENTS = {
    "fire": ("fire", "blaze"),
    "flood": ("floods", "flooding"),
    "storm": ("storm", "gale"),
    "crash": ("crash", "collision"),
    "strike": ("strike", "walkout"),
    "quake": ("quake", "tremor"),
    "leak": ("leak", "spill"),
    "riot": ("riot", "unrest"),
}
"""Event of an article, and the words for it in summaries."""

_EFFECTS = {
    "kills": ("kills", "claims"),
    "injures": ("injures", "hurts"),
    "displaces": ("displaces", "uproots"),
    "strands": ("strands", "traps"),
}
_RESPONSES = {
    "promises": ("promises", "vows"),
    "rejects": ("rejects", "refuses"),
    "demands": ("demands", "seeks"),
    "praises": ("praises", "hails"),
    "delays": ("delays", "postpones"),
    "orders": ("orders", "announces"),
}
_OBJECTS = {
    "aid": ("aid", "help"),
    "inquiry": ("inquiry", "investigation"),
    "evacuation": ("evacuation", "rescue"),
    "funding": ("funding", "money"),
    "curfew": ("curfew", "lockdown"),
    "repairs": ("repairs", "rebuilding"),
}
_ROLES = ("minister", "mayor", "governor", "senator", "chief", "spokesman")
_BEFORE = ("last year", "a decade ago", "in an earlier case", "weeks before")
_ELSEWHERE = ("elsewhere", "meanwhile", "in other news", "across the border")
_FILLERS = (
    "residents said they heard nothing",
    "the weather is expected to improve",
    "local schools remain closed today",
    "officials gave no further details",
    "the area has a long history",
    "traffic was light in the morning",
)


def _names(endings: Sequence[str]) -> tuple[str, ...]:
    """Return made-up names: all of two syllables with an ending, in an order without a pattern."""
    made = ["".join(parts) for parts in product(_ONSETS, _VOWELS, _ONSETS, _VOWELS, endings)]
    return tuple(np.random.default_rng(0).permutation(made)[:300].tolist())


_PLACES, _PEOPLE = _names(_ENDINGS[:3]), _names(_ENDINGS[3:])


def _vocabulary() -> tuple[str, ...]:
    words = [*_EVENTS, *_EFFECTS, *_RESPONSES, *_OBJECTS, *_ROLES, *_NUMBERS, *_PLACES, *_PEOPLE]
    words += [word for table in (_EVENTS, _EFFECTS, _RESPONSES, _OBJECTS) for pair in table.values() for word in pair]
    words += [word for text in (*_BEFORE, *_ELSEWHERE, *_FILLERS) for word in text.split()]
    words += "a in people after .".split()
    return ("<pad>", "<s>", "</s>", *sorted(set(words)))


VOCABULARY = _vocabulary()
"""Names of the tokens, in the order of their ids."""

_IDS = {word: token for token, word in enumerate(VOCABULARY)}


def encode(texts: Sequence[str], is_output: bool) -> np.ndarray:
    """Encode texts as tokens: each word is a token.

    Args:
        texts: k texts of words of the vocabulary.
        is_output: Append the end token.

    Returns:
        Token ids `[k, n]`, padded to the longest text.
    """
    rows = [[_IDS[word] for word in text.split()] + [END] * is_output for text in texts]
    tokens = np.full((len(rows), max(map(len, rows))), PAD)
    for row, ids in zip(tokens, rows, strict=True):
        row[: len(ids)] = ids
    return tokens


def decode(tokens: np.ndarray) -> list[str]:
    """Return the texts of token ids `[k, n]`: their words up to the end token."""
    texts = []
    for row in tokens.tolist():
        ids = row[: row.index(END)] if END in row else row
        texts.append(" ".join(VOCABULARY[token] for token in ids if token not in (PAD, START)))
    return texts


@dataclass(frozen=True)
class News:
    """Articles and their human summaries.

    Attributes:
        articles: Texts, lower-case words and full stops.
        summaries: A text per article, of words.
    """

    articles: Sequence[str]
    summaries: Sequence[str]


@dataclass(frozen=True)
class _Story:
    """Facts of a story: keys of the tables of words, names and numbers."""

    event: str
    effect: str
    number: str
    place: str
    role: str
    person: str
    response: str
    object: str


def news(rng: np.random.Generator, count: int) -> News:
    """Return articles with their human summaries.

    An article tells of an event and of a response to it, in two sentences among up to three others. These tell of other
    events and responses in the same words, behind words such as "last year", or tell nothing. A summary names the
    facts of the main story; its writer chooses among synonyms, the first of which is the more usual one. Places,
    people and numbers are distributed as in Zipf's law, so that most of them are rare.

    Args:
        rng: Source of all choices.
        count: Number of articles.
    """
    articles, summaries = [], []
    for _ in range(count):
        main = _story(rng)
        sentences = [_event(main), _response(main)]
        for _ in range(int(rng.integers(0, 4))):
            other = _story(rng)
            kind = rng.integers(3)
            if kind == 0:
                sentences.append(f"{_one(rng, _BEFORE)} {_event(other)}")
            elif kind == 1:
                sentences.append(f"{_one(rng, _ELSEWHERE)} {_response(other)}")
            else:
                sentences.append(_one(rng, _FILLERS))
        articles.append(" . ".join(sentences[place] for place in rng.permutation(len(sentences))) + " .")
        summaries.append(_summary(rng, main))
    return News(articles, summaries)


def _story(rng: np.random.Generator) -> _Story:
    return _Story(
        _one(rng, tuple(_EVENTS)),
        _one(rng, tuple(_EFFECTS)),
        _rare(rng, _NUMBERS),
        _rare(rng, _PLACES),
        _one(rng, _ROLES),
        _rare(rng, _PEOPLE),
        _one(rng, tuple(_RESPONSES)),
        _one(rng, tuple(_OBJECTS)),
    )


def _event(story: _Story) -> str:
    return f"a {story.event} in {story.place} {story.effect} {story.number} people"


def _response(story: _Story) -> str:
    return f"{story.role} {story.person} {story.response} {story.object}"


def _summary(rng: np.random.Generator, story: _Story) -> str:
    event, response, thing = (
        _synonym(rng, table[key])
        for table, key in ((_EVENTS, story.event), (_RESPONSES, story.response), (_OBJECTS, story.object))
    )
    effect = _synonym(rng, _EFFECTS[story.effect])
    return f"{story.person} {response} {thing} after {story.place} {event} {effect} {story.number}"


def _one(rng: np.random.Generator, choices: Sequence[str]) -> str:
    return choices[int(rng.integers(len(choices)))]


def _rare(rng: np.random.Generator, choices: Sequence[str]) -> str:
    """Return one of the choices; the n-th has a probability proportional to 1 / n."""
    weights = 1 / np.arange(1, len(choices) + 1)
    return choices[int(np.searchsorted(np.cumsum(weights / weights.sum()), rng.random()))]


def _synonym(rng: np.random.Generator, words: Sequence[str]) -> str:
    return words[0] if rng.random() < 0.75 else words[1]
