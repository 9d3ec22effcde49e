"""lm-eval evaluates the models that a probe stores."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from hf_toedit.api.probe import probe
from tests.probes.small import SETTINGS, config_file, stories, write


def test_lm_eval_reads_the_models_of_a_probe(example: Callable[..., str], tmp_path: Path) -> None:
    """Its figures equal those of the probe, except for the context at the borders of windows."""
    found = stories(80)
    held_out = write(tmp_path / "held-out.jsonl", found[:10])
    sources = {name: str(write(tmp_path / f"{name}.jsonl", found[10:])) for name in ("human", "edited")}
    settings = {**SETTINGS, "seeds": 2, "keep_models": True, "progress": False}
    probe(sources, {"held-out": held_out}, tmp_path / "report", model=config_file(tmp_path), **settings)
    printed = example("lm_eval_probe.py", "report", "--held-out", held_out)
    figures = dict(line.split(" held_out bits_per_byte ") for line in printed.splitlines() if " held_out " in line)
    assert set(figures) == {f"{name}/rate-0.03/seed-{seed}" for name in sources for seed in (0, 1)}
    num_bytes = sum(len(text.encode()) for text in found[:10])
    for name, figure in figures.items():
        result = json.loads((tmp_path / "report/work/models" / name / "result.json").read_text(encoding="utf-8"))
        nll = sum(result["scores"]["held-out"]["nll"])
        assert float(figure) == pytest.approx(nll / num_bytes / math.log(2), rel=0.05)
