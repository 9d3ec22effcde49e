"""The GPU benchmark runs to its end without a GPU, to ensure that it does so with one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from hf_toedit import EditConfig
from hf_toedit.config import Resources
from hf_toedit.editing.selection import SelectionRule
from hf_toedit.priors.norm import use_fused_norms

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


def test_it_runs_through_on_a_cpu(tmp_path):
    done = run("--device", "cpu", "--size", "tiny", "--rounds", "1", "--output", str(tmp_path / "gpu.json"))
    assert done.returncode == 0, done.stderr
    facts = json.loads((tmp_path / "gpu.json").read_text())
    assert 0.05 < facts["selected"] < 0.25
    for row in facts["columns"].values():
        assert "failed" not in row and row["tokens_per_second"] > 0
    assert sum(facts["stages_seconds"].values()) > 0
    assert "plain transformers" in done.stdout


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_it_says_that_it_needs_a_gpu():
    done = run()
    assert done.returncode and "needs a CUDA GPU" in done.stderr and len(done.stderr.splitlines()) == 1


def test_the_check_runs_through_on_a_cpu(tmp_path):
    """Parts that fail are reported, the other parts still run, and the folder of the report is that of the caller."""
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu_check.py"), "--output", "report", "--device", "cpu"]
    environment = {name: value for name, value in os.environ.items() if name != "HF_TOEDIT_PRIOR"}
    options = ("--size", "tiny", "--parts", "edit", "small", "budgets")
    done = subprocess.run([*command, *options], capture_output=True, text=True, env=environment, cwd=tmp_path)
    folder = tmp_path / "report"
    report = json.loads((folder / "report.json").read_text())
    assert report["exit codes"] == {"edit": 1, "small": 0, "budgets-0": 0, "budgets-1": 0, "budgets-2": 0}, done.stdout
    assert done.returncode == 1 and "set HF_TOEDIT_PRIOR" in (folder / "edit.log").read_text()
    assert list(json.loads((folder / "budgets-1.json").read_text())["columns"]) == ["score, threads: 1"]
    assert report["packages"]["torch"] == torch.__version__


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_the_check_without_a_gpu_says_why(tmp_path):
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu_check.py"), "--output", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode and "torch finds none" in done.stderr and len(done.stderr.splitlines()) == 1
    assert "Error" in json.loads((tmp_path / "report.json").read_text())["machine"]["failed"]


def test_the_check_imports_only_what_a_bare_machine_has():
    """Such a machine has torch, transformers and pytest; msgspec and xxhash are brought along."""
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['datasets', 'pyarrow', 'pandas', 'tenacity', 'matplotlib']));"
        "sys.path[:0] = ['.', 'benchmarks']; import gpu_check, gpu, tests.priors.test_cuda, tests.priors.test_varlen"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def _runs(number: int) -> bool:
    """Whether a process runs; a dead one may remain until its new parent asks about it."""
    try:
        return "(zombie)" not in Path(f"/proc/{number}/status").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_part_beyond_its_time_ends_with_all_its_processes(tmp_path):
    import gpu_check

    child = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    assert gpu_check._run("slow", ["-c", code], time.monotonic() + 3, tmp_path) == 124
    number = int((tmp_path / "slow.log").read_text())
    until = time.monotonic() + 10
    while _runs(number) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _runs(number)


def test_columns_that_fail_are_kept_and_the_others_go_on():
    import gpu

    def fail() -> None:
        raise ValueError("no")

    table: dict = {}
    gpu.measure({"good": list, "bad": fail}, 2, torch.device("cpu"), table, lambda: None)
    assert table["bad"]["failed"] == "ValueError: no" and len(table["good"]["seconds"]) == 2
    gpu.measure({"bad": fail}, 2, torch.device("cpu"), table, lambda: None)
    assert table["bad"]["failed"] == "ValueError: no"


def test_layers_share_compiled_code():
    """With norms of one kernel, as on a GPU, and more layers than the compiler compiles one by one."""
    import gpu

    shape = {**gpu.SIZES["tiny"].model, "num_hidden_layers": 10}
    prior = gpu.make_prior(shape, torch.device("cpu"), Resources())
    replaced = use_fused_norms(prior._body._layers)
    documents = gpu.make_documents(300, 1024, prior.context)
    rule = SelectionRule(EditConfig(threshold=0.5))
    with (
        torch._dynamo.config.patch(fail_on_recompile_limit_hit=True),
        torch.compiler.set_stance("default", force_backend="eager"),
    ):
        found = gpu.compiled(prior)(lambda: gpu.score(prior, documents, rule, 1))
    norms = [module for module in prior._body._layers.modules() if type(module).__name__ == "LlamaRMSNorm"]
    assert replaced == len(norms) == 21 and all("forward" in vars(norm) for norm in norms)
    for score, other in zip(found, gpu.score(prior, documents, rule, 1), strict=True):
        assert abs(score.logprobs - other.logprobs)[1:].max() < 1e-4
