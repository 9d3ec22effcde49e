"""Runs of many shards: engines, workers, groups, failures, and the output of `status` and `verify`."""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, load_dataset

from hf_toedit.api.run import Run
from hf_toedit.config import Resources, content_hash
from hf_toedit.engines.local import LocalEngine, _environments
from hf_toedit.engines.messages import Done, Fatal, Ready, Rows, Setup, Work, read_answer, to_line
from hf_toedit.errors import UsageError
from hf_toedit.fingerprint import WHOLE_BYTES
from hf_toedit.runs.monitor import Running, processes
from hf_toedit.runs.store import RunFolder
from tests.cli.command import HfToEdit, eager
from tests.cli.fixtures import load, parquet, same, stories
from tests.processes import OwnProcess, children, is_alive
from tests.shared import shared


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write two Parquet files of stories, with odd texts between them."""
    folder = tmp_path_factory.mktemp("stories")
    told = [*stories(20), None, "", *stories(40)[20:]]
    for number, texts in enumerate((told[:25], told[25:])):
        Dataset.from_dict({"id": list(range(len(texts))), "text": texts}).to_parquet(folder / f"{number}.parquet")
    return folder


def _plan(hf_toedit: HfToEdit, source: Path, run: Path, *options: object) -> Path:
    done = hf_toedit("plan", source, "-o", run, *eager(), "--quiet", *options)
    assert (done.code, done.stdout, done.stderr) == (0, "", ""), done
    return run


def _popen(run: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "hf_toedit", "run", str(run), *options]
    return OwnProcess(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _until(condition: Any, patience_s: float = 300) -> None:
    until = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def _running(run: Path) -> list[Running]:
    """Return the running shards that `status` reports, fast enough for polling."""
    return [shard for process in processes(RunFolder(run)) for shard in process.running]


def _state(hf_toedit: HfToEdit, run: Path) -> dict[str, Any]:
    return hf_toedit("status", run, "--json").json


def test_rows_are_the_same_however_the_work_is_cut(hf_toedit: HfToEdit, source: Path, tmp_path: Path) -> None:
    ways = [
        ("--num-shards", 1),
        ("--num-shards", 3, "--token-budget", 64),
        ("--num-shards", 16, "--workers", 2, "--token-budget", 100_000),
        ("--shard-size", "2kB", "--token-budget", 1000),
    ]
    results = []
    for number, way in enumerate(ways):
        run = hf_toedit.edit(source, tmp_path / f"run{number}", "--generations", 2, *way)
        results.append([load(run, f"gen{generation}")["train"] for generation in (1, 2)])
        assert hf_toedit("verify", run, "--json").json["ok"]
    counts = [len(parquet(tmp_path / f"run{number}")) for number in range(len(ways))]
    assert counts[:3] == [2, 6, 32]
    assert counts[3] > 6
    assert all(same(one, other) for result in results[1:] for one, other in zip(result, results[0], strict=True))
    assert results[0][1]["text"] != results[0][0]["text"] != load_dataset(str(source))["train"]["text"]


def test_groups_share_a_run_and_the_last_one_finishes_it(hf_toedit: HfToEdit, source: Path, tmp_path: Path) -> None:
    run = _plan(hf_toedit, source, tmp_path / "run", "--num-shards", 8)
    done: list[set[str]] = []
    for group in range(3):
        before = set(parquet(run))
        state = hf_toedit("run", run, "--shard-group", f"{group}/3", "--json").json
        done.append(set(parquet(run)) - before)
        assert (state["num_done"], state["finished"]) == (len(before) + len(done[-1]), group == 2)
        assert (run / "README.md").exists() == (group == 2)
    assert sorted(len(names) for names in done) == [2, 3, 3]
    assert len(load(run)["train"]) == 42
    assert hf_toedit.fails("run", run, "--shard-group", "3/3", code=2).startswith("shard group '3/3' is not I/N")


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_told_to_stop_does_so_at_once(
    ending: int, hf_toedit: HfToEdit, source: Path, tmp_path: Path
) -> None:
    run = _plan(hf_toedit, source, tmp_path / "run", "--num-shards", 12, "--generations", 100)
    with _popen(run, "--workers", "2") as process:
        _until(lambda: len(_state(hf_toedit, run)["running"]) == 2 and len(parquet(run)) >= 3)
        workers = children(process.pid)
        state = _state(hf_toedit, run)
        process.send_signal(ending)
        began = time.monotonic()
        stdout, stderr = process.communicate(timeout=30)
        assert time.monotonic() - began < 5
    assert (process.returncode, stdout) == (130, "")
    assert stderr == "Error: stopped. Finished work is kept; the same command continues where it stopped.\n"
    assert len(workers) == 2
    assert not any(is_alive(pid) for pid in workers)
    assert state["tokens_per_second"] > 0
    assert not [path for path in run.rglob("*") if ".tmp" in path.name or "progress" in path.name]
    kept = len(parquet(run))
    assert 3 <= kept < 12 * 100
    assert hf_toedit("run", run, "--shard-group", "11/12").code == 0  # the last one, which has not begun
    assert len(parquet(run)) > kept


def test_a_run_without_workers_does_not_wait_for_a_long_text(hf_toedit: HfToEdit, tmp_path: Path) -> None:
    """The threads that read the text would otherwise delay the exit of the interpreter."""
    texts = ["A cat sat on the mat.", " ".join(stories(40)) * 500]  # the second one takes minutes
    pq.write_table(pa.table({"text": texts}), tmp_path / "long.parquet")
    run = _plan(hf_toedit, tmp_path / "long.parquet", tmp_path / "run", "--num-shards", 2)
    with _popen(run, "--workers", "0") as process:
        _until(lambda: parquet(run))
        _state(hf_toedit, run)  # takes long enough for the second shard to begin
        process.send_signal(signal.SIGTERM)
        try:
            stdout, stderr = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, stdout) == (130, "")
    assert stderr == "Error: stopped. Finished work is kept; the same command continues where it stopped.\n"
    assert len(parquet(run)) == 1


def test_workers_end_when_their_parent_is_killed(hf_toedit: HfToEdit, source: Path, tmp_path: Path) -> None:
    run = _plan(hf_toedit, source, tmp_path / "run", "--num-shards", 4, "--generations", 100)
    with hf_toedit.begin("run", run, "--workers", 2) as process:
        _until(lambda: parquet(run))
        workers = children(process.pid)
        process.kill()
    assert workers
    _until(lambda: not any(is_alive(pid) for pid in workers), 5)
    assert _state(hf_toedit, run)["running"] == []


def test_a_shard_that_kills_its_workers_is_given_up_after_three_tries(
    hf_toedit: HfToEdit, source: Path, tmp_path: Path
) -> None:
    run = _plan(hf_toedit, source, tmp_path / "run", "--num-shards", 1, "--generations", 1000)
    with hf_toedit.begin("run", run, "--workers", 1) as process:
        for _ in range(3):
            _until(lambda: _running(run))
            assert _state(hf_toedit, run)["running"]
            os.kill(children(process.pid)[0], signal.SIGKILL)
            _until(lambda: not _running(run))
        done = process.end()
    assert done.code == 1
    assert done.stderr.startswith(
        "Error: 1 of 1 shards failed. train-00000-of-00001: was killed by SIGKILL (out of memory?)"
    )
    state = _state(hf_toedit, run)
    assert [failure["shard"] for failure in state["failed"]] == ["train-00000-of-00001"]


def test_a_run_goes_on_without_a_worker_that_cannot_start(hf_toedit: HfToEdit, source: Path, tmp_path: Path) -> None:
    run = _plan(hf_toedit, source, tmp_path / "run", "--num-shards", 4)

    with hf_toedit.begin("run", run, "--workers", 2) as process:
        _until(lambda: len(children(process.pid)) == 2)
        seen = set(children(process.pid)[:1])
        for _ in range(3):
            _until(lambda: set(children(process.pid)) - seen)
            [dying] = set(children(process.pid)) - seen
            os.kill(dying, signal.SIGKILL)
            seen.add(dying)
        done = process.end()
    assert done.code == 0
    assert "was killed by SIGKILL (out of memory?). The run continues with 1 of 2 workers." in done.stderr
    assert _state(hf_toedit, run)["finished"]


def test_a_broken_source_file_fails_its_shards_alone(hf_toedit: HfToEdit, source: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(source, tmp_path / "source")
    broken, whole = folder / "1.parquet", source / "1.parquet"
    run = _plan(hf_toedit, folder, tmp_path / "run", "--shard-size", "3kB")
    times = broken.stat()
    damaged = bytearray(whole.read_bytes())
    damaged[4:400] = bytes(396)
    broken.write_bytes(damaged)
    os.utime(broken, ns=(times.st_atime_ns, times.st_mtime_ns))
    message = hf_toedit.fails("run", run, "--workers", 1)
    assert "1.parquet" in message and "changed" in message
    state = _state(hf_toedit, run)
    assert 0 < len(state["failed"]) < state["num_shards"] == state["num_done"] + len(state["failed"])
    assert all("1.parquet" in failure["reason"] for failure in state["failed"])
    told = f"{state['num_done']} of {state['num_shards']} shards done, 0 running, {len(state['failed'])} failed"
    assert hf_toedit("status", run).stdout.startswith(told)

    broken.write_bytes(whole.read_bytes())
    assert hf_toedit("run", run).code == 0
    assert _state(hf_toedit, run)["failed"] == []
    assert same(load(run)["train"], load(hf_toedit.edit(source, tmp_path / "other"))["train"])


def test_damaged_shards_are_found_and_made_anew(hf_toedit: HfToEdit, source: Path, tmp_path: Path) -> None:
    run = hf_toedit.edit(source, tmp_path / "run", "--num-shards", 6, "--generations", 2)
    other = hf_toedit.edit(source, tmp_path / "other", "--num-shards", 6, "--generations", 2, "--seed", 5)
    whole = parquet(run)
    names = sorted(whole)

    truncated = run / names[0]
    truncated.write_bytes(whole[names[0]][:-100])
    counted = run / names[1].replace("data", "toedit/stats").replace(".parquet", ".json")
    record = json.loads(counted.read_text())
    record["stats"]["num_changed"] += 1
    counted.write_text(json.dumps(record))
    for path in (names[2], names[2].replace("data", "toedit/stats").replace(".parquet", ".json")):
        shutil.copy(other / path, run / path)
    flipped = bytearray(whole[names[3]])
    flipped[len(flipped) // 3] ^= 1
    (run / names[3]).write_bytes(flipped)

    report = hf_toedit("verify", run)
    assert report.code == 1
    problems = report.stdout.splitlines()
    assert [problem.split(":")[0] for problem in problems] == [f"train-0000{number}-of-00006" for number in range(4)]
    assert all("is not done" in problem for problem in problems[:3])
    assert "is damaged" in problems[3]
    assert _state(hf_toedit, run)["num_done"] == 3

    (run / names[3]).unlink()
    assert hf_toedit("run", run).code == 0
    assert parquet(run) == whole
    assert hf_toedit("verify", run).stdout.startswith("Sound: 84 rows in 12 files agree")


def test_verify_finds_what_a_fingerprint_does_not_tell(hf_toedit: HfToEdit, tmp_path: Path) -> None:
    """In a large source, rows were swapped between the blocks that its fingerprint samples."""
    path, told, pad = tmp_path / "source.jsonl", stories(4, 200), "x" * (WHOLE_BYTES // 3)
    for order in ([0, 1, 2, 3], [0, 2, 1, 3]):
        lines = [json.dumps({"id": number, "text": told[number], "pad": pad}) for number in order]
        path.write_text("\n".join(lines))
        if order[1] == 1:
            run = hf_toedit.edit(path, tmp_path / "run")
            assert hf_toedit("verify", run).code == 0
    assert "row 1 differs from its source in column 'id'" in hf_toedit("verify", run).stdout
    assert hf_toedit("verify", run, "--no-source").code == 0
    path.write_text("\n".join([lines[0].replace('"id": 0', '"id": 4'), *lines[1:]]))
    assert "has changed since it was planned" in hf_toedit("verify", run).stdout


def test_another_prior_under_the_same_name_is_refused(hf_toedit: HfToEdit, source: Path, tmp_path: Path) -> None:
    prior = shutil.copytree(shared("models/stories260K"), tmp_path / "prior")
    for path in prior.iterdir():
        path.chmod(0o644)
    run = tmp_path / "run"
    assert hf_toedit("plan", source, "-o", run, "--prior", prior).code == 0
    config = json.loads((prior / "config.json").read_text())
    (prior / "config.json").write_text(json.dumps({**config, "note": "changed"}))
    for workers in (0, 1):
        assert "is not the one that was planned" in hf_toedit.fails("run", run, "--workers", workers)


def test_a_prior_that_cannot_be_loaded_leaves_no_run_behind(hf_toedit: HfToEdit, source: Path, tmp_path: Path) -> None:
    prior = tmp_path / "prior"
    prior.mkdir()
    (prior / "config.json").write_text("{}")
    for workers in (0, 1):
        message = hf_toedit.fails("edit", source, "-o", tmp_path / "run", "--prior", prior, "--workers", workers)
        assert message.startswith("cannot load the")
    assert not (tmp_path / "run").exists()


def test_a_damaged_generation_is_no_input_of_the_next(hf_toedit: HfToEdit, source: Path, tmp_path: Path) -> None:
    run = hf_toedit.edit(source, tmp_path / "run", "--generations", 2)
    whole = parquet(run)
    first, second = (run / name for name in sorted(whole))
    second.unlink()
    flipped = bytearray(first.read_bytes())
    flipped[len(flipped) // 3] ^= 1
    first.write_bytes(flipped)
    assert f"{first} is damaged" in hf_toedit.fails("run", run)
    assert set(parquet(run)) == {str(first.relative_to(run))}
    first.unlink()
    assert hf_toedit("run", run).code == 0
    assert parquet(run) == whole


def test_status_counts_each_shard_once(hf_toedit: HfToEdit, source: Path, tmp_path: Path) -> None:
    """Cases: processes that share a shard, and a process that died between finishing a shard and reporting it."""
    run = _plan(hf_toedit, source, tmp_path / "run", "--num-shards", 3, "--generations", 2)
    assert hf_toedit("run", run, "--shard-group", "0/3").code == 0
    [done] = {Path(name).stem for name in parquet(run)}
    waiting, other = (f"train-0000{number}-of-00003" for number in range(3) if str(number) != done[10])
    before = _state(hf_toedit, run)
    for shard in (done, other):
        path = run / "toedit/failures" / f"{shard}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"shard": shard, "reason": "it was told to"}))
    (run / "toedit/progress").mkdir()
    for number in range(2):
        running = [{"shard": shard, "pass_name": "gen1", "num_rows": 2, "num_tokens": 50} for shard in (done, waiting)]
        state = {"host": platform.node(), "pid": os.getpid(), "updated": 0, "tokens_per_second": 5, "running": running}
        (run / "toedit/progress" / f"{number}.json").write_text(json.dumps(state))
    after = _state(hf_toedit, run)
    assert (before["num_done"], before["num_waiting"]) == (1, 2)
    assert (after["num_done"], after["num_waiting"], after["tokens_per_second"]) == (1, 0, 10)
    assert [entry["shard"] for entry in after["running"]] == [waiting]
    assert [entry["shard"] for entry in after["failed"]] == [other]


def test_a_worker_refuses_a_plan_that_its_engine_does_not_know(
    hf_toedit: HfToEdit, source: Path, tmp_path: Path
) -> None:
    run = _plan(hf_toedit, source, tmp_path / "run")
    plan = RunFolder(run).plan()
    orders = [Setup(plan.task.to_json(), Resources()), Work(str(run), plan.content_hash, ["gen1"], 0)]
    with OwnProcess([sys.executable, "-m", "hf_toedit.engines.worker"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as worker:  # fmt: skip
        assert worker.stdin and worker.stdout
        worker.stdin.write("".join(map(to_line, orders)))
        worker.stdin.flush()
        answers = [read_answer(worker.stdout.readline())]
        while not isinstance(answers[-1], Done):
            answers.append(read_answer(worker.stdout.readline()))
        ready, *rows, done = answers
        assert ready == Ready(plan.task.to_json()) and done == Done(0)
        assert sum(answer.counts["num_rows"] for answer in rows if isinstance(answer, Rows)) == 42
        other = shutil.copytree(run, tmp_path / "other")
        worker.stdin.write(to_line(Work(str(other), "another", ["gen1"], 0)))
        worker.stdin.flush()
        fatal = read_answer(worker.stdout.readline())
        assert isinstance(fatal, Fatal) and fatal.kind == "RunError" and "was planned again" in fatal.message


def test_an_engine_continues_a_run_to_further_generations(hf_toedit: HfToEdit, source: Path, tmp_path: Path) -> None:
    run = _plan(hf_toedit, source, tmp_path / "run", "--num-shards", 2)
    with LocalEngine(Run.open(run).plan.task, Resources(), 1) as engine:
        assert Run.open(run).execute(engine=engine).is_finished
        assert Run.open(run).execute(engine=engine, generations=2).is_finished
    assert len(parquet(run)) == 2 * 2


def test_gpus_are_those_that_the_environment_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lister = tmp_path / "nvidia-smi"
    lister.write_text("#!/bin/sh\nfor number in 0 1 2; do echo GPU $number: some; echo '  MIG 1g'; done\n")
    lister.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    for named, gpus in ((None, "012"), ("1,2", "12"), ("0,-1,2", "0"), ("-1", ""), ("", "")):
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if named is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
        environments = _environments("auto", None, 1)
        assert "".join(environment.get("CUDA_VISIBLE_DEVICES", "") for environment in environments) == gpus
        assert len(environments) == max(len(gpus), 1)
    assert len(_environments("auto", 4, 1)) == 4
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with pytest.raises(UsageError, match="4 workers are more than there are GPUs"):
        _environments("auto", 4, 1)


def test_gpus_share_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lister = tmp_path / "nvidia-smi"
    lister.write_text("#!/bin/sh\nfor number in 0 1 2 3 4; do echo GPU $number: some; done\n")
    lister.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for workers, groups in ((None, ["0,1", "2,3"]), (1, ["0,1"])):
        assert [entry["CUDA_VISIBLE_DEVICES"] for entry in _environments("auto", workers, 2)] == groups
    with pytest.raises(UsageError, match=r"3 workers are more than there are GPUs \(5, and 2 share a model\)"):
        _environments("cuda", 3, 2)
    with pytest.raises(UsageError, match=r"--tensor-parallel 6 asks for more GPUs than there are \(5\)"):
        _environments("cuda", None, 6)


def test_watching_ends_when_the_watcher_does(hf_toedit: HfToEdit, source: Path, tmp_path: Path) -> None:
    run = _plan(hf_toedit, source, tmp_path / "run")
    command = [sys.executable, "-m", "hf_toedit", "status", str(run), "--watch", "--json"]
    for ending, code, said in (("signal", 130, "Error: stopped.\n"), ("pipe", 1, "")):
        with OwnProcess(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout and process.stderr
            assert json.loads(process.stdout.readline())["num_waiting"] == 1
            if ending == "signal":
                process.send_signal(signal.SIGINT)
            else:
                process.stdout.close()
            assert (process.stderr.read(), process.wait(20)) == (said, code)


def test_verify_counts_the_statistics_anew(hf_toedit: HfToEdit, source: Path, tmp_path: Path) -> None:
    """Detects carefully forged records, with a valid checksum."""
    run = hf_toedit.edit(source, tmp_path / "run", "--num-shards", 5, "--generations", 2)
    wrong = {"num_changed": 1, "num_rows_changed": -1, "num_documents": 1, "nll_nano": 10**9, "num_characters": 5}
    for number, (name, more) in enumerate(wrong.items()):
        path = run / f"toedit/stats/gen2/train-0000{number}-of-00005.json"
        record = json.loads(path.read_text())
        record["stats"][name] += more
        del record["hash"]
        path.write_text(json.dumps({"hash": content_hash(record), **record}))
    assert _state(hf_toedit, run)["finished"]
    problems = hf_toedit("verify", run).stdout.splitlines()
    told = [problem.split(": ")[2].split(" is ")[0] for problem in problems]
    assert told == ["num_changed", "num_rows_changed", "num_documents", "nll", "num_characters"]
