"""Reproducible items: names, settings and reports; results depend only on the seed."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hf_toedit.cards.escape import markdown
from hf_toedit.checked import kinds
from hf_toedit.errors import RunError, UsageError
from hf_toedit.papers.item import Outcome, Work
from hf_toedit.papers.registry import find_item, items
from hf_toedit.papers.report import draw, report_json, report_markdown
from hf_toedit.papers.reproduce import outlook, reproduce, reproducible
from hf_toedit.papers.toedit.ablations import Table6
from hf_toedit.papers.toedit.collapse import verdict
from hf_toedit.probes.config import ProbeConfig

ITEMS = [item.title for item in items()]


def test_names_are_those_of_the_papers_and_each_there_once() -> None:
    assert len(set(ITEMS)) == len(ITEMS)
    assert {entry["arxiv"] for entry in reproducible()} == {"2412.14689", "2406.07515"}
    for item in items():
        assert find_item(item.title).title == find_item(f"  {item.title.upper()} ").title == item.title
        assert item.claim.endswith(".") and item.differs.endswith(".") and item.minutes > 0
        for scale in ("tiny", "paper"):
            settings = item.settings(scale)
            json.dumps(settings)
            if "learning_rates" in settings:
                ProbeConfig.from_mapping({name: settings[name] for name in kinds(ProbeConfig) if name in settings})


def test_names_that_are_not_there() -> None:
    with pytest.raises(UsageError, match=r"unknown name 'Theorm 1'. Did you mean 'Theorem 1'\? `hf-toedit rep"):
        find_item("Theorm 1")
    with pytest.raises(UsageError, match="there is no scale 'huge'. Use tiny or paper."):
        outlook("Theorem 1", "huge")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["Theorem 1", "Theorem 3.2"])
def test_a_report(name: str, tmp_path: Path) -> None:
    report = reproduce(name, tmp_path / "report", progress=False)
    assert report["holds"] in ("yes", "no") and report["scale"] == "tiny"
    assert json.loads((tmp_path / "report/report.json").read_text()) == report
    text = (tmp_path / "report/report.md").read_text()
    assert text.startswith(f"# {name}") and markdown(report["reason"]) in text
    for picture in (tmp_path / "report").glob("assets/*"):
        assert f"assets/{picture.name}" in text
    again = reproduce(name, tmp_path / "report", progress=False)
    same = {key: value for key, value in again.items() if key != "seconds"}
    assert same == {key: value for key, value in report.items() if key != "seconds"}
    with pytest.raises(RunError, match="holds another reproduction. Name a new folder"):
        reproduce(name, tmp_path / "report", seed=1, progress=False)
    assert reproduce(name, tmp_path / "other", seed=1, progress=False)["tables"] != report["tables"]
    with pytest.raises(RunError, match="is not empty and holds no report"):
        reproduce(name, tmp_path)


@pytest.mark.parametrize(("low", "high", "holds"), [(-0.01, 0.02, "yes"), (-0.2, 0.2, "not decided"), (0.1, 0.2, "no")])
def test_settings_are_comparable_only_if_a_difference_would_have_been_seen(low: float, high: float, holds: str) -> None:
    one = {"value": (low + high) / 2, "low": low, "high": high}
    found, reason = Table6().judged({("k-8", "k-64"): one})
    assert found == holds and "k-8 and k-64 " in reason


@pytest.mark.parametrize(
    ("replaced", "edited", "holds"),
    [
        ((0.4, 0.6), (-0.05, 0.05), "yes"),
        ((0.1, 0.9), (-0.4, 0.4), "not decided"),  # edited text could be as bad as replaced text
        ((-0.1, 0.9), (-0.2, -0.15), "not decided"),
        ((0.4, 0.6), (0.01, 0.05), "no"),
        ((-0.4, -0.1), (-0.05, 0.05), "no"),
    ],
)
def test_edits_are_seen_not_to_collapse_only_by_narrow_intervals(
    replaced: tuple[float, float], edited: tuple[float, float], holds: str
) -> None:
    ends = [{"low": low, "high": high} for low, high in (replaced, edited)]
    assert verdict(*ends) == holds


def test_labels_of_pictures_are_whole(tmp_path: Path) -> None:
    """The ticks of these are 1, 2, 3 and 4 at first, and then 1.0, 1.5, …, which need more space."""
    item = find_item("Theorem 1")
    [plot] = item.run(item.settings("tiny"), Work(0, tmp_path)).plots
    picture = np.asarray(Image.open(io.BytesIO(draw(plot))).convert("L"))
    assert picture[:, :20].min() > 200


def test_a_report_of_the_papers_scale_does_not_describe_the_tiny_one_as_its_own() -> None:
    item, outcome = find_item("toedit:Table 2"), Outcome("yes", "so.", [])
    for scale, begin in (("tiny", "\n\nThe paper trains OLMo-1B"), ("paper", "\n\nAt scale tiny: The paper trains")):
        facts = {"scale": scale, "seed": 0, "seconds": 1.0, "version": "0"}
        assert begin in report_markdown(report_json(item, {}, outcome, facts), outcome)
