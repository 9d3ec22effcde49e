"""The benchmarks run, store their figures, and print tables; their speed is not tested."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.shared import shared

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
COLUMNS = ("forward", "forward + head", "editor", "transformers, padded", "transformers, one by one")


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def test_measures_every_column_and_makes_a_table(tmp_path):
    figures = tmp_path / "figures.json"
    tiny = ["--priors", "embedded", "--seconds", "0.2", "--rounds", "1", "--columns", *COLUMNS]
    run = [sys.executable, str(BENCHMARKS / "bench.py"), *tiny, "--output", str(figures)]
    printed = subprocess.run(run, check=True, capture_output=True, text=True).stdout
    prior = json.loads(figures.read_text())["priors"]["embedded"]
    assert list(prior["seconds"]) == list(COLUMNS)
    assert all(len(times) == 1 for times in prior["seconds"].values())
    assert list(prior["selection"]["num_differing"]) == ["transformers, padded"]
    table = [line for line in printed.splitlines() if line.startswith("| ")]
    assert [line.split(" | ")[0].removeprefix("| ") for line in table[2:]] == list(COLUMNS)


def test_a_ratio_is_taken_within_its_round():
    from report import speed_tables

    prior = {"num_documents": 2, "num_tokens": 1000, "longest": 600, "threshold": 0.5, "left_out": ["vLLM: none"]}
    seconds = {"forward + head": [1, 2, 4], "editor": [1.1, 2.4, 4], "edit command": [6, 8, 9]}
    prior |= {"num_batches_split": 0, "seconds": seconds | {"edit command, one row": [5.0, 5.0, 5.0]}}
    facts = {"cores": 2, "machine": "m", "threads": 2, "torch": "t", "transformers": "t", "rounds": 3, "left_out": []}
    table = speed_tables(facts | {"priors": {"p": prior}})
    assert "| editor | 417 | 1.10 | 1.00 to 1.20 | 1.00 |  |" in table
    assert "| edit command, less start-up | 333 | 1.00 | 1.00 to 1.50 | 1.00 | 0.91 to 1.25 |" in table
    assert "Left out: vLLM: none." in table


def test_cost_by_length_is_laid_beside_what_a_document_asks_for():
    from growth import measure_lengths_of
    from report import growth_tables

    from hf_toedit import PriorConfig, load_prior

    rows = measure_lengths_of(load_prior(PriorConfig("embedded")), [50, 200], 200, rounds=1)
    assert [row["positions"] for row in rows] == [1, 1]
    width, num_layers = 256, 4
    assert rows[0]["attention_mflop"] == pytest.approx(4 * width * num_layers * (50 + 1) / 2 / 1e6)
    table = growth_tables({"cores": 2, "machine": "m", "torch": "t", "lengths": {"embedded": rows}})
    assert "| 200 | 1.00 | 0.41 |" in table


def test_lengths_are_log_normal_whatever_their_number():
    from corpus import lengths

    for num_tokens in (20_000, 300_000):
        sizes = lengths(num_tokens)
        assert sorted(sizes)[len(sizes) // 2] == pytest.approx(300, rel=0.1)
        assert sum(sizes) == pytest.approx(num_tokens, rel=0.1)
    assert sum(size > 4000 for size in sizes) / len(sizes) == pytest.approx(0.015, abs=0.005)


def test_a_cut_tokenizer_is_the_same_with_fewer_merges():
    from priors import VOCAB_SIZE, cut_tokenizer
    from tokenizers import Tokenizer

    spec = json.loads(shared("tokenizers/gpt2/tokenizer.json").read_text(encoding="utf-8"))
    cut = Tokenizer.from_str(json.dumps(cut_tokenizer(spec, VOCAB_SIZE)))
    assert cut.get_vocab_size() == VOCAB_SIZE
    assert cut.token_to_id("<|endoftext|>") == VOCAB_SIZE - 1
    text = "The quick brown fox — 3.14, déjà vu"
    assert cut.encode(text).ids == Tokenizer.from_str(json.dumps(spec)).encode(text).ids


def test_documents_have_the_lengths_that_were_asked_for():
    from corpus import documents

    from hf_toedit import PriorConfig, load_prior

    tokenizer = load_prior(PriorConfig("embedded")).tokenizer
    texts = documents(tokenizer, [10, 300, 5000], Path("nowhere"))
    counts = [len(tokenizer.encode(text, add_special_tokens=False)) for text in texts]
    assert counts == pytest.approx([10, 300, 5000], abs=3)
