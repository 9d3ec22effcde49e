"""`Run`, `plan` and `edit` in Python: the same results, bytes and errors as the commands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset

import hf_toedit
from hf_toedit import HubError, Run, RunError, UsageError
from hf_toedit.api.edits import RunSettings
from hf_toedit.api.revert import revert_rows
from hf_toedit.cli.plan import plan as plan_command
from hf_toedit.engines.inline import InlineEngine
from tests.cli.command import HfToEdit
from tests.cli.fixtures import load, parquet, same
from tests.hub_server import HubServer
from tests.shared import shared


def _eager() -> dict[str, Any]:
    return {"prior": shared("models/stories260K"), "threshold": 0.9, "temperature": 4}


def test_a_run_from_python_has_the_bytes_of_the_command(hf_toedit: HfToEdit, source: Path, tmp_path: Path) -> None:
    by_command = hf_toedit.edit(source, tmp_path / "command", "--generations", 2, "--num-shards", 3)
    run = hf_toedit_plan(source, tmp_path / "python", generations=2, num_shards=3)
    assert run.status().num_done == 0 and len(run.plan.passes) == 2
    with pytest.raises(RunError, match="3 of 3 shards"):
        run.push("org/name")
    assert run.execute(workers=0, shard_group="0/3", progress=False).num_done == 1
    status = run.execute(workers=1, progress=False)
    assert status.is_finished and parquet(tmp_path / "python") == parquet(by_command)
    assert (tmp_path / "python/README.md").is_file()
    assert run.stats().num_tokens == run.status().statistics[1].num_tokens
    assert run.stats(1).num_changed > 0
    assert same(run.dataset(1)["train"], load(by_command, "gen1")["train"])
    streamed = run.dataset(streaming=True)["train"].select_columns("text")
    assert [row["text"] for row in streamed] == list(load(by_command)["train"]["text"])
    assert any(table and table.edits for table in run.texts())


def hf_toedit_plan(source: Path, folder: Path, **settings: Any) -> Run:
    return hf_toedit.plan(source, folder, **_eager(), **settings)


def test_an_edited_run_is_opened_gone_on_with_verified_and_pushed(
    source: Path, tmp_path: Path, hub_server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = hf_toedit.edit(source, tmp_path / "run", workers=0, progress=False, **_eager())
    assert hf_toedit.edit(source, tmp_path / "run", workers=0, progress=False, **_eager()).plan == made.plan
    run = Run.open(tmp_path / "run")
    engine = InlineEngine(run.plan.task, hf_toedit.Resources())
    assert len(run.execute(engine=engine, generations=2, progress=False).passes) == 2
    assert len(Run.open(tmp_path / "run").plan.passes) == 2
    with pytest.raises(RunError, match="was not verified"):
        run.push("owner/from-python")
    found = run.verify(progress=False)
    assert (found.problems, found.num_shards) == ([], 2)
    assert run.card()[-1] == tmp_path / "run/README.md"
    (next((tmp_path / "run/data/gen2").glob("*.parquet"))).write_bytes(b"PAR1")
    assert run.verify(progress=False).problems
    with pytest.raises(UsageError, match="2 generations already"):
        run.execute(generations=1)


def test_what_is_wrong_is_an_error_of_one_line(source: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown setting 'sed'. Did you mean 'seed'"):
        hf_toedit.plan(source, tmp_path / "run", sed=1)  # type: ignore[call-arg]
    with pytest.raises(UsageError, match="top_k must be a whole number"):
        hf_toedit.edit(source, tmp_path / "run", top_k="8")  # type: ignore[arg-type]
    for given, said in [
        ((None, "run"), "source must be a string, not None."),
        ((b"in", "run"), "source must be a string, not b'in'."),
        ((source, b"run"), "folder must be a string, not b'run'."),
    ]:
        for function in (hf_toedit.plan, hf_toedit.edit, hf_toedit.generate):
            with pytest.raises(UsageError, match=f"^{said}$"):
                function(*given)  # type: ignore[operator]
        with pytest.raises(UsageError, match=f"^{said}$"):
            hf_toedit.score(*given, scorer="random")
    with pytest.raises(UsageError, match="run must be a string, not None"):
        revert_rows(None, tmp_path / "run")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="folder must be a string, not 3"):
        Run.open(3)  # type: ignore[arg-type]
    for workers, said in [
        (-1, "-1 is out of range: it must be at least 0."),
        ("two", "'two' is not known. Known: auto."),
        (1.5, "must be a whole number or auto, not 1.5."),
    ]:
        with pytest.raises(UsageError, match=f"^workers {re.escape(said)}$"):
            hf_toedit.edit(source, tmp_path / "run", workers=workers)  # type: ignore[arg-type]
    with pytest.raises(RunError, match="is not a run folder"):
        Run.open(tmp_path / "nothing")
    run = hf_toedit_plan(source, tmp_path / "run")
    with pytest.raises(RunError, match="holds another run: --seed is 0 in the run and 3 here"):
        hf_toedit_plan(source, tmp_path / "run", seed=3)
    with pytest.raises(UsageError, match="has no 'gen2', only gen1"):
        run.stats(2)
    with pytest.raises(RunError, match="generation 1 of .* is not finished"):
        run.dataset()
    with pytest.raises(RunError, match="generation 1 of .* is not finished"):
        next(run.texts())
    for settings, said in [
        ({"generations": "2"}, "generations must be a whole number, not '2'."),
        ({"shard_group": (0, 2)}, "shard_group must be a string, not (0, 2)."),
    ]:
        with pytest.raises(UsageError, match=f"^{re.escape(said)}$"):
            run.execute(**settings)
    with pytest.raises(UsageError, match="unknown setting 'generations'. Known: prior_revision, "):
        hf_toedit.ToEditor.from_pretrained(generations=2)  # type: ignore[call-arg]
    assert issubclass(HubError, hf_toedit.ToEditError)


def test_a_run_is_reverted(source: Path, run: Path, tmp_path: Path) -> None:
    done = Run.open(run).revert(tmp_path / "source", 2)
    assert done.num_rows.total() == load(tmp_path / "source")["train"].num_rows
    assert same(load(tmp_path / "source")["train"], load_dataset("parquet", data_files=str(source), split="train"))


def test_a_repository_without_a_name_is_refused(run: Path) -> None:
    with pytest.raises(UsageError, match="repository must be a string, not None"):
        Run.open(run).push(None, unverified=True)  # type: ignore[arg-type]


def test_a_run_shows_itself(source: Path, tmp_path: Path) -> None:
    run = hf_toedit.edit(source, tmp_path / "run", workers=0, progress=False, generations=2, **_eager())
    assert repr(run) == f"Run({str(tmp_path / 'run')!r}, {str(source)!r} edited in 1 shard, gen1 to gen2)"
    html = run._repr_html_()
    assert html is not None and "1 of 1 shards done" in html and html.count("<tr>") >= 3


def test_settings_have_the_names_of_the_command_line() -> None:
    options = {option.name for option in plan_command.params}
    elsewhere = {"no_edit_log", "output", "dry_run", "price_per_hour", "config", "as_json", "quiet", "source"}
    resources = {"token_budget", "memory_fraction", "tensor_parallel"}
    assert set(RunSettings.__annotations__) == options - elsewhere - resources
