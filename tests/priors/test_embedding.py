"""Texts as mean last hidden states, against plain `transformers`."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from hf_toedit.errors import PriorError, UsageError
from hf_toedit.priors.embedding import MOST_TOKENS, Embedder
from tests.shared import shared

TEXTS = ["Once upon a time, there was a cat.", "x", "Lily and Tom like to play. " * 200]


def test_it_is_that_of_transformers() -> None:
    folder = shared("models/stories260K")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    embedder = Embedder(str(folder))
    context = min(model.config.max_position_embeddings, MOST_TOKENS)
    for text, found in zip(TEXTS, embedder.embed(TEXTS), strict=True):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"][: context - 1]
        with torch.inference_mode():
            hidden = model.model(torch.tensor([[tokenizer.bos_token_id, *ids]])).last_hidden_state[0, 1:]
        np.testing.assert_allclose(found, hidden.mean(dim=0).numpy(), atol=1e-5)


def test_odd_texts_have_vectors() -> None:
    found = Embedder("embedded").embed(["", "\n", "a" * 100_000, ""])
    assert found.dtype == np.float32 and found.shape[0] == 4 and np.isfinite(found).all()
    assert (found[0] == found[3]).all() and found[0].any()


def test_neighbours_do_not_matter() -> None:
    embedder = Embedder("embedded")
    alone = np.concatenate([embedder.embed([text]) for text in TEXTS])
    np.testing.assert_allclose(embedder.embed([*TEXTS, "y" * 5000])[:3], alone, atol=1e-5)


def test_what_cannot_embed() -> None:
    with pytest.raises(UsageError, match="embedder 'module:Class' is a class. Name a model"):
        Embedder("module:Class")
    with pytest.raises(PriorError, match="no prior folder"):
        Embedder("./none")
