"""Passes are as large as memory allows, and are halved when it runs out; scores are bitwise the same."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from hf_toedit import PriorConfig, load_prior
from hf_toedit.config import Resources
from hf_toedit.errors import OutOfMemory
from hf_toedit.priors import loading
from hf_toedit.priors.allocator import use_expandable_segments
from hf_toedit.priors.head import ROWS, Head
from hf_toedit.priors.memory import MAX_TOKENS, StageMemory, find_passes, fitting_passes, out_of_memory
from hf_toedit.priors.packing import PIECE_TOKENS
from hf_toedit.priors.transformers import TransformersPrior
from tests.shared import shared

SCRIPT = """
import logging, resource, sys
import numpy as np
from hf_toedit import EditConfig, PriorConfig, load_prior
from hf_toedit.config import Resources
from hf_toedit.editing.alignment import Aligner
from hf_toedit.editing.selection import SelectionRule
from hf_toedit.errors import PriorError
from tests.shared import texts

folder, megabytes, num_texts = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
logging.basicConfig(level=logging.WARNING, stream=sys.stdout, format="%(message)s")
stories = texts("synthetic_tinystories_500")
prior, hungry = load_prior(PriorConfig(folder)), load_prior(PriorConfig(folder), Resources(2**20))
documents, rule = Aligner(prior.tokenizer).align(stories[:num_texts]), SelectionRule(EditConfig())
expected = prior.score(documents, rule)

def limit(num_bytes):
    resource.setrlimit(resource.RLIMIT_AS, (num_bytes, resource.RLIM_INFINITY))

used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
limit(used + megabytes * 2**20)
try:
    scores = hungry.score(documents, rule)
except PriorError as error:
    print("refused:", error)
    sys.exit()
same = all(
    np.array_equal(getattr(a, name), getattr(b, name), equal_nan=name == "logprobs")
    for a, b in zip(scores, expected, strict=True)
    for name in ("logprobs", "positions", "candidate_ids", "candidate_logprobs")
)
print("same:", same)
print("again:")
hungry.score(documents, rule)
"""


def scored_within(folder: Path, megabytes: int, num_texts: int) -> str:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    command = [sys.executable, "-c", SCRIPT, str(folder), str(megabytes), str(num_texts)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=root)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
def test_passes_are_halved_where_memory_runs_out():
    halved, _, again = scored_within(shared("models/stories260K"), 64, 200).partition("again:")
    assert halved.count("forward passes are halved to") > 2
    assert "same: True" in halved
    # The size that fitted is remembered; less memory is free by then.
    assert again.count("halved") < halved.count("halved")


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
def test_memory_for_no_pass_at_all_is_an_error(tmp_path):
    # The model is so wide that a pass of 1024 tokens takes 256 MiB for each activation.
    config = AutoConfig.from_pretrained(shared("models/stories260K"), intermediate_size=2**16, num_hidden_layers=1)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    for file in shared("models/stories260K").glob("tokenizer*.json"):
        shutil.copy(file, tmp_path)
    last = scored_within(tmp_path, 64, 3).splitlines()[-1]
    assert last.startswith("refused:") and "out of memory even at 1024 tokens" in last


GIB = 2**30


def test_as_many_passes_as_fit_into_a_gpu():
    body = StageMemory((4096, 3 * GIB), (8192, 4 * GIB))  # 2 GiB, and 256 KiB per token

    def fitting(free: float, concurrency: int = 3, kept: float = 0) -> tuple[int, int]:
        return fitting_passes([body], int(free * GIB), concurrency, int(kept * GIB))

    assert fitting(1000) == (3, MAX_TOKENS)
    assert fitting(0) == fitting(2) == (1, PIECE_TOKENS)
    numbers = set()
    for tenths in range(26, 500, 7):
        number, tokens = fitting(tenths / 10)
        assert tokens % PIECE_TOKENS == 0 and number * (2 * GIB + tokens * 2**18) <= tenths / 10 * GIB
        assert number == 1 or tokens >= 4096
        assert fitting(tenths / 10, kept=0.5) <= (number, tokens)
        numbers.add(number)
    assert numbers == {1, 2, 3}
    # Keys and values of a long window take at most half of the available memory.
    assert fitting(60, kept=1000) == fitting(60, kept=9.1) == fitting(30) < fitting(60, kept=1)
    # If a larger pass took no more memory, only the maximum limits it.
    assert fitting_passes([StageMemory((4096, 3 * GIB), (8192, 3 * GIB))], 2**34, 1, 0) == (1, MAX_TOKENS)


def test_each_stage_of_a_pass_must_fit():
    """The head needs most for small passes, the body for large ones; a line through the head's alone misses that."""
    body = StageMemory((4096, GIB), (8192, 2 * GIB))  # 256 KiB per token
    head = StageMemory((4096, 3 * GIB + 2**25), (8192, 3 * GIB + 2**26))  # 3 GiB, and 8 KiB per token
    number, tokens = fitting_passes([body, head], 6 * GIB, 1, 0)
    assert (number, tokens) == fitting_passes([body], 6 * GIB, 1, 0) < fitting_passes([head], 6 * GIB, 1, 0)
    assert fitting_passes([body, head], int(2.5 * GIB), 1, 0) == (1, PIECE_TOKENS)


