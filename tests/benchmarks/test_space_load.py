"""Twenty concurrent visitors for a few seconds: no errors, and every visitor gets the editor's result."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.browser.server import environment

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "space_load.py"


def test_twenty_visitors_at_once(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    run = [sys.executable, str(SCRIPT), "--visitors", "20", "--seconds", "8", "--output", str(figures)]
    printed = subprocess.run(run, check=True, capture_output=True, text=True, env=environment()).stdout
    facts = json.loads(figures.read_text())
    assert (facts["errors"], facts["wrong"]) == ([], [])
    assert facts["fewest_of_a_visitor"] > 0
    assert "| errors | 0 |" in printed
