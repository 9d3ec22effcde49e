"""Numbers in texts, in the formats that people and models use."""

from __future__ import annotations

import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_toedit.scorers.numbers import math_answer, numbers

ANSWERS: list[tuple[str, str | None]] = [
    # after ####
    ("9 * 2 = $<<9*2=18>>18 every day.\n#### 18", "18"),
    ("#### 18 eggs, not 20", "18"),
    ("####-5", "-5"),
    ("#### 5\n#### 6", "6"),
    ("#### $1,234.50", "1234.5"),
    ("The answer is 3.\n#### 4", "4"),
    ("#### none; 7", "7"),
    ("the answer is 8 #### none", "8"),
    # \boxed
    (r"So \boxed{18}. Then 20.", "18"),
    (r"\boxed{\$18.00}", "18"),
    (r"\boxed{x = \frac{3}{4}}", "3/4"),
    (r"\boxed{-\frac{3}{4}}", "-3/4"),
    (r"\boxed{\frac{-3}{4}}", "-3/4"),
    (r"\boxed{\frac{−3}{4}}", "-3/4"),
    (r"\boxed{\dfrac34}", "3/4"),
    (r"\boxed{\frac{3}4}", "3/4"),
    (r"\boxed{1\frac{1}{2}}", "3/2"),
    (r"\boxed{-2\tfrac12}", "-5/2"),
    (r"\boxed{2\frac{3}{2}}", "3/2"),
    (r"\boxed{5\text{ cm}^2}", "5"),
    (r"\boxed{5\text{ m}^{-1}}", "5"),
    (r"\boxed{x^{12} = 7}", "7"),
    (r"\boxed{\text{about } 1{,}234 \text{ km in 2 days}}", "2"),
    (r"\boxed{1{,}234}", "1234"),
    (r"\boxed{2} or \boxed{\{3\}} 9", "3"),
    (r"\boxed{7", "7"),
    (r"\boxed{50\%}", "50"),
    (r"\boxed{3\times 10^5}", "300000"),
    (r"\boxed{2.5 \cdot 10^{-3}\text{ m}}", "1/400"),
    # the answer is
    ("The answer is 1.5 × 10^6 km.", "1500000"),
    ("The answer is ½.", "1/2"),
    ("The answer is 2½ cups.", "5/2"),
    ("The answer is –¾.", "-3/4"),
    ("The answer is –5.", "-5"),
    ("The answer is 18. That is 3 more than 15.", "18"),
    ("THE ANSWER IS: $ 18.", "18"),
    ("the answer is therefore -3/4.", "-3/4"),
    ("The final answer is **70,000**!", "70000"),
    # otherwise the last number
    ("She has 13 eggs\nA: 26", "26"),
    ("16 - 3 - 4 = 9", "9"),
    ("That makes 5-3", "3"),
    ("x = -3", "-3"),
    ("from 8 to −7", "-7"),
    ("(16)-(4)", "4"),
    ("f(2)-3", "3"),
    ("a loss of -$5.50", "-5.5"),
    ("a loss of $-5", "-5"),
    ("$20-$3", "3"),
    ("costs$5", "5"),
    ("€ 7", "7"),
    ("18.", "18"),
    ("18.0", "18"),
    ("18.000", "18"),
    ("007", "7"),
    (".5", "1/2"),
    ("0.50", "1/2"),
    ("50%", "50"),
    ("50 %", "50"),
    ("1,234,567.89", "123456789/100"),
    ("1,2345", "2345"),
    ("1, 2, 3", "3"),
    ("1/2", "1/2"),
    ("6/3", "2"),
    ("1/0", "0"),
    ("#### 1 3/4 cups", "7/4"),
    ("the answer is -2 1/2", "-5/2"),
    ("1.5 1/2", "1/2"),
    ("1 3/0", "0"),
    ("1e+20", "100000000000000000000"),
    ("1e-07", "1/10000000"),
    ("1.5E3 m", "1500"),
    ("1e1000", "1"),
    ("3eggs", "3"),
    ("on 12/25/2020", "2020"),
    ("he has x2", None),
    ("version 1.2.3", "1.2"),
    ("答案是18", "18"),
    ("_18_ and `19`", "19"),
    ("18km", "18"),
    ("", None),
    ("no number at all", None),
    ("twelve", None),
    ("- . , / #### \\boxed{} the answer is", None),
]


@pytest.mark.parametrize(("text", "expected"), ANSWERS)
def test_the_answer_of_a_solution(text: str, expected: str | None) -> None:
    assert math_answer(text) == (None if expected is None else Fraction(expected))


NUMBERS: list[tuple[str, list[float]]] = [
    ("3.5, -2e-3 and .5", [3.5, -0.002, 0.5]),
    ("[1,2,3]", [1, 2, 3]),
    ("1,234", [1, 234]),
    ("[-1.5;+2.25]", [-1.5, 2.25]),
    ("x1 = 3−4", [3, 4]),
    ("1e5 5E+2 5e", [1e5, 500, 5]),
    ("1. one 2. two", [1, 2]),
    ("1.2.3", [1.2]),
    ("none", []),
]


@pytest.mark.parametrize(("text", "expected"), NUMBERS)
def test_all_numbers_of_a_text(text: str, expected: list[float]) -> None:
    assert numbers(text) == expected


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_reference_that_is_a_number_is_read_as_python_writes_it(value: float) -> None:
    assert math_answer(str(value)) == Fraction(str(value))


WRITTEN = st.decimals(-(10**12), 10**12, places=4, allow_nan=False, allow_infinity=False)


@given(WRITTEN, st.sampled_from(["#### {}", "It is {}.", r"\boxed{{{}}} 3", "3 = 3, the answer is {}, not 5", "${}%"]))
def test_a_number_is_the_same_however_it_is_written(value: object, around: str) -> None:
    exact = Fraction(str(value))
    for written in (f"{value:f}", f"{value:,f}", f"{value:f}000"):
        assert math_answer(around.format(written)) == exact


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False)))
def test_numbers_come_back_as_they_were_written(values: list[float]) -> None:
    assert numbers(" ".join(map(repr, values))) == values


@given(st.text("0123456789.,/-+$%#\\boxed{} answer isfrac€\n−", max_size=60))
def test_any_text_has_an_answer_or_none(text: str) -> None:
    found = math_answer(text)
    assert found is None or isinstance(found, Fraction)
    numbers(text)


@pytest.mark.parametrize(
    "text",
    ["9" * 10**5, "1," * 10**5, "111," * 10**5, "1/" * 10**5, "\\boxed{" * 10**4, "$-" * 10**5]
    + ["\\frac" * 10**4, "1 " * 10**5, "^{" * 10**5, "1e" * 10**5],
)
def test_texts_that_are_all_digits_or_signs_take_no_time(text: str) -> None:
    began = time.process_time()
    math_answer(text)
    numbers(text)
    assert time.process_time() - began < 2
    assert math_answer(f"{text} #### 5") == 5