class Gpu:
    """A device with a given memory size, as `torch.cuda` reports it; for planning only."""

    def __init__(self, total: int, weights: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.total, self.weights = total, weights
        self.peak = weights
        for name in ("synchronize", "empty_cache"):
            monkeypatch.setattr(torch.cuda, name, lambda *device: None)
        monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: self.weights)
        monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: self.weights)
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (total - weights, total))
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=total))
        monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: self.peak)
        monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", self.reset)

    def reset(self, device: object) -> None:
        self.peak = self.weights

    def use(self, num_bytes: int) -> None:
        if self.weights + num_bytes > self.total:
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.peak = max(self.peak, self.weights + num_bytes)


def test_a_prior_of_32b_on_80_gb(monkeypatch: pytest.MonkeyPatch) -> None:
    """64 layers of 5,120, 8 heads of keys and values, bfloat16; chunks of 512 MiB of logits, with two copies."""
    gpu = Gpu(80 * 10**9, 64 * 10**9, monkeypatch)
    chunk = 3 * 2**29

    def run(num_tokens: int, goes_on: bool, mark: Callable[[], None]) -> int:
        gpu.use(num_tokens * 2 * (3 * 27_648 + 6 * 5_120))
        mark()
        gpu.use(num_tokens * 2 * 5_120 + chunk)
        mark()
        return num_tokens * 64 * 2 * 8 * 128 * 2 if goes_on else 0

    number, tokens = find_passes(run, torch.device("cpu"), 0.9, 3, 32_768)
    assert number >= 1 and tokens >= 4096
    assert number * (tokens * 2 * (3 * 27_648 + 6 * 5_120)) < 0.9 * 80 * 10**9 - gpu.weights

    # If two passes of 8,192 tokens do not fit, smaller ones are measured; if none fits, a single piece must do.
    small = Gpu(66 * 10**9, 64 * 10**9, monkeypatch)
    gpu, chunk = small, 2**28
    assert find_passes(run, torch.device("cpu"), 1.0, 3, 2048)[0] == 1
    gpu = Gpu(64 * 10**9 + 10**6, 64 * 10**9, monkeypatch)
    assert find_passes(run, torch.device("cpu"), 1.0, 3, 2048) == (1, PIECE_TOKENS)


def test_chunks_of_logits_shrink_where_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    prior = load_prior(PriorConfig("embedded"))
    prior.device = torch.device("cuda")
    prior._head = Head(prior._body.model, prior.device)
    before, asked = prior._head._chunk_rows, []

    def found(*_: object) -> tuple[int, int]:
        asked.append(prior._head._chunk_rows)
        return (1, 8192) if len(asked) == 3 else (1, PIECE_TOKENS)

    monkeypatch.setattr("hf_toedit.priors.transformers.find_passes", found)
    assert prior._passes(Resources()) == (1, 8192)
    assert asked == [before, before // 2, before // 4]
    while prior._head.shrink():
        assert prior._head._chunk_rows % ROWS == 0
    assert prior._head._chunk_rows == 256


def test_a_pass_to_measure(stories_prior):
    assert stories_prior._blank_pass(4096, False) == 0
    config = stories_prior._body.model.config
    size = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * 4
    assert stories_prior._blank_pass(4096, True) == 4096 * size


def test_threads_that_run_out_of_memory_at_once_halve_once():
    prior = load_prior(PriorConfig("embedded"))
    prior._token_budget = 8192
    for _ in range(3):
        prior._halve(8192)
    assert prior._token_budget == 4096
    prior._halve(4096)
    prior._halve(2048)
    assert prior._token_budget == PIECE_TOKENS
    with pytest.raises(OutOfMemory, match="even at 1024 tokens"):
        prior._halve(PIECE_TOKENS)


@pytest.mark.parametrize("passes", [2, 3, 4, 5])
def test_memory_that_runs_out_at_the_start_is_not_taken_for_an_odd_architecture(passes):
    loaded = loading.load(PriorConfig(str(shared("models/stories260K")), device="cpu"))
    left = iter(range(passes - 1))

    def run_out(module: torch.nn.Module, inputs: tuple) -> None:
        if next(left, None) is None:
            raise torch.OutOfMemoryError("out of memory")

    loaded.model.model.layers[0].register_forward_pre_hook(run_out)
    if passes == 5:
        TransformersPrior(loaded)  # succeeds: two passes of the model, one more for packing, and the pack
    else:
        with pytest.raises(torch.OutOfMemoryError):
            TransformersPrior(loaded)


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), True),
        (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"), True),
        (RuntimeError("CUDA driver error: out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
    ],
)
def test_every_message_that_memory_ran_out_is_known(error: Exception, is_one: bool) -> None:
    assert out_of_memory(error) == is_one


def test_settings_of_the_allocator_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")
    for name in names:
        monkeypatch.setenv(name, "x")  # restores both after the test
        monkeypatch.delenv(name)
    use_expandable_segments()
    assert [os.environ[name] for name in names] == ["expandable_segments:True"] * 2
    done = subprocess.run([sys.executable, "-W", "error", "-c", "import torch; torch.zeros(1)"], capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    monkeypatch.delenv(names[0])
    monkeypatch.setenv(names[1], "max_split_size_mb:64")
    use_expandable_segments()
    assert os.environ[names[1]] == "max_split_size_mb:64" and names[0] not in os.environ
