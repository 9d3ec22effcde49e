"""The rules of verifiers, by rows made by hand and by what real models answered."""

from __future__ import annotations

import json
from fractions import Fraction

import pytest
from hf_toedit.scorers.answers import is_exact, is_math_answer, math_answer, numbers, numeric_error
from hypothesis import given
from hypothesis import strategies as st

from tests.shared import shared


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("It costs $1,234.50.", ["1234.5"]),
        ("-3 and +4", ["-3", "4"]),
        ("\u22123 degrees", ["-3"]),
        ("3-4 apples", ["3", "4"]),
        ("from 1990-2000", ["1990", "2000"]),
        ("a quarter, 1/4, or .25", ["1/4", "1/4"]),
        ("3 / 4", ["3/4"]),
        (r"\frac{3}{4} and \dfrac{-1}{2}", ["3/4", "-1/2"]),
        ("1,2,3 and 12,345", ["1", "2", "3", "12345"]),
        ("2e-3, 1.5E6", ["1/500", "1500000"]),
        ("x2, v1.2.3, co2", []),
        ("50% of 1,000,000", ["50", "1000000"]),
        ("1/0", []),
        ("-$5 or $ 5", ["-5", "5"]),
        ("1e999999999", ["1"]),
        ("7.", ["7"]),
        ("", []),
    ],
)
def test_numbers_as_people_write_them(text: str, found: list[str]) -> None:
    assert numbers(text) == [Fraction(number) for number in found]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("2 + 3 = 5\n#### 5 of 7", 5),
        ("#### 4\nno, #### 7,000", 7000),
        (r"so x = \boxed{12} for 3 cases", 12),
        (r"thus \boxed{\frac{1}{2}} of 8", Fraction(1, 2)),
        ("The answer is 42, as 6 * 7 is.", 42),
        ("6 * 7 = 42\nA: 42 ducks of 50", 42),
        ("Answer: -$3.50 (5 each)", Fraction(-7, 2)),
        ("first 3, then 4", 4),
        ("ten", None),
        ("", None),
    ],
)
def test_the_final_answer(text: str, answer: object) -> None:
    assert math_answer(text) == answer


def test_a_reference_without_a_number_says_nothing() -> None:
    assert is_math_answer("5", "no idea") is None
    assert is_math_answer("no idea", "#### 5") is False
    assert is_math_answer("It is 5.00 dollars.", "#### 5") is True


@given(st.integers(-(10**9), 10**9), st.sampled_from(["{}", "{:,}", "${:,}", "{}.0", "#### {}", "The answer is {:,}."]))
def test_the_way_a_number_is_written_does_not_matter(number: int, form: str) -> None:
    written = form.format(number).replace("$-", "-$")
    assert is_math_answer(written, f"#### {number}")
    assert not is_math_answer(written, f"#### {number + 1}")


def test_answers_of_real_models_are_judged_as_their_authors_did() -> None:
    """Solutions of GSM8K by four models of OpenAI, which say of each whether it is right."""
    with shared("data/math_gsm8k_test.jsonl").open(encoding="utf-8") as lines:
        references = [json.loads(line)["answer"] for line in lines]
    with shared("data/synthetic_gsm8k_model_solutions.jsonl").open(encoding="utf-8") as lines:
        solutions = [json.loads(line) for line in lines]
    for solution in solutions:
        assert is_math_answer(solution["text"], references[solution["question_id"]]) == solution["is_correct"]


@pytest.mark.parametrize(
    ("text", "reference", "error"),
    [
        ("1.0, 2.0", "1 2", 0.0),
        ("1.1 2", "1 2", 0.1 / 3),
        ("-1 2", "1 2", 2 / 3),
        ("1", "1 2", float("inf")),
        ("none", "0", float("inf")),
        ("0", "0", 0.0),
        ("1", "0", float("inf")),
        ("5", "nothing", None),
    ],
)
def test_the_relative_error_of_numbers(text: str, reference: str, error: float | None) -> None:
    assert numeric_error(text, reference) == (error if error is None else pytest.approx(error))


def test_exact_leaves_whitespace_around_and_the_form_of_unicode_aside() -> None:
    assert is_exact(" cafe\u0301\n", "caf\u00e9")
    assert not is_exact("cafe", "caf\u00e9") and not is_exact("a  b", "a b")
