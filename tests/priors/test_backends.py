"""The choice of the backend for a prior, and the errors of each backend."""

from __future__ import annotations

import importlib.util

import pytest

from hf_toedit import PriorConfig, ToEditor, load_prior
from hf_toedit.config import Resources
from hf_toedit.errors import PriorError, UsageError


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vllm is installed here")
def test_without_vllm():
    with pytest.raises(PriorError, match=r"needs vLLM, which is not installed. Run pip install 'hf-toedit\[vllm\]'"):
        load_prior(PriorConfig(backend="vllm"))


def test_a_model_is_shared_among_gpus_by_vllm_alone():
    with pytest.raises(UsageError, match="--tensor-parallel is for the vLLM backend"):
        load_prior(PriorConfig(), Resources(tensor_parallel=2))


def test_what_vllm_cannot_do_is_refused_before_anything_is_loaded():
    with pytest.raises(UsageError, match="device 'cuda:1' is not one of auto, cpu, cuda, xpu, which vLLM takes"):
        ToEditor.from_pretrained(backend="vllm", device="cuda:1")
    with pytest.raises(UsageError, match="only at temperature 1, not 1.5"):
        ToEditor.from_pretrained(backend="vllm", sampler="top-p")
