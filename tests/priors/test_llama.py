"""The embedded prior, which runs without `transformers`, gives bitwise the same results as with it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, LlamaForCausalLM
from transformers import LlamaConfig as TheirConfig

from hf_toedit import EditConfig, PriorConfig, ToEditor, load_prior
from hf_toedit.config import Dtype
from hf_toedit.priors import embedded
from hf_toedit.priors.llama import Llama
from hf_toedit.priors.loading import EmbeddedTokenizer
from tests.shared import texts

CPU = torch.device("cpu")
IDS = torch.arange(300)[None] * 7919


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """Copy the embedded prior into a folder that `transformers` can load."""
    shutil.copytree(embedded.path(), tmp_path / "prior")
    return str(tmp_path / "prior")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_documents_are_scored_as_by_transformers(folder: str, dtype: Dtype) -> None:
    stories = texts("synthetic_tinystories_500")[:4]
    documents = ["", "a", *stories, texts("multilingual_udhr2")[0][:200], " ".join(stories)]
    config = EditConfig(threshold=0.3, temperature=3.0)
    own, theirs = (
        ToEditor(load_prior(PriorConfig(name, dtype=dtype, device="cpu")), config) for name in ("embedded", folder)
    )
    assert isinstance(own.prior._body.model, Llama) and isinstance(theirs.prior._body.model, LlamaForCausalLM)
    for name in ("dtype", "revision", "context", "batch_bytes", "concurrency", "packed", "padded"):
        assert getattr(own.prior, name) == getattr(theirs.prior, name), name
    edited, expected = own.edit(documents), theirs.edit(documents)
    assert edited.stats.num_changed > 100 and max(map(len, documents)) > 3 * own.prior.context
    for mine, other in zip(edited.documents, expected.documents, strict=True):
        assert mine.text == other.text
        if mine.reading and other.reading:
            for part in ("logprobs", "positions", "candidate_ids", "candidate_logprobs"):
                mine_of, other_of = getattr(mine.reading.scores, part), getattr(other.reading.scores, part)
                assert np.array_equal(mine_of, other_of, equal_nan=True), part


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kv_heads, tied", [(4, True), (2, False)])
def test_a_model_is_the_same_to_the_last_bit(kv_heads: int, tied: bool, dtype: torch.dtype, tmp_path: Path) -> None:
    torch.manual_seed(0)
    shape = {"num_attention_heads": 4, "num_key_value_heads": kv_heads, "head_dim": 16, "tie_word_embeddings": tied}
    config = TheirConfig(vocab_size=512, hidden_size=64, intermediate_size=160, num_hidden_layers=2, **shape)
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    state = torch.get_rng_state()
    own = Llama.load(tmp_path, dtype, CPU)
    assert torch.equal(torch.get_rng_state(), state)
    theirs = LlamaForCausalLM.from_pretrained(tmp_path, dtype=dtype).eval()
    assert (own.dtype, own.device, own.num_parameters()) == (dtype, CPU, theirs.num_parameters())
    with torch.inference_mode():
        assert torch.equal(own(IDS % 512).logits, theirs(IDS % 512).logits)


def test_the_tokenizer_is_the_same() -> None:
    own, theirs = EmbeddedTokenizer.load(embedded.path()), AutoTokenizer.from_pretrained(embedded.path())
    assert own.backend_tokenizer.to_str() == theirs.backend_tokenizer.to_str()
    assert (own.bos_token_id, own.chat_template) == (theirs.bos_token_id, theirs.chat_template)
