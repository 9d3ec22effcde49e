"""Passes are as large as fits into memory, and halved where that runs out; the scores are the same to the last bit."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from copy import copy
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from hf_toedit import PriorConfig
from hf_toedit.errors import OutOfMemory
from hf_toedit.priors import loading
from hf_toedit.priors.memory import MAX_TOKENS, PassMemory, fitting_passes
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
    # What fitted is remembered; the memory left by then is less than it was.
    assert again.count("halved") < halved.count("halved")


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
def test_memory_for_no_pass_at_all_is_an_error(tmp_path):
    # So wide that a pass of 1024 tokens takes 256 MiB for each of its activations.
    config = AutoConfig.from_pretrained(shared("models/stories260K"), intermediate_size=2**16, num_hidden_layers=1)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    for file in shared("models/stories260K").glob("tokenizer*.json"):
        shutil.copy(file, tmp_path)
    last = scored_within(tmp_path, 64, 3).splitlines()[-1]
    assert last.startswith("refused:") and "out of memory even at 1024 tokens" in last


def test_as_many_passes_as_fit_into_a_gpu():
    small, large = PassMemory(4096, 3 * 2**30), PassMemory(8192, 4 * 2**30)  # 2 GiB, and 256 KiB a token

    def fitting(free: float, concurrency: int = 3, kept: float = 0) -> tuple[int, int]:
        return fitting_passes(small, large, int(free * 2**30), concurrency, int(kept * 2**30))

    assert fitting(1000) == (3, MAX_TOKENS)
    assert fitting(0) == fitting(2) == (1, PIECE_TOKENS)
    numbers = set()
    for tenths in range(26, 500, 7):
        number, tokens = fitting(tenths / 10)
        assert tokens % PIECE_TOKENS == 0 and number * (2 * 2**30 + tokens * 2**18) <= tenths / 10 * 2**30
        assert number == 1 or tokens >= 4096
        assert fitting(tenths / 10, kept=0.5) <= (number, tokens)
        numbers.add(number)
    assert numbers == {1, 2, 3}
    # Keys and values of a long window take half of the room at most.
    assert fitting(60, kept=1000) == fitting(60, kept=9.1) == fitting(30) < fitting(60, kept=1)
    # Where a larger pass took no more, only the cap bounds it.
    assert fitting_passes(small, PassMemory(8192, 3 * 2**30), 2**34, 1, 0) == (1, MAX_TOKENS)


def test_a_pass_to_measure(stories_prior):
    assert stories_prior._blank_pass(4096, False) == 0
    config = stories_prior._body.model.config
    size = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * 4
    assert stories_prior._blank_pass(4096, True) == 4096 * size


def test_threads_that_run_out_of_memory_at_once_halve_once(stories_prior):
    prior = copy(stories_prior)
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
        TransformersPrior(loaded)  # passes: two of the model, one more for packing, and the pack
    else:
        with pytest.raises(torch.OutOfMemoryError):
            TransformersPrior(loaded)
