"""Further passes over a finished run: another generation, another reading of the result; and the origin of a run."""

from __future__ import annotations

import json
from pathlib import Path
from shutil import copytree
from typing import cast

from hf_toedit.runs.store import RunFolder
from hf_toedit.stats import EditStats
from hf_toedit.tasks.edit import RESULT, generation_pass
from tests.cli.command import HfToEdit


def _data(run: Path) -> dict[str, bytes]:
    return {str(path.relative_to(run)): path.read_bytes() for path in sorted(run.glob("data/*/*.parquet"))}


def _result(folder: RunFolder) -> EditStats | None:
    """Return the statistics of the last generation's second reading; None without one."""
    plan = folder.plan()
    if plan.passes[-1].name != RESULT:
        return None
    [shard] = plan.shards
    return cast("EditStats | None", folder.stats(plan, plan.passes[-1], shard))


def test_one_more_generation_is_as_if_planned_from_the_start(hf_toedit: HfToEdit, source: Path, run: Path) -> None:
    grown = hf_toedit.edit(source, run.parent / "grown")
    first = next(grown.glob("data/gen1/*.parquet")).stat().st_mtime_ns
    done = hf_toedit("run", grown, "--generations", 3, "--quiet")
    assert (done.code, done.stdout, done.stderr) == (0, "", "")
    assert _data(grown) == _data(run)
    assert next(grown.glob("data/gen1/*.parquet")).stat().st_mtime_ns == first
    assert "Sound" in hf_toedit("verify", grown).stdout
    assert "has 3 generations already" in hf_toedit.fails("run", grown, "--generations", 2, code=2)


def test_the_result_is_read_as_a_further_generation_would_read_it(
    hf_toedit: HfToEdit, source: Path, run: Path, tmp_path: Path
) -> None:
    scored = hf_toedit.edit(source, tmp_path / "run", "--generations", 2, "--score-result")
    folder, whole = RunFolder(scored), RunFolder(run)
    result = _result(folder)
    third = whole.merged_stats(whole.plan(), generation_pass(3))
    assert result is not None
    assert {**result.to_json(), "seconds": 0} == {**third.to_json(), "seconds": 0}
    assert set(_data(scored)) == {path for path in _data(run) if "gen3" not in path}

    [data] = scored.glob("data/gen2/*.parquet")
    whole_data, notes = data.read_bytes(), scored / "toedit/stats/result"
    data.unlink()
    assert _result(folder) is None
    [kept] = notes.iterdir()
    kept.unlink()
    assert hf_toedit("status", scored, "--json").json["finished"] is False
    assert hf_toedit("run", scored, "--quiet").code == 0
    assert data.read_bytes() == whole_data
    assert _result(folder) is not None

    hf_toedit("run", scored, "--generations", 3, "--quiet")
    fourth = _result(folder)
    assert fourth is not None and fourth.nll_nano != result.nll_nano


def test_asking_for_the_reading_later(hf_toedit: HfToEdit, run: Path, tmp_path: Path) -> None:
    later = Path(copytree(run, tmp_path / "run"))
    folder = RunFolder(later)
    assert _result(folder) is None
    assert hf_toedit("run", later, "--score-result", "--quiet").code == 0
    assert _result(folder) is not None
    assert _data(later) == _data(run)


def test_a_plan_tells_where_it_comes_from(hf_toedit: HfToEdit, source: Path, tmp_path: Path) -> None:
    card = {"license": "cc-by-4.0", "language": ["en", "de"], "pretty_name": "{{ 7 * 7 }}: <b>", "task_ids": [{"a": 1}]}
    lines = [f"{name}: {json.dumps(value)}" for name, value in card.items()]
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "README.md").write_text("---\n" + "\n".join(lines) + "\n---\n# Source\n")
    (folder / "train.parquet").write_bytes(source.read_bytes())
    password = "https://me:secret@host/x?token=abc"
    signed = "https://host/x?sv=1&sig=abc"
    protected = [word for text in (password, "hf_abcdefghijkl", signed) for word in ("--protect", f"re:{text}")]
    hf_toedit("plan", folder, "-o", tmp_path / "run", *protected)
    told = RunFolder(tmp_path / "run").plan().provenance
    assert told["source_card"] == {name: card[name] for name in ("license", "language", "pretty_name")}
    assert told["prior_card"]["license"] == "apache-2.0"
    assert told["versions"].keys() >= {"hf-toedit", "torch", "transformers", "datasets"}
    assert told["command"].startswith(f"hf-toedit plan {folder} -o ")
    assert not any(secret in told["command"] for secret in ("secret", "abcdefghijkl", "token=abc", "sig=abc"))
