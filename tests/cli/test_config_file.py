"""`--config`: a YAML file of options overrides a preset, and the command line overrides the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from tests.cli.command import HfToEdit, prior
from tests.cli.fixtures import load, stories


@pytest.fixture
def planned(hf_toedit: HfToEdit, tmp_path: Path) -> Any:
    """Edit one story with a YAML file and options, and return the plan."""
    Dataset.from_dict({"story": stories(1), "text": ["Once upon a time."]}).to_parquet(tmp_path / "a.parquet")

    def plan(yaml: str, *options: object, with_prior: bool = True) -> dict[str, Any]:
        (tmp_path / "settings.yaml").write_text(yaml, encoding="utf-8")
        given = *(prior() if with_prior else ()), "--config", tmp_path / "settings.yaml", *options
        done = hf_toedit("edit", tmp_path / "a.parquet", "-o", tmp_path / "run", *given)
        assert (done.code, done.stderr) == (0, ""), done
        return json.loads((tmp_path / "run/toedit/plan.json").read_text())

    return plan


def test_values_apply(planned: Any, tmp_path: Path) -> None:
    yaml = f"""
    prior: {prior()[1]}
    text_column: story
    generations: 2
    limit: 1
    threshold: 0.5
    sampler: top-p
    top-p: 0.9        # a dash does as well
    exclude_original: true
    drop_below: 0.00001
    protect: [numbers, "re:Lily"]
    seed: -3
    quiet: true
    edit_log_column: log
    """
    plan = planned(yaml, with_prior=False)
    assert plan["source"]["text_columns"] == ["story"]
    assert plan["source"]["limit"] == 1
    assert plan["task"]["run"] == {"generations": 2, "edit_log_column": "log", "score_result": False}
    assert plan["task"]["edit"] == {
        "select": "above", "threshold": 0.5, "sampler": "top-p", "top_k": 8, "top_p": 0.9, "temperature": 1.5,
        "exclude_original": True, "drop_below": 0.00001, "protect": ["numbers", "re:Lily"], "seed": -3,
    }  # fmt: skip
    assert "log" in load(tmp_path / "run")["train"].features


def test_a_preset_gives_way_to_the_file_and_the_file_to_the_command_line(planned: Any) -> None:
    yaml = "preset: low_drop_up_revise\ntop_k: 9\nthreshold: 0.8\nprotect: urls\n"
    edit = planned(yaml, "--threshold", 0.7)["task"]["edit"]
    chosen = {"temperature": 1.0, "drop_below": 0.001, "top_k": 9, "threshold": 0.7, "protect": ["urls"]}
    assert edit.items() >= chosen.items()


def test_lists_of_the_command_line_replace_those_of_the_file(planned: Any) -> None:
    plan = planned("protect:\n- numbers\n- code\n", "--protect", "emails", "--protect", "urls")
    assert plan["task"]["edit"]["protect"] == ["emails", "urls"]


def test_an_empty_file_changes_nothing(planned: Any) -> None:
    assert planned("# nothing\n")["task"]["edit"]["temperature"] == 1.5


def test_a_file_may_serve_several_commands(planned: Any) -> None:
    assert planned("rows: 3\ntemperature: 2e0\n")["task"]["edit"]["temperature"] == 2.0


@pytest.mark.parametrize(
    ("yaml", "expected"),
    [
        ("treshold: 0.5", "unknown setting 'treshold' in settings.yaml, line 1. Did you mean 'threshold'?"),
        ("zzz: 1", "unknown setting 'zzz' in settings.yaml, line 1. Known: source, config_name, split, "),
        ("config: other.yaml", "unknown setting 'config'"),
        ("threshold: 3", "settings.yaml, line 1: threshold 3 is out of range"),
        ("threshold: high", "settings.yaml, line 1: threshold must be a number, not high"),
        ("preset: nope", "settings.yaml, line 1: preset nope is not known. Known: toedit, "),
        ("protect: [nope]", "unknown protect pattern 'nope'"),
        ("- threshold", "settings.yaml must hold 'name: value' lines, not a list"),
        ("threshold: [", "settings.yaml is not valid YAML"),
        ("1: 2", "unknown setting '1'"),
    ],
)
def test_what_cannot_be_meant_is_refused(yaml: str, expected: str, hf_toedit: HfToEdit, tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text(yaml)
    asked = "edit", "sample", "-o", "run", "--config", "settings.yaml"
    assert expected in hf_toedit.fails(*asked, code=2, cwd=tmp_path)
    assert not (tmp_path / "run").exists()
