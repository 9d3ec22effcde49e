"""GPU-only behaviour: attention over whole packs, the head in mixed precision, passes sized by memory, threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from copy import copy

import numpy as np
import pytest
import torch

from hf_toedit import EditConfig, PriorConfig, load_prior
from hf_toedit.config import Resources
from hf_toedit.editing.alignment import Aligner
from hf_toedit.editing.selection import SelectionRule
from hf_toedit.priors.memory import MAX_TOKENS
from hf_toedit.priors.norm import has_fused_norm
from hf_toedit.priors.packing import PIECE_TOKENS
from hf_toedit.priors.pinning import prior_folder
from tests.shared import texts

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
RULE = SelectionRule(EditConfig())


@pytest.fixture(autouse=True)
def its_text_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine with a GPU, a test without its texts must fail instead of being skipped."""
    monkeypatch.setenv("HF_TOEDIT_REQUIRE_SHARED", "1")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_scores_on_a_gpu_are_those_on_a_cpu(dtype):
    on_cpu = load_prior(PriorConfig(device="cpu", dtype="float32"))
    on_gpu = load_prior(PriorConfig(device="cuda", dtype=dtype))
    assert on_gpu.packed and on_gpu.concurrency > 1
    assert PIECE_TOKENS <= on_gpu._token_budget <= MAX_TOKENS
    assert (on_gpu._varlen is not None) == on_gpu._head._mixed == (dtype == "bfloat16")
    stories = texts("synthetic_tinystories_500")[:60]
    documents = Aligner(on_cpu.tokenizer).align([*stories, " ".join(stories)])
    expected = on_cpu.score(documents, RULE)

    small = load_prior(PriorConfig(device="cuda", dtype=dtype), Resources(1500))
    with ThreadPoolExecutor(3) as pool:
        halves = list(pool.map(lambda part: on_gpu.score(part, RULE), (documents[:30], documents[30:])))
    for scores in (on_gpu.score(documents, RULE), small.score(documents, RULE), halves[0] + halves[1]):
        for score, other in zip(scores, expected, strict=True):
            difference = np.abs(score.logprobs - other.logprobs)
            if dtype == "float32":
                assert np.nanmax(difference) < 1e-3
            else:
                assert np.nanmean(difference) < 0.05


def test_the_share_of_memory_is_kept():
    load_prior(PriorConfig(device="cuda"), Resources(memory_fraction=0.5))
    assert torch.cuda.get_per_process_memory_fraction() == pytest.approx(0.5)
    load_prior(PriorConfig(device="cuda"))


def test_a_model_of_transformers_on_a_gpu():
    """Weights on the device, norms of one kernel, and the output layer in TF32, as in torch before 2.8."""
    folder = str(prior_folder(PriorConfig("embedded")))
    prior = load_prior(PriorConfig(folder, device="cuda", dtype="bfloat16"))
    model = prior._body.model
    assert {weight.device.type for weight in model.parameters()} == {"cuda"}
    expected_norms = 2 * model.config.num_hidden_layers + 1 if has_fused_norm() else 0
    assert prior._body.fused_norms == expected_norms

    hidden = torch.randn(64, model.config.hidden_size, device="cuda").bfloat16()
    weight = prior._head._weight
    exact = hidden.double() @ weight.double().T
    head = copy(prior._head)
    head._mixed, head._tf32, head._weight = False, True, weight.float()
    with torch.inference_mode():
        for each in (prior._head, head):
            assert (each.logits(hidden) - exact).abs().max() < 1e-5 * exact.abs().max()
