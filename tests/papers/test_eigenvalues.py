"""Eigenvalues as tokens, correctness, beams compared with plain `generate`, and small runs of the tables."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hf_toedit.papers.item import Work
from hf_toedit.papers.reinforcement import eigenvalue_tables
from hf_toedit.papers.reinforcement.eigenvalues import (
    Study,
    eigenvalues,
    new_model,
    predict,
    relative_errors,
    symmetric,
)
from hf_toedit.papers.reinforcement.encoder_decoder import train
from hf_toedit.papers.reinforcement.encoding import (
    LARGEST,
    MAX_DIMENSION,
    PAD,
    START,
    VOCABULARY,
    decode,
    encode,
    encode_matrices,
)
from hf_toedit.scorers.verifier import NumericConfig

SMALL: Mapping[str, Any] = {
    "dimension": 2,
    "all_entries": False,
    "d_model": 16,
    "layers": 1,
    "heads": 2,
    "dropout": 0.0,
    "originals": 200,
    "synthetic": 300,
    "held_out": 50,
    "steps": 8,
    "batch_size": 16,
    "learning_rate": 4e-3,
    "further": {"steps": 4, "learning_rate": 1e-3},
    "tolerance": math.inf,  # gives untrained models correct predictions to select
    "beam": 3,
    "repetitions": 2,
}


def words(tokens: np.ndarray) -> str:
    return " ".join(VOCABULARY[token] for token in tokens.tolist())


@given(st.lists(st.floats(-LARGEST, LARGEST), min_size=1, max_size=8))
def test_numbers_come_back_with_three_digits(numbers: list[float]) -> None:
    wanted = np.array(numbers)
    tokens = encode(wanted)
    found = decode(tokens)
    assert tokens.shape == (3 * len(numbers),)
    assert (np.abs(found - wanted) <= np.maximum(0.00501 * np.abs(wanted), 1e-10)).all()
    np.testing.assert_array_equal(encode(found), tokens)


@given(st.sampled_from((-1, 1)), st.integers(100, 999), st.integers(-12, 2))
def test_numbers_of_three_digits_come_back_exactly(sign: int, mantissa: int, exponent: int) -> None:
    number = sign * float(f"{mantissa}e{exponent}")
    assert decode(encode(np.array([number]))).tolist() == [number]
    assert words(encode(np.array([number]))) == f"{'-' if sign < 0 else '+'} {mantissa} E{exponent}"


@pytest.mark.parametrize(
    "number, written",
    [
        (math.pi, "+ 314 E-2"),
        (-10.0, "- 100 E-1"),
        (9.9961, "+ 100 E-1"),
        (0.0, "+ 0 E0"),
        (-0.0, "+ 0 E0"),
        (-1e-30, "+ 0 E0"),
        (1e-10, "+ 100 E-12"),
        (-99_900.0, "- 999 E2"),
    ],
)
def test_how_numbers_are_written(number: float, written: str) -> None:
    assert words(encode(np.array([number]))) == written


@pytest.mark.parametrize("number", [1e5, -math.inf, math.nan])
def test_numbers_that_cannot_be_written(number: float) -> None:
    with pytest.raises(ValueError, match="must be finite, and at most 99900 in size"):
        encode(np.array([number]))


def test_the_vocabulary() -> None:
    assert len(set(VOCABULARY)) == len(VOCABULARY) == 4 + 1000 + 15 + MAX_DIMENSION
    assert VOCABULARY[PAD] == "<pad>" and VOCABULARY[START] == "<s>"
    ids = {word: token for token, word in enumerate(VOCABULARY)}

    def number(text: str) -> float:
        return float(decode(np.array([ids[word] for word in text.split()]))[0])

    assert number("- 25 E-1") == -2.5
    for text in ("+ + E0", "5 5 E0", "+ 5 V1", "+ 5 5", "<s> 5 E0", "+ <pad> E0", "+ E-12 E0"):
        assert math.isnan(number(text))


def test_matrices() -> None:
    matrices = symmetric(np.random.default_rng(0), 500, 3)
    np.testing.assert_array_equal(matrices, matrices.swapaxes(1, 2))
    assert np.abs(matrices).max() <= 10 and abs(matrices.mean()) < 0.5
    values = eigenvalues(matrices)
    assert (np.diff(values) <= 0).all()
    np.testing.assert_allclose(values.sum(axis=1), matrices.trace(axis1=1, axis2=2), atol=1e-9)
    whole, triangle = encode_matrices(matrices, True), encode_matrices(matrices, False)
    assert whole.shape == (500, 28) and triangle.shape == (500, 19)
    assert {words(tokens[:1]) for tokens in (*whole, *triangle)} == {"V3"}
    np.testing.assert_allclose(decode(whole[:, 1:]).reshape(-1, 3, 3), matrices, rtol=0.00501)
    np.testing.assert_array_equal(decode(triangle[:, 1:]), decode(whole[:, 1:])[:, [0, 1, 2, 4, 5, 8]])


@pytest.mark.parametrize(
    "found, truth, error",
    [
        ([3.0, -1.0], [3.0, -1.0], 0.0),
        ([3.3, -1.1], [3.0, -1.0], 0.1),
        ([-1.0, 3.0], [3.0, -1.0], 2.0),
        ([0.0, 0.0], [0.0, 0.0], 0.0),
        ([0.1, 0.0], [0.0, 0.0], math.inf),
        ([math.nan, -1.0], [3.0, -1.0], math.inf),
    ],
)
def test_errors_by_hand(found: list[float], truth: list[float], error: float) -> None:
    assert float(relative_errors(np.array(found), np.array(truth))) == pytest.approx(error)


def test_errors_are_those_of_the_numeric_verifier() -> None:
    rng = np.random.default_rng(1)
    truth = decode(encode(eigenvalues(symmetric(rng, 200, 3))))
    found = decode(encode(truth * rng.normal(1, 0.02, truth.shape)))
    errors = relative_errors(found, truth)
    verifier = NumericConfig(reference_column="truth")
    for own, a, b in zip(errors, found, truth, strict=True):
        verified = verifier.verify(" ".join(map(repr, a.tolist())), " ".join(map(repr, b.tolist())))
        assert verified is not None and verified["error"] == pytest.approx(float(own))
        assert verified["passed"] == int(own <= verifier.tolerance)


def test_beams_are_those_of_generate(tmp_path: Path) -> None:
    matrices = symmetric(np.random.default_rng(2), 40, 2)
    inputs, labels = encode_matrices(matrices, False), encode(eigenvalues(matrices))
    model = new_model(SMALL, 0)
    steps: list[None] = []
    train(model, {"input_ids": inputs, "labels": labels}, tmp_path, SMALL, 0, lambda: steps.append(None))
    assert len(steps) == SMALL["steps"] and not list(tmp_path.iterdir())
    greedy, beams = predict(model, inputs, 2), predict(model, inputs, 2, num_beams=4)
    assert greedy.tokens.shape == (40, 1, 6) and beams.tokens.shape == (40, 4, 6) and beams.values.shape == (40, 4, 2)
    assert (np.diff(beams.perplexities, axis=1) > -1e-4).all()
    for row in (0, 17):
        ids = torch.tensor(inputs[row : row + 1])
        plain = {
            beams: model.generate(ids, max_new_tokens=6, num_beams=beams, num_return_sequences=beams)
            for beams in (1, 4)
        }
        np.testing.assert_array_equal(plain[1][:, 1:].numpy(), greedy.tokens[row])
        np.testing.assert_array_equal(plain[4][:, 1:].numpy(), beams.tokens[row])
        for made in (greedy, beams):
            for tokens, perplexity in zip(made.tokens[row], made.perplexities[row], strict=True):
                with torch.no_grad():
                    loss = model(input_ids=ids, labels=torch.tensor(tokens[None])).loss
                assert perplexity == pytest.approx(math.exp(loss), rel=1e-3)


def test_a_model_learns_and_is_kept(tmp_path: Path) -> None:
    """Small matrices of three kinds, whose eigenvalues can be memorized; the same command then does nothing."""
    study = Study({**SMALL, "originals": 3, "steps": 150, "learning_rate": 0.01}, Work(0, tmp_path), 0)
    model = study.generator()
    found = study.errors("originals", study.predicted("generator", model, "originals").values)
    assert (found < 0.01).all()
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
    again = study.generator()
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name])
    study.predicted("generator", again, "originals")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")} == files
    other = Study(study.settings, study.work, 1)
    assert not np.array_equal(other.matrices("originals"), study.matrices("originals"))
    assert not np.array_equal(study.matrices("originals"), study.matrices("synthetic")[:3])


@pytest.mark.parametrize("name", ["Table1", "Table2", "Table3", "Table4"])
def test_tables_end_to_end(name: str, tmp_path: Path) -> None:
    item = getattr(eigenvalue_tables, name)()
    outcome = item.run(SMALL, Work(0, tmp_path))
    [table] = outcome.tables
    assert outcome.holds in ("yes", "no", "not decided") and "generator" in outcome.reason
    assert all(len(row) == len(table.columns) for row in table.rows)
    models = {path.stem for path in tmp_path.glob("repetition-1/*.safetensors")}
    assert len(models) == (1 if name == "Table1" else len(table.rows))
    assert len(list(tmp_path.glob("repetition-2/*.safetensors"))) == len(models)
    again = item.run(SMALL, Work(0, tmp_path))
    assert again == outcome
