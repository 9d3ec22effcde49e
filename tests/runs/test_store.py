"""The run folder: its layout and contents, which are the same after any interruption."""

from __future__ import annotations

import json
import random
import re
import signal
import time
from pathlib import Path
from shutil import copytree
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from datasets import Dataset, DatasetDict

from hf_toedit import __version__
from hf_toedit.config import content_hash
from hf_toedit.fingerprint import file_fingerprint
from hf_toedit.runs.store import RunFolder
from tests.cli.command import HfToEdit, eager
from tests.cli.fixtures import FEATURES, load, parquet, rows, stories
from tests.shared import shared

TWO = "--generations", 2


def _stats(run: Path, generation: int, split: str = "train") -> dict[str, Any]:
    return json.loads((run / f"toedit/stats/gen{generation}/{split}-00000-of-00001.json").read_text())


def _files(run: Path) -> set[str]:
    return {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}


def _times(run: Path) -> dict[str, int]:
    return {name: (run / name).stat().st_mtime_ns for name in _files(run) if name != "README.md"}


@pytest.fixture(scope="module")
def done(hf_toedit: HfToEdit, source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Execute a run of two generations; read-only for tests."""
    return hf_toedit.edit(source, tmp_path_factory.mktemp("done") / "run", *TWO)


@pytest.fixture
def two_splits(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    DatasetDict({"train": rows(stories(5)), "test": rows([*stories(7)[5:], None])}).save_to_disk(folder)
    return folder


def test_layout_and_plan(two_splits: Path, hf_toedit: HfToEdit, tmp_path: Path) -> None:
    run = hf_toedit.edit(two_splits, tmp_path / "run", "--generations", 2, "--seed", 7, "--protect", "numbers")
    shards = [f"gen{generation}/{split}-00000-of-00001" for generation in (1, 2) for split in ("train", "test")]
    assert _files(run) == {
        "README.md",
        *(f"assets/{name}.png" for name in ("decay", "kinds", "perplexity", "probabilities")),
        "toedit/plan.json",
        *(f"data/{shard}.parquet" for shard in shards),
        *(f"toedit/stats/{shard}.json" for shard in shards),
    }
    plan = json.loads((run / "toedit/plan.json").read_text())
    assert plan["version"] == __version__
    assert plan["source"] == {
        "source": str(two_splits), "config_name": None, "split": None, "revision": None, "text_columns": ["text"],
        "context_columns": [], "messages_column": None, "roles": ["assistant"], "limit": None, "columns": [],
    }  # fmt: skip
    assert plan["task"]["prior"]["prior"] == str(shared("models/stories260K"))
    assert len(plan["source_revision"]) == len(plan["task"]["prior_revision"]) == 40
    chosen = {"threshold": 0.9, "temperature": 4.0, "top_k": 8, "seed": 7, "protect": ["numbers"]}
    assert plan["task"]["edit"].items() >= chosen.items()
    assert plan["task"]["run"] == {"generations": 2, "edit_log_column": "toedit", "score_result": False}
    reading = plan["reading"]
    assert reading["features"] == json.loads(json.dumps(FEATURES.to_dict()))
    assert (reading["format"], reading["root"]) == ("arrow", str(two_splits))
    arrow = [two_splits / split / "data-00000-of-00001.arrow" for split in ("train", "test")]
    assert plan["files"] == [[str(file.relative_to(two_splits)), *file_fingerprint(str(file))] for file in arrow]
    assert [(shard["split"], shard["count"], shard["pieces"]) for shard in plan["shards"]] == [
        ("train", 1, [[0, 0, None]]),
        ("test", 1, [[1, 0, None]]),
    ]
    facts = {name: plan[name] for name in plan.keys() - {"format", "version", "hash", "provenance", "task"}}
    facts |= {name: value for name, value in plan["task"].items() if name != "kind"}
    del facts["prior"]["device"], facts["reading"]["root"], facts["run"]["generations"], facts["run"]["score_result"]
    assert plan["hash"] == content_hash(facts)


def test_statistics_are_those_of_the_rows(run: Path) -> None:
    plan = json.loads((run / "toedit/plan.json").read_text())
    for generation in (1, 2, 3):
        record = _stats(run, generation)
        assert record["plan"] == plan["hash"]
        assert record["num_bytes"] == (run / f"data/gen{generation}/train-00000-of-00001.parquet").stat().st_size
        stats, written = record["stats"], load(run, f"gen{generation}")["train"]
        logs = written["toedit"]
        for figure in ("num_tokens", "num_selected", "num_changed", "num_dropped"):
            assert stats[figure] == sum(log[figure] for log in logs), figure
        assert stats["num_rows"] == len(written)
        assert stats["num_skipped"] == {"empty": 1, "null": 1}
        assert stats["num_rows_changed"] == sum(log["num_changed"] > 0 for log in logs)
        assert sum(stats["probability_histogram"]) == stats["num_scored"]
        scored = [(log["nll"], log["num_tokens"]) for log in logs if log["nll"] is not None]
        # A prior with BOS scores every token, so the row means are weighted by their numbers of tokens.
        assert stats["nll_nano"] * 1e-9 == pytest.approx(sum(nll * count for nll, count in scored), rel=1e-5)


def test_dropped_tokens_are_counted_and_logged(hf_toedit: HfToEdit, source: Path, tmp_path: Path) -> None:
    run = hf_toedit.edit(source, tmp_path / "run", "--preset", "filtering", "--drop-below", "0.05")
    stats, logs = _stats(run, 1)["stats"], load(run)["train"]["toedit"]
    assert stats["num_dropped"] == sum(log["num_dropped"] for log in logs) > 0
    assert stats["num_selected"] == stats["num_changed"] == 0


def test_the_card_declares_generations_and_tells_their_figures(run: Path) -> None:
    _, front_matter, body = (run / "README.md").read_text().split("---\n", 2)
    configs = yaml.safe_load(front_matter)["configs"]
    assert [config["config_name"] for config in configs] == ["gen1", "gen2", "gen3"]
    assert [config.get("default", False) for config in configs] == [False, False, True]
    for generation in (1, 2, 3):
        stats = _stats(run, generation)["stats"]
        rate = f"{stats['num_selected'] / stats['num_tokens']:.2%}"
        assert f"| {stats['num_tokens']:,} | {stats['num_selected']:,} | {rate} |" in body


def test_examples_for_the_card_may_be_in_several_row_groups(hf_toedit: HfToEdit, tmp_path: Path) -> None:
    texts = ["", *stories(2), *[""] * 999, *stories(4)[2:]]
    Dataset.from_dict({"text": texts}).to_parquet(tmp_path / "rows.parquet")
    run = hf_toedit.edit(tmp_path / "rows.parquet", tmp_path / "run")
    assert pq.read_metadata(run / "data/gen1/train-00000-of-00001.parquet").num_row_groups == 2
    shown = set(re.findall(r"\bRow ([\d,]+),", (run / "README.md").read_text()))
    assert shown & {"1", "2"} and shown & {"1,002", "1,003"}, shown


def test_a_record_that_was_changed_is_of_no_finished_shard(run: Path, tmp_path: Path) -> None:
    folder = RunFolder(copytree(run, tmp_path / "run"))
    plan = folder.plan()
    [shard], pass_ = plan.shards, plan.passes[0]
    path = folder.stats_path(pass_, shard)
    record = json.loads(path.read_bytes())
    assert folder.record(pass_, shard) == {name: value for name, value in record.items() if name != "hash"}
    record["stats"]["num_changed"] += 1
    path.write_text(json.dumps(record))
    assert folder.record(pass_, shard) is None
    assert folder.unfinished(plan, [shard]) == [shard]


class TestAgain:
    """The same command, repeated on a run folder."""

    @pytest.fixture
    def run(self, done: Path, tmp_path: Path) -> Path:
        """Copy the run, with its modification times."""
        return copytree(done, tmp_path / "run")

    def test_does_nothing_where_all_is_done(self, hf_toedit: HfToEdit, source: Path, run: Path) -> None:
        before, card = _times(run), (run / "README.md").read_bytes()
        hf_toedit.edit(source, run, *TWO)
        assert _times(run) == before
        assert (run / "README.md").read_bytes() == card

    @pytest.mark.parametrize(
        "lost",
        [
            ["data/gen1/train-00000-of-00001.parquet"],
            ["toedit/stats/gen2/train-00000-of-00001.json"],
            ["data/gen2"],
            ["README.md", "assets/decay.png"],
        ],
    )
    def test_completes_what_is_missing(self, lost: list[str], hf_toedit: HfToEdit, source: Path, run: Path) -> None:
        before, files = parquet(run), _files(run)
        kept = {name: at for name, at in _times(run).items() if "plan" in name}
        for name in lost:
            for path in [run / name, *(run / name).glob("*")]:
                path.unlink() if path.is_file() else None
        hf_toedit.edit(source, run, *TWO)
        assert parquet(run) == before
        assert _files(run) == files
        assert kept.items() <= _times(run).items()

    @pytest.mark.parametrize("generation", [1, 2])
    def test_makes_a_truncated_shard_anew(self, generation: int, hf_toedit: HfToEdit, source: Path, run: Path) -> None:
        before = parquet(run)
        path = run / f"data/gen{generation}/train-00000-of-00001.parquet"
        path.write_bytes(path.read_bytes()[:-100])
        hf_toedit.edit(source, run, *TWO)
        assert parquet(run) == before


def test_bytes_depend_on_neither_folder_nor_token_budget(
    hf_toedit: HfToEdit, source: Path, run: Path, tmp_path: Path
) -> None:
    for budget in (7, 100_000):
        other = hf_toedit.edit(source, tmp_path / str(budget), "--generations", 3, "--token-budget", budget)
        assert parquet(other) == parquet(run)


def test_a_killed_run_is_finished_by_the_same_command(hf_toedit: HfToEdit, tmp_path: Path) -> None:
    source = tmp_path / "stories.parquet"
    Dataset.from_dict({"text": stories(60, length=600)}).to_parquet(source)
    options = "--generations", 3
    began = time.monotonic()
    whole = hf_toedit.edit(source, tmp_path / "whole", *options)
    took = time.monotonic() - began
    killed, moments = tmp_path / "killed", random.Random(0)
    for begun in (
        "toedit/plan.json",
        "data/gen1/train-00000-of-00001.parquet",
        "data/gen2/train-00000-of-00001.parquet",
    ):

        def amid(begun: str = begun) -> bool:
            return (killed / begun).exists() and not time.sleep(moments.uniform(0, took / 16))

        assert (
            hf_toedit("edit", source, "-o", killed, *eager(), *options, "--workers", 1, kill_when=amid).code
            == -signal.SIGKILL
        )
    hf_toedit.edit(source, killed, *options)
    assert parquet(killed) == parquet(whole)
    assert _files(killed) == _files(whole)


def test_a_folder_whose_plan_was_never_finished_is_free(hf_toedit: HfToEdit, tmp_path: Path) -> None:
    half = tmp_path / "run" / "toedit" / f".plan.json.1@elsewhere.{'0' * 32}.tmp"
    half.parent.mkdir(parents=True)
    half.write_text("{")
    hf_toedit.edit("sample", tmp_path / "run", "--limit", 1)
