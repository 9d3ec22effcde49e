"""The runs whose cards are in `cards/`: small generated sources and the embedded prior."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value

CARDS = Path(__file__).parents[2] / "cards"

_SPELLS = ("a cold winter", "a long summer", "a wet spring", "a bright autumn", "a quiet night", "a busy morning")
_PEOPLE = ("the baker", "an old sailor", "my sister", "the night nurse", "a young teacher", "the man next door")


@dataclass(frozen=True)
class Golden:
    """A run with a card in `cards/`.

    Attributes:
        source: Writes the source into a folder, and returns its name.
        options: Options of `hf-toedit edit`.
        sections: Headings that this card has, and that others may lack.
    """

    source: Callable[[Path], str]
    options: tuple[str, ...]
    sections: tuple[str, ...] = ()


def _sample(_: Path) -> str:
    return "sample"


def _questions(folder: Path) -> str:
    """Write a source with two text columns (one in a struct), a context column, other columns, and three splits."""
    features = Features(
        {
            "question": Value("string"),
            "answer": Value("string"),
            "notes": {"hint": Value("string"), "difficulty": ClassLabel(names=["easy", "hard"])},
            "topics": List(Value("string")),
        }
    )
    rows = [
        {
            "question": f"What did {person} do at the end of {spell}?",
            "answer": f"At the end of {spell}, {person} went down to the river, because the water was warm and the "
            f"other people of the village had already gone home for the night.",
            "notes": {"hint": f"Think of what {person} liked to do when it was dark.", "difficulty": len(spell) % 2},
            "topics": ["river", spell.split()[-1]],
        }
        for spell in _SPELLS
        for person in _PEOPLE
    ]
    cuts = {"train": rows[:24], "validation": rows[24:30], "test": rows[30:]}
    path = folder / "questions"
    DatasetDict({split: Dataset.from_list(part, features=features) for split, part in cuts.items()}).save_to_disk(path)
    keys = "license: cc-by-4.0\nlanguage: en\npretty_name: River questions\ntask_categories: [question-answering]"
    (path / "README.md").write_text(f"---\n{keys}\n---\n")
    return str(path)


def _chats(folder: Path) -> str:
    """Write a source of conversations."""
    rows = [
        {
            "messages": [
                {"role": "system", "content": "You answer in a friendly way, and in a few words."},
                {"role": "user", "content": f"What should I do on {spell} with {person}?"},
                {
                    "role": "assistant",
                    "content": f"If it is {spell}, you and {person} should stay at home, make a cup of tea and read a "
                    f"good book. When the sun is out again, you can go for a walk in the park.",
                },
                {"role": "user", "content": "Thank you very much!"},
                {"role": "assistant", "content": "You are very welcome. If you have another question, just ask me."},
            ]
        }
        for spell in _SPELLS
        for person in _PEOPLE[:3]
    ]
    path = folder / "chats.parquet"
    Dataset.from_list(rows).to_parquet(path)
    return str(path)


GOLDEN = {
    "one-generation": Golden(_sample, ("--limit", "30", "--score-result")),
    "three-generations": Golden(
        _sample, ("--limit", "30", "--generations", "3", "--threshold", "0.95", "--top-k", "64"), ("From generation",)
    ),
    "splits-and-columns": Golden(
        _questions,
        (
            *("--text-column", "answer,notes.hint", "--context-columns", "question", "--num-shards", "2"),
            *("--threshold", "0.9", "--temperature", "3", "--protect", "numbers", "--protect", "re:river|water"),
            *("--generations", "2", "--score-result", "--seed", "7"),
        ),
        ("From generation",),
    ),
    "chat": Golden(_chats, ("--messages-column", "messages", "--threshold", "0.9", "--temperature", "3")),
    "no-edits": Golden(_sample, ("--limit", "6", "--threshold", "1")),
}
