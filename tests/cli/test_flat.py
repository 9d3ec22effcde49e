"""`--flat-columns`: figures of the edit log as number columns, correct in every row, and removed by revert."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from datasets import Dataset, Value

import hf_toedit
from hf_toedit.config import RunConfig
from hf_toedit.errors import UsageError
from hf_toedit.mergeable import Statistics
from hf_toedit.runs.store import RunFolder
from hf_toedit.runs.verify import verify_run
from hf_toedit.runs.writer import Writer
from tests.cli.command import HfToEdit, eager, prior
from tests.cli.fixtures import load, rows, same, stories

OPTIONS = (*prior(), "--threshold", 0.6, "--temperature", 8, "--generations", 2)
NAMES = ["toedit_selected_rate", "toedit_changed_rate", "toedit_nll"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create a folder with a source."""
    made = tmp_path_factory.mktemp("flat")
    rows([*stories(6), "", None]).to_parquet(made / "a.parquet")
    return made


@pytest.fixture(scope="module")
def before() -> Dataset:
    """Return the rows of the source."""
    return rows([*stories(6), "", None])


@pytest.fixture(scope="module")
def flat(hf_toedit: HfToEdit, folder: Path) -> Path:
    """Execute a run of the source with flat columns; read-only for tests."""
    return hf_toedit.edit(folder / "a.parquet", folder / "flat", *OPTIONS, "--flat-columns")


def _copied(run: Path, folder: Path) -> Path:
    return Path(shutil.copytree(run, folder / "run"))


def _figures(edited: Dataset) -> list[list[float | None]]:
    return [[row[name] for name in NAMES] for row in edited.select_columns(NAMES)]


def _of(log: dict[str, float]) -> list[float | None]:
    tokens = log["num_tokens"]
    shares = [log[name] / tokens if tokens else None for name in ("num_selected", "num_changed")]
    return [None if value is None else pa.scalar(value, pa.float32()).as_py() for value in (*shares, log["nll"])]


def test_rows_have_the_figures_of_their_log_and_all_else_is_as_without(
    hf_toedit: HfToEdit, folder: Path, flat: Path, tmp_path: Path
) -> None:
    plain = hf_toedit.edit(folder / "a.parquet", tmp_path / "plain", *OPTIONS)
    shards = hf_toedit.edit(folder / "a.parquet", tmp_path / "shards", *OPTIONS, "--flat-columns", "--num-shards", 3)
    for number in (1, 2):
        edited, without = (load(run, f"gen{number}")["train"] for run in (flat, plain))
        assert edited.column_names == [*without.column_names, *NAMES]
        assert [edited.features[name] for name in NAMES] == [Value("float32")] * 3
        assert same(edited.remove_columns(NAMES), without)
        figures = _figures(edited)
        assert figures == [_of(log) for log in edited["toedit"]]
        assert figures[-1] == [None, None, None] and 0 < figures[0][1] <= figures[0][0] < 1
        assert same(load(shards, f"gen{number}")["train"], edited)
    assert "| toedit\\_changed\\_rate" in (flat / "README.md").read_text().replace("<code>", "")
    assert "changed\\_rate" not in (plain / "README.md").read_text()


def test_it_is_verified_and_reverted(hf_toedit: HfToEdit, before: Dataset, flat: Path, tmp_path: Path) -> None:
    run = _copied(flat, tmp_path)
    assert hf_toedit("verify", run).code == 0
    assert hf_toedit("revert", run, "-o", tmp_path / "source", "--quiet").code == 0
    assert same(load(tmp_path / "source")["train"], before)
    assert same(_reverted(load(run)["train"]), before)

    folder = RunFolder(run)
    plan = folder.plan()
    last, shard = plan.task.passes[-1], plan.shards[0]
    table, stats = pa.concat_tables(folder.tables(plan, last, shard)), folder.stats(plan, last, shard)
    assert stats is not None
    index = table.column_names.index(NAMES[1])
    wrong = table.set_column(index, table.schema.field(index), pa.array([0.5] * len(table), pa.float32()))

    def fill(writer: Writer) -> Statistics:
        writer.write(wrong)
        return stats

    folder.write_shard(plan, last, shard, fill)
    [problem] = verify_run(plan, folder).problems
    assert "generation 2: column 'toedit_changed_rate' does not match the edit log" in problem


def _reverted(edited: Dataset) -> Dataset:
    return hf_toedit.revert(edited)


def test_a_further_generation_by_map_keeps_them_true(before: Dataset, flat: Path) -> None:
    named = {"prior": str(prior()[1]), "threshold": 0.6, "temperature": 8.0}
    third = load(flat, "gen2")["train"].with_format("arrow").map(_processor(**named), batched=True).with_format(None)
    assert _figures(third) == [_of(log) for log in third["toedit"]]
    assert same(_reverted(third), before)


def _processor(**settings: object) -> object:
    return hf_toedit.ToEditProcessor(**settings, generation=3)


def test_a_column_of_the_source_with_such_a_name_stays(hf_toedit: HfToEdit, tmp_path: Path) -> None:
    before = rows(stories(2)).add_column("toedit_nll", [1.5, 2.5])
    before.to_parquet(tmp_path / "a.parquet")
    said = hf_toedit.fails("edit", tmp_path / "a.parquet", "-o", tmp_path / "no", *OPTIONS, "--flat-columns")
    assert "already has a column 'toedit_nll', which --flat-columns would write" in said
    run = hf_toedit.edit(tmp_path / "a.parquet", tmp_path / "run", *OPTIONS)
    assert load(run)["train"]["toedit_nll"] == [1.5, 2.5]
    assert same(_reverted(load(run)["train"]), before)


def test_the_same_command_goes_on_and_another_wish_is_another_run(
    hf_toedit: HfToEdit, folder: Path, flat: Path, tmp_path: Path
) -> None:
    run = _copied(flat, tmp_path)
    command = ("edit", folder / "a.parquet", "-o", run, *eager(), *OPTIONS, "--quiet")
    assert hf_toedit(*command).code == 0
    assert "flat-columns" in hf_toedit.fails(*command, "--no-flat-columns")
    plan = json.loads((run / "toedit/plan.json").read_text())
    assert plan["task"]["run"]["flat_columns"] is True


def test_they_need_a_log(hf_toedit: HfToEdit, folder: Path, tmp_path: Path) -> None:
    command = ("edit", folder / "a.parquet", "-o", tmp_path / "run", "--no-edit-log", "--flat-columns")
    assert "figures of the edit log" in hf_toedit.fails(*command, code=2)
    with pytest.raises(UsageError, match="figures of the edit log"):
        RunConfig(edit_log_column=None, flat_columns=True)


def test_the_result_is_read_where_that_costs_under_a_tenth() -> None:
    assert [RunConfig(count).score_result for count in (1, 10, 11)] == [False, False, True]
    assert RunConfig(11, score_result=False).score_result is False
