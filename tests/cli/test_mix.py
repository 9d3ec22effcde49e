"""`hf-toedit mix`: shares, order, columns, and errors."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset

from hf_toedit import UsageError, mix
from hf_toedit.features.ngrams import words
from tests.cli.command import HfToEdit
from tests.shared import shared, texts


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("parts")
    rows = {
        "human": [{"text": text, "topic": "papers"} for text in texts("biomed_pubmedqa_l")[:200]],
        "stories": [{"text": text, "story": number} for number, text in enumerate(texts("synthetic_tinystories_500"))],
        "other": [{"text": 5, "body": "only"}, {"text": 6, "body": "numbers"}],
        "listed": [{"text": ["a list"], "topic": "none"}],
        "empty": [{"text": "", "topic": "none"}, {"text": None, "topic": "none"}],
    }
    for name, found in rows.items():
        content = "".join(json.dumps(row) + "\n" for row in found)
        (folder / f"{name}.jsonl").write_text(content, encoding="utf-8")
    return {name: folder / f"{name}.jsonl" for name in rows}


def mixed(run: Path) -> Any:
    return load_dataset(str(run), split="train", cache_dir=str(run.parent / "cache"))


def asked(parts: dict[str, Path], **shares: float) -> list[str]:
    return [f"{name}={parts[name]}:{share}" for name, share in shares.items()]


def test_shares_are_exact_and_rows_are_shuffled(hf_toedit: HfToEdit, parts: dict[str, Path], tmp_path: Path) -> None:
    run = tmp_path / "run"
    given = asked(parts, human=0.75, stories=0.25)
    done = hf_toedit("mix", *given, "-o", run, "--tokens", "40K", "--json")
    assert (done.code, done.stderr) == (0, ""), done
    rows = mixed(run)
    assert rows.column_names == ["text", "mixed_from"]
    tokens = Counter[str]()
    for row in rows:
        tokens[row["mixed_from"]] += len(words(row["text"]))
    longest = {name: max(len(words(row["text"])) for row in rows if row["mixed_from"] == name) for name in tokens}
    assert abs(tokens["human"] - 30_000) <= longest["human"] and abs(tokens["stories"] - 10_000) <= longest["stories"]
    told = done.json["datasets"]
    assert {name: found["num_tokens"] for name, found in told.items()} == dict(tokens)
    of = {
        name: set(texts(file))
        for name, file in (("human", "biomed_pubmedqa_l"), ("stories", "synthetic_tinystories_500"))
    }
    assert all(row["text"] in of[row["mixed_from"]] for row in rows)
    assert len(set(rows["text"])) == len(rows)
    names = rows["mixed_from"][:]
    changes = sum(a != b for a, b in zip(names, names[1:], strict=False))
    few = min(Counter(names).values())
    assert changes > few  # rows in two blocks would have one change
    assert hf_toedit("verify", run).code == 0
    card = (run / "README.md").read_text(encoding="utf-8")
    assert f"{len(rows):,} rows with {sum(tokens.values()):,} words, shuffled" in card
    assert "<code>stories</code>: <code>story</code>" in card


def test_the_same_rows_whatever_the_workers_and_others_with_another_seed(
    hf_toedit: HfToEdit, parts: dict[str, Path], tmp_path: Path
) -> None:
    given = asked(parts, human=0.5, stories=0.5)
    found = {}
    for name, options in {"a": (), "b": ("--workers", 2), "c": ("--seed", 1)}.items():
        assert hf_toedit("mix", *given, "-o", tmp_path / name, "--tokens", "9K", "-q", *options).code == 0
        found[name] = mixed(tmp_path / name)["text"][:]
    assert found["a"] == found["b"] and found["a"] != found["c"]
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "a").rglob("*") if path.is_file()}
    assert hf_toedit("mix", *given, "-o", tmp_path / "a", "--tokens", "9K", "-q").code == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "a").rglob("*") if path.is_file()} == files
    message = hf_toedit.fails("mix", *given, "-o", tmp_path / "a", "--tokens", "8K")
    assert "holds another run" in message


def test_rows_of_all_splits_and_datasets_whose_names_end_alike(hf_toedit: HfToEdit, tmp_path: Path) -> None:
    for name in ("a", "ba"):
        for split in ("train", "test"):
            rows = "".join(json.dumps({"text": f"{name} {split} {number}"}) + "\n" for number in range(9))
            path = tmp_path / name / f"{split}.jsonl"
            path.parent.mkdir(exist_ok=True)
            path.write_text(rows, encoding="utf-8")
    given = [f"{name}={tmp_path / name}:0.5" for name in ("a", "ba")]
    done = hf_toedit("mix", *given, "-o", tmp_path / "run", "-q")
    assert (done.code, done.stderr) == (0, ""), done
    rows = mixed(tmp_path / "run")
    assert all(row["text"].startswith(f"{row['mixed_from']} ") for row in rows)
    assert sorted(rows["text"][:]) == sorted(
        f"{name} {split} {number}" for name in ("a", "ba") for split in ("train", "test") for number in range(9)
    )
    assert hf_toedit("verify", tmp_path / "run").code == 0


def test_rows_that_are_there_more_than_once_are_counted(
    hf_toedit: HfToEdit, parts: dict[str, Path], tmp_path: Path
) -> None:
    given = asked(parts, human=0.5, stories=0.5)
    asking = ("--tokens", "200K", "--max-epochs", 3, "--tokenizer", shared("models/stories260K"), "--json")
    done = hf_toedit("mix", *given, "-o", tmp_path / "run", *asking)
    assert (done.code, done.stderr) == (0, ""), done
    card = (tmp_path / "run" / "README.md").read_text("utf-8")
    assert "tokens of <code>stories260K</code>" in card and str(shared("models")) not in card
    told = done.json["datasets"]["human"]
    counts = Counter(row["text"] for row in mixed(tmp_path / "run") if row["mixed_from"] == "human")
    assert told["num_rows"] == counts.total() and told["num_rows_there"] == 200
    assert told["epochs"] == pytest.approx(told["num_tokens"] / told["num_tokens_there"])
    assert set(counts.values()) <= {int(told["epochs"]), int(told["epochs"]) + 1}


def test_a_folder_that_holds_something_else_is_left_alone(
    hf_toedit: HfToEdit, parts: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    message = hf_toedit.fails("mix", *asked(parts, human=0.5, stories=0.5), "-o", tmp_path)
    assert message == f"folder {tmp_path} is not empty and holds no run. Name a new folder with -o."
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("args", "code", "expected"),
    [
        (("human={human}:0.5", "stories={stories}:0.25"), 2, "the shares sum to 0.75, and must sum to 1."),
        (("human={human}:1",), 2, "a mixture needs two datasets or more."),
        (("human={human}", "stories={stories}:0.5"), 2, "has no share. Write it as human="),
        (("human={human}:x", "stories={stories}:0.5"), 2, "has no share: 'x' is not a number above 0. Write it as"),
        (("human={human}:-1", "stories={stories}:2"), 2, "has no share: '-1' is not a number above 0. Write it as"),
        (("human=run:gen1", "stories={stories}:2"), 2, "or as human=run:gen1:0.5 if 'gen1' is a generation of a run."),
        (("human={human}:0.5", "human={stories}:0.5"), 2, "two datasets are called 'human'."),
        (("{human}:0.5", "stories={stories}:0.5"), 2, "is not NAME=SOURCE:SHARE. Write it as human=org/web:0.75"),
        (("a/b={human}:0.5", "stories={stories}:0.5"), 2, "name 'a/b' must begin with a letter or digit"),
        (("human={human}:0.5", "other={other}:0.5"), 1, "column 'text' holds int64, not text."),
        (
            ("human={human}:0.5", "listed={listed}:0.5", "--text-column", "text"),
            1,
            "column 'text' holds a list, not text",
        ),
        (("human={human}:0.5", "empty={empty}:0.5"), 2, "dataset 'empty' has no tokens."),
        (("human={human}:0.5", "stories={stories}:0.5", "--tokens", "9M"), 2, "4,500,000 tokens of 'human' are asked"),
        (("human={human}:0.5", "stories={stories}:0.5", "--tokens", 1), 2, "no row of 'human' fits into 0 tokens."),
        (
            ("human={human}:0.999999", "stories={stories}:0.000001"),
            2,
            "no row of 'stories' fits into 0 tokens. Ask for more with --max-epochs or a larger share.",
        ),
        (
            ("human={human}:0.5", "stories={stories}:0.5", "--max-epochs", "1e9"),
            2,
            "Ask for fewer with --tokens or --max-epochs.",
        ),
        (("human={human}:0.5", "stories={stories}:0.5", "--tokens", "some"), 2, "'some' is not a number of tokens."),
        (("human={human}:0.5", "stories={stories}:0.5", "--name-column", "topic"), 1, "a column 'topic' already"),
        (("human={human}:0.5", "stories={stories}:0.5", "--tokenizer", "none/such here"), 1, "none/such here"),
        (("human={human}:0.5", "none=none.jsonl:0.5"), 1, "none.jsonl"),
        (("human={human}:0.5", "stories={stories}:0.5", "--max-epochs", 0), 2, "--max-epochs 0 is out of range"),
        (("human={human}:0.5", "stories={stories}:0.5", "--max-epochs", "inf"), 2, "--max-epochs inf is out of range"),
        (
            ("human={human}:1e999", "stories={stories}:0.5"),
            2,
            "share of 'human' is inf. It must be above 0 and finite.",
        ),
        (("human={human}:0.5", "stories={stories}:0.5", "--name-column", "text"), 1, "a column 'text' already"),
    ],
)
def test_what_cannot_be_mixed_is_refused(
    hf_toedit: HfToEdit, parts: dict[str, Path], tmp_path: Path, args: tuple[object, ...], code: int, expected: str
) -> None:
    filled = (str(arg).format(**parts) for arg in args)
    assert expected in hf_toedit.fails("mix", *filled, "-o", tmp_path / "run", code=code)
    assert not (tmp_path / "run" / "toedit/plan.json").exists()


def test_a_dataset_without_a_share_in_python(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^dataset 'a' is not a source and its share\. Write it as \"a\": \("):
        mix({"a": "sample"}, tmp_path / "run")  # type: ignore[dict-item]
