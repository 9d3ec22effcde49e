"""Passes that do not fit into memory are halved until they do; the scores are the same to the last bit."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoConfig, AutoModelForCausalLM

from tests.conftest import shared

SCRIPT = """
import logging, resource, sys
import numpy as np
from hf_toedit import EditConfig, PriorConfig, load_prior
from hf_toedit.config import Resources
from hf_toedit.editing.alignment import Aligner
from hf_toedit.editing.selection import SelectionRule
from hf_toedit.errors import PriorError
from tests.conftest import texts

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
