"""Texts as mean last hidden states, compared with plain `transformers`."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, StaticEmbedding, Transformer
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.trainers import WordLevelTrainer
from transformers import AutoModelForCausalLM, AutoTokenizer, BertConfig, BertModel, PreTrainedTokenizerFast

from hf_toedit.errors import PriorError, UsageError
from hf_toedit.priors.embedding import MOST_TOKENS, Embedder
from hf_toedit.priors.sentences import SentenceEmbedder, is_sentence_model
from tests.hub_server import HubServer
from tests.shared import shared
from tests.test_hub_server import client

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


def _sentence_model(folder: Path, *modules: Any) -> Path:
    SentenceTransformer(modules=list(modules), device="cpu").save(str(folder), create_model_card=False)
    return folder


def _words() -> Tokenizer:
    trained = Tokenizer(WordLevel(unk_token="?"))
    trained.pre_tokenizer = Whitespace()
    trained.train_from_iterator(TEXTS, WordLevelTrainer(special_tokens=["?"]))
    return trained


def test_models_of_sentence_transformers(tmp_path: Path) -> None:
    """A static model, as model2vec makes them, and one of transformer and pooling, compared with their own `encode`."""
    encoder = tmp_path / "encoder"
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=_words(), unk_token="?", pad_token="?")
    BertModel(BertConfig(vocab_size=len(tokenizer), hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
                         intermediate_size=16)).save_pretrained(encoder)  # fmt: skip
    tokenizer.save_pretrained(encoder)
    folders = {
        "static": _sentence_model(tmp_path / "static", StaticEmbedding(_words(), embedding_dim=4)),
        "encoder": _sentence_model(tmp_path / "pooled", Transformer(str(encoder)), Pooling(8)),
    }
    texts = [*TEXTS, "", "Tom and Lily"]
    for folder in folders.values():
        assert is_sentence_model(str(folder))
        embedder = SentenceEmbedder(str(folder))
        seen: list[None] = []
        found = embedder.embed(texts, lambda: seen.append(None))  # noqa: B023
        assert len(seen) == len(texts) and embedder.revision
        expected = SentenceTransformer(str(folder), device="cpu").encode(texts)
        np.testing.assert_allclose(found, expected, atol=1e-5)
    assert not is_sentence_model("embedded") and not is_sentence_model(str(shared("models/stories260K")))
    with pytest.raises(PriorError, match=r"no embedder folder './none'\. Name a folder or a Hub id"):
        is_sentence_model("./none")
    (folders["static"] / "0_StaticEmbedding/model.safetensors").unlink(missing_ok=True)
    (folders["static"] / "model.safetensors").unlink(missing_ok=True)
    with pytest.raises(PriorError, match="cannot load the model of embedder"):
        SentenceEmbedder(str(folders["static"]))


def test_a_sentence_model_of_the_hub_without_its_pickles(hub_server: HubServer, tmp_path: Path) -> None:
    folder = _sentence_model(tmp_path / "static", StaticEmbedding(_words(), embedding_dim=4))
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    sha = hub_server.create_repo("model", "org/static", {**files, "pytorch_model.bin": b"pickle"})
    code = """
    from hf_toedit.priors.sentences import SentenceEmbedder, is_sentence_model
    out["is"] = is_sentence_model("org/static")
    embedder = SentenceEmbedder("org/static")
    out["revision"], out["vectors"] = embedder.revision, embedder.embed(["Tom and Lily", "Once"]).tolist()
    """
    found = client(hub_server, dedent(code))
    assert found["is"] and found["revision"] == sha
    expected = SentenceTransformer(str(folder), device="cpu").encode(["Tom and Lily", "Once"])
    np.testing.assert_allclose(found["vectors"], expected, atol=1e-5)
    fetched = [path for _, path in hub_server.requests if "/resolve/" in path]
    assert any("modules.json" in path for path in fetched)
    assert not any("pytorch_model.bin" in path for path in fetched)
