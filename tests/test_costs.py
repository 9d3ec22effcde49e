"""The tables of speed and cost in the guide to priors follow from recorded benchmarks and stated assumptions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs/guides/priors.md").read_text(encoding="utf-8")
PEAK = {"H100": 989e12, "A100": 312e12}
PRICE = {"H100": 3.0, "A100": 1.5, "CPU": 0.1}
SHARE = 0.4


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the table whose first line contains a heading."""
    table = next(part for part in GUIDE.split("\n\n") if part.startswith("| ") and heading in part.splitlines()[0])
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def number(text: str) -> float:
    return float(text.replace(",", "").removesuffix(" M").removesuffix(" B"))


def cost(tokens_per_second: float, price_per_hour: float) -> float:
    return price_per_hour / 3600 / tokens_per_second * 1e9


def test_measured_rows() -> None:
    recorded = (ROOT / "benchmarks/README.md").read_text(encoding="utf-8")
    found = re.findall(r"^\| editor(?:, --prune)? \| ([\d,]+) \|", recorded, re.M)
    speeds = {float(speed.replace(",", "")) for speed in found}
    measured = rows("Time / floor")
    assert len(measured) == 5
    for *_, speed, _, dollars in measured:
        assert number(speed) in speeds
        assert number(dollars) == pytest.approx(cost(number(speed), PRICE["CPU"]), rel=0.01)


def test_estimated_rows() -> None:
    for statement in ("40 %", "2 floating-point operations", "989 TFLOP/s", "312 for an A100", "$3 per hour", "$1.50"):
        assert statement in GUIDE
    for _, parameters, device, speed, dollars in rows("(estimate)"):
        count, card = device.split()[:2]
        expected = int(count) * SHARE * PEAK[card] / (2e9 * number(parameters))
        assert number(speed) == pytest.approx(expected, rel=0.02)
        assert number(dollars) == pytest.approx(cost(expected, int(count) * PRICE[card]), rel=0.02)
