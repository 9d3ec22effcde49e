"""Packing: the arithmetic of windows, pieces and packs; packed scores are bitwise those of the model."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from hf_toedit import EditConfig, PriorConfig, load_prior
from hf_toedit.config import Resources
from hf_toedit.editing.alignment import Aligner, Document
from hf_toedit.editing.passage import Passage
from hf_toedit.editing.selection import SelectionRule
from hf_toedit.errors import PriorError
from hf_toedit.priors import loading
from hf_toedit.priors.packing import PIECE_TOKENS, Piece, Window, batches, joined, packs, pieces, windows
from hf_toedit.priors.transformers import TransformersPrior
from hf_toedit.priors.varlen import reference
from tests.priors.bits import same_bits
from tests.shared import texts, tokenizer_path

VOCABULARY = 512
RULE = SelectionRule(EditConfig(threshold=0.0))

lengths = st.integers(0, 5000)
contexts = st.one_of(st.integers(2, 20), st.integers(2, 9000))
bos = st.sampled_from([0, 1])


def every(num_tokens: int) -> np.ndarray:
    return np.ones(num_tokens, dtype=bool)


@settings(max_examples=100)
@given(lengths, contexts, bos)
def test_windows_score_each_token_once(num_tokens, context, num_bos):
    cut = list(windows(7, every(num_tokens), context, num_bos))
    scored = [token for window in cut for token in range(window.score_from, window.stop)]
    assert scored == list(range(1 - num_bos, num_tokens))
    for index, window in enumerate(cut):
        assert window.document == 7
        length = window.stop - window.start + num_bos - 1
        assert length == context or (length < context and window == cut[-1])
        assert window.start + 1 - num_bos <= window.score_from < window.stop
        if index:
            overlap = window.score_from - window.start
            assert window.score_from == cut[index - 1].stop
            assert overlap == max(context // 4, 1)


@settings(max_examples=100)
@given(lengths, st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 700)), max_size=5), contexts, bos)
def test_windows_of_a_passage_are_those_that_score_something(num_tokens, texts_at, context, num_bos):
    own = np.zeros(num_tokens, dtype=bool)
    for start, length in texts_at:
        own[start : start + length] = True
    cut = list(windows(0, own, context, num_bos))
    whole = {window.start: window for window in windows(0, every(num_tokens), context, num_bos)}
    scored = np.concatenate(
        [np.empty(0, int), *(np.arange(window.score_from, window.stop)[own[window.score_from : window.stop]]
                             for window in cut)]
    )  # fmt: skip
    assert scored.tolist() == [token for token in np.flatnonzero(own) if token >= 1 - num_bos]
    for window in cut:
        # The tokens before a token do not depend on which others are scored; tokens after the last one are not read.
        assert replace(whole[window.start], stop=window.stop) == window
        assert window.stop <= whole[window.start].stop and own[window.stop - 1]


@pytest.mark.parametrize("num_bos", [0, 1])
@pytest.mark.parametrize("context", [2, 3])
def test_tiny_contexts_still_read_everything(context, num_bos):
    cut = list(windows(0, every(9), context, num_bos))
    assert [token for window in cut for token in range(window.score_from, window.stop)] == list(range(1 - num_bos, 9))


def test_short_documents():
    assert (
        list(windows(0, every(0), 8, 1)) == list(windows(0, every(0), 8, 0)) == list(windows(0, every(1), 8, 0)) == []
    )
    assert list(windows(0, every(1), 8, 1)) == [Window(0, 0, 1, 0)]
    assert list(windows(0, every(2), 8, 0)) == [Window(0, 0, 2, 1)]


@settings(max_examples=100)
@given(lengths, contexts, bos)
def test_pieces_tile_a_window(num_tokens, context, num_bos):
    for window in windows(0, every(num_tokens), context, num_bos):
        cut = list(pieces(window, num_bos))
        assert [piece.start for piece in cut] == [0, *(piece.stop for piece in cut[:-1])]
        assert cut[-1].stop == window.stop - window.start + num_bos - 1
        assert [piece.last for piece in cut] == [False] * (len(cut) - 1) + [True]
        assert all(0 < len(piece) <= PIECE_TOKENS for piece in cut)


@settings(max_examples=100)
@given(st.lists(st.integers(1, PIECE_TOKENS), max_size=40), st.integers(1, 5000))
def test_packs_keep_order_and_budget(sizes, budget):
    items = [Piece(Window(index, 0, size + 1, 0), 0, size, True) for index, size in enumerate(sizes)]
    laid = list(packs(items, budget))
    assert [piece for pack in laid for piece in pack] == items
    used = [sum(len(piece) for piece in pack) for pack in laid]
    assert all(total <= budget or len(pack) == 1 for total, pack in zip(used, laid, strict=True))
    for total, following in zip(used, laid[1:], strict=False):
        assert total + len(following[0]) > budget


@settings(max_examples=100)
@given(st.lists(st.integers(2, 4000), max_size=10), st.integers(1, 5000))
def test_joined_pieces_are_the_same_positions_in_order(sizes, budget):
    items = [piece for index, size in enumerate(sizes) for piece in pieces(Window(index, 0, size, 0), 1)]
    for pack in packs(items, budget):
        whole = joined(pack)
        assert len({piece.window for piece in whole}) == len(whole)
        assert [(piece.window, at) for piece in whole for at in range(piece.start, piece.stop)] == [
            (piece.window, at) for piece in pack for at in range(piece.start, piece.stop)
        ]
        # Only the first piece may continue one of an earlier pack, and only the last may continue in a later pack.
        assert not any(piece.start for piece in whole[1:]) and all(piece.last for piece in whole[:-1])
        assert whole[-1].last == pack[-1].last


@settings(max_examples=100)
@given(st.lists(st.integers(1, 3000), max_size=40), st.integers(1, 5000))
def test_batches_hold_each_window_once_within_the_budget(sizes, budget):
    items = [Piece(Window(index, 0, size + 1, 0), 0, size, True) for index, size in enumerate(sizes)]
    laid = list(batches(items, budget))
    assert sorted((piece for batch in laid for piece in batch), key=items.index) == items
    assert all(len(batch) == 1 or len(batch) * max(map(len, batch)) <= budget for batch in laid)


@dataclass(frozen=True)
class Architecture:
    """A tiny model: its class, its settings, and whether it runs in packs (None: either is allowed)."""

    config: str
    settings: dict[str, Any] = field(default_factory=dict)
    packed: bool | None = True
    style: str = "llama"
    bos: str | None = "<s>"

    def build(self, context: int) -> Any:
        sizes = {
            "llama": {
                "hidden_size": 32,
                "intermediate_size": 64,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "num_key_value_heads": 2,
                "max_position_embeddings": context,
            },
            "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": context},
            "sized": {"max_position_embeddings": context},
            "bare": {},
        }[self.style]
        special = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "vocab_size": VOCABULARY}
        config = getattr(transformers, self.config)(**{**sizes, **special, "initializer_range": 0.3, **self.settings})
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() == 1:  # biases and norms, which would otherwise be zero or one
                    parameter.add_(torch.randn_like(parameter) * 0.1)
        return model


NEOX = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
OPT = {"hidden_size": 32, "ffn_dim": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "word_embed_proj_dim": 16}
NEO = {"hidden_size": 32, "num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]]}
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10_000.0,
    "short_factor": [1.0] * 4,
    "long_factor": [4.0] * 4,
    "original_max_position_embeddings": 64,
    "factor": 4.0,
}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
GRANITE = {"logits_scaling": 4.0, "attention_multiplier": 0.2, "embedding_multiplier": 3.0, "residual_multiplier": 0.5}
FALCON_H1 = {
    "lm_head_multiplier": 0.25,
    "mamba_d_ssm": 64,
    "mamba_n_heads": 4,
    "mamba_d_head": 16,
    "mamba_d_state": 8,
    "mamba_n_groups": 1,
}

ARCHITECTURES = {
    "llama": Architecture("LlamaConfig"),
    "mistral-sliding": Architecture("MistralConfig", {"sliding_window": 16}),
    "qwen2-no-bos": Architecture("Qwen2Config", bos=None),
    "qwen3": Architecture("Qwen3Config", {"head_dim": 16}),
    "gpt2": Architecture("GPT2Config", style="gpt2"),
    "gpt-neox": Architecture("GPTNeoXConfig", NEOX, style="sized"),
    "opt": Architecture("OPTConfig", {**OPT, "init_std": 0.3}, style="sized"),
    "gemma": Architecture("GemmaConfig", {"head_dim": 16}),
    "gemma2": Architecture("Gemma2Config", {"head_dim": 8, "sliding_window": 16}, packed=False),
    "gemma3-sliding": Architecture("Gemma3TextConfig", {"head_dim": 8, "sliding_window": 16}),
    "granite": Architecture("GraniteConfig", GRANITE),
    "cohere2": Architecture("Cohere2Config", {"sliding_window": 16, "logit_scale": 0.25}),
    "olmo": Architecture("OlmoConfig"),
    "olmo2": Architecture("Olmo2Config"),
    "olmo3": Architecture("Olmo3Config", {"sliding_window": 16}),
    # Rotary frequencies depend on the longest sequence of a pass, so a pack would mix documents.
    "phi3-longrope": Architecture(
        "Phi3Config", {"rope_parameters": LONGROPE, "original_max_position_embeddings": 64}, packed=False
    ),
    # Derives packs from position ids, so a document that begins like its neighbour seemed correct.
    "gpt-neo-local": Architecture("GPTNeoConfig", {**NEO, "window_size": 16}, style="bare", packed=False),
    # Builds masks of a sliding window, but does not pass its size to the attention function.
    "qwen2-moe-sliding": Architecture(
        "Qwen2MoeConfig", {**EXPERTS, "use_sliding_window": True, "sliding_window": 16, "max_window_layers": 0}, False
    ),
    "mixtral": Architecture("MixtralConfig", {"num_local_experts": 4, "sliding_window": None}, packed=False),
    "llama4-chunked": Architecture(
        "Llama4TextConfig",
        {"head_dim": 8, "attention_chunk_size": 16, "num_local_experts": 2, "intermediate_size_mlp": 64},
        packed=False,
    ),
    # Names the number of experts in its own way.
    "aria": Architecture("AriaTextConfig", {"moe_num_experts": 4, "moe_topk": 2, "moe_num_shared_experts": 1}, False),
    "recurrent-gemma": Architecture(
        "RecurrentGemmaConfig",
        {"lru_width": 32, "head_dim": 8, "attention_window_size": 16, "block_types": ["recurrent", "attention"]},
        packed=False,
    ),
    # Attends twice in each layer.
    "diffllama": Architecture("DiffLlamaConfig", packed=False),
    "falcon-h1": Architecture("FalconH1Config", FALCON_H1, packed=False),
    "hyperclovax": Architecture("HyperCLOVAXConfig", {"logits_scaling": 0.25}),
    "bloom": Architecture("BloomConfig", {"hidden_size": 32, "n_layer": 2, "n_head": 4}, style="bare", packed=False),
    "gpt-oss": Architecture(
        "GptOssConfig", {"head_dim": 8, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 16}, False
    ),
    "mamba": Architecture(
        "MambaConfig", {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4}, style="bare", packed=False
    ),
    "rwkv": Architecture(
        "RwkvConfig", {"hidden_size": 32, "num_hidden_layers": 2, "context_length": 256}, style="bare", packed=False
    ),
}


def saved(folder: Path, model: Any, bos: str | None = "<s>") -> str:
    model.save_pretrained(folder, safe_serialization=True)
    tokenizer_file = str(tokenizer_path("stories260K") / "tokenizer.json")
    PreTrainedTokenizerFast(
        tokenizer_file=tokenizer_file, bos_token=bos, eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    stories = texts("synthetic_tinystories_500")
    chosen = [story[:300] for story in stories[:4]] + [story[:40] for story in stories[4:6]]
    chosen += ["a", "Hi there", texts("awkward_emoji")[3][:200], stories[7][:900]]
    # Responses: one in the second window of its prompt, and texts with context before, between and after them.
    turns = Passage(stories[9][:1500], ((0, 60), (250, 300), (900, 960)))
    return aligned([*chosen, Passage.of(stories[8][:200], [stories[10][:1000]]), turns, Passage("nothing to edit", ())])


def aligned(chosen: Sequence[str | Passage]) -> list[Document]:
    backend = PreTrainedTokenizerFast(tokenizer_file=str(tokenizer_path("stories260K") / "tokenizer.json"))
    return Aligner(backend.backend_tokenizer).align(chosen)


def plain(folder: str) -> Any:
    """Return the model itself, without code of hf-toedit."""
    return AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()


@torch.inference_mode()
def plain_logprobs(model: Any, document: Document, context: int, bos: list[int]) -> np.ndarray:
    """Return the model's log-probabilities of a document's own tokens, with one plain forward pass per window."""
    expected = np.full(len(document), np.nan, dtype=np.float32)
    for window in windows(0, every(len(document)), context, len(bos)):
        ids = torch.tensor([bos + document.ids[window.start : window.stop].tolist()])
        logprobs = model(ids[:, :-1], use_cache=False).logits[0].float().log_softmax(-1)
        own = logprobs.gather(1, ids[0, 1:, None])[:, 0].numpy()
        expected[window.score_from : window.stop] = own[window.score_from - window.stop :]
    return np.where(document.own, expected, np.nan)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_scores_are_the_models_own_however_batched(name, tmp_path, documents, threads):
    architecture = ARCHITECTURES[name]
    folder = saved(tmp_path, architecture.build(context=256), architecture.bos)
    prior = load_prior(PriorConfig(folder))
    assert prior.packed == architecture.packed
    scores = prior.score(documents, RULE)

    model = plain(folder)
    bos = [] if architecture.bos is None else [1]
    for document, score in zip(documents, scores, strict=True):
        expected = plain_logprobs(model, document, prior.context, bos)
        np.testing.assert_allclose(score.logprobs, expected, atol=1e-4, equal_nan=True)
        assert np.isnan(score.logprobs).sum() == (~document.own).sum() + (not bos and document.own[0])
        assert document.own[score.positions].all()

    for budget in (64, 512, 4096):
        assert same_bits(load_prior(PriorConfig(folder), Resources(budget)).score(documents, RULE), scores)
    assert same_bits(prior.score(documents[::-1], RULE)[::-1], scores)
    assert same_bits([prior.score([document], RULE)[0] for document in documents], scores)
    threads(2)
    assert len(prior._shares(documents)) == (2 if prior.packed else 1)
    by_two = prior.score(documents, RULE)
    assert same_bits(by_two, scores) or not prior.packed  # otherwise a result depends on their number
    assert same_bits([prior.score([document], RULE)[0] for document in documents], by_two)


@pytest.fixture(scope="module")
def long_document() -> Document:
    return aligned(["".join(texts("book_pride_and_prejudice"))[:3700]])[0]


LONG = ["llama", "mistral-sliding", "gpt2", "qwen2-no-bos", "qwen3", "gpt-neox", "opt", "gemma", "olmo", "olmo2"]
LONG += ["olmo3", "gemma3-sliding", "cohere2"]


@pytest.mark.parametrize("name", LONG)
def test_long_documents_go_on_across_pieces(name, tmp_path, documents, long_document):
    architecture = ARCHITECTURES[name]
    folder = saved(tmp_path, architecture.build(context=4096), architecture.bos)
    prior = load_prior(PriorConfig(folder), Resources(PIECE_TOKENS + 100))
    assert prior.packed and 2 * PIECE_TOKENS < len(long_document) < prior.context
    given = [documents[0], long_document, documents[1]]
    scores = prior.score(given, RULE)
    expected = plain_logprobs(plain(folder), long_document, prior.context, [] if architecture.bos is None else [1])
    np.testing.assert_allclose(scores[1].logprobs, expected, atol=1e-4, equal_nan=True)
    assert same_bits(load_prior(PriorConfig(folder), Resources(8192)).score([long_document], RULE), scores[1:2])

    # All pieces of a pack in one call, as on a GPU.
    for budget in (PIECE_TOKENS + 100, 8192):
        at_once = TransformersPrior(loading.load(PriorConfig(folder)), resources=Resources(budget), varlen=reference)
        assert at_once.packed
        for score, other in zip(scores, at_once.score(given, RULE), strict=True):
            np.testing.assert_allclose(other.logprobs, score.logprobs, atol=1e-4, equal_nan=True)


@pytest.mark.parametrize("name", [name for name, each in ARCHITECTURES.items() if not each.packed])
def test_padded_batches_are_the_models_own(name, tmp_path, documents):
    architecture = ARCHITECTURES[name]
    prior = load_prior(PriorConfig(saved(tmp_path, architecture.build(context=256))), Resources(1024))
    alone = prior.score(documents, RULE)
    if name == "phi3-longrope":
        return  # The input depends on the longest document of a batch.
    prior.padded = True
    [share] = prior._shares(documents)
    assert max(map(len, prior._packs(share))) > 4
    for score, expected in zip(prior.score(documents, RULE), alone, strict=True):
        np.testing.assert_allclose(score.logprobs, expected.logprobs, atol=1e-4, equal_nan=True)
        assert np.array_equal(score.positions, expected.positions)


def test_threads_score_at_once_as_one_alone(tmp_path, documents, long_document):
    folder = saved(tmp_path, ARCHITECTURES["mistral-sliding"].build(context=4096))
    prior = load_prior(PriorConfig(folder), Resources(PIECE_TOKENS))
    assert prior.concurrency == 1
    given = [[*documents[index:], long_document] if index % 3 else documents[index:] for index in range(8)]
    expected = [prior.score(each, RULE) for each in given]
    with ThreadPoolExecutor(4) as pool:
        for scores, alone in zip(pool.map(prior.score, given, [RULE] * len(given)), expected, strict=True):
            assert same_bits(scores, alone)


def test_pieces_that_are_context_only(tmp_path, long_document):
    # A quarter of the context is 1100 tokens: the second window's first piece, alone in its pack, scores nothing.
    folder = saved(tmp_path, ARCHITECTURES["llama"].build(context=4400))
    document = aligned([" ".join([long_document.text] * 3)])[0]
    scores = load_prior(PriorConfig(folder), Resources(64)).score([document], RULE)[0]
    np.testing.assert_allclose(scores.logprobs, plain_logprobs(plain(folder), document, 4400, [1]), atol=1e-4)
    assert scores.positions.tolist() == np.flatnonzero(document.eligible).tolist()


def test_layers_that_are_used_twice_are_not_packed(tmp_path, long_document):
    # Universal transformers: the keys that a pack keeps of the first use must not serve the second.
    folder = saved(tmp_path, ARCHITECTURES["llama"].build(context=4096))
    model = plain(folder)
    model.model.layers[1] = model.model.layers[0]
    loaded = loading.load(PriorConfig(folder))
    loaded.model.model.layers[1] = loaded.model.model.layers[0]
    prior = TransformersPrior(loaded, resources=Resources(PIECE_TOKENS))
    assert not prior.packed
    expected = plain_logprobs(model, long_document, prior.context, [1])
    np.testing.assert_allclose(prior.score([long_document], RULE)[0].logprobs, expected, atol=1e-4)


def test_bidirectional_models_are_refused(tmp_path):
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    model = AutoModelForCausalLM.from_config(transformers.BertConfig(vocab_size=VOCABULARY, **sizes))
    with pytest.raises(PriorError, match="not a causal language model"):
        load_prior(PriorConfig(saved(tmp_path, model)))


def test_random_models_are_refused(tmp_path):
    sizes = {"hidden_size": 32, "feed_forward_size": 64, "num_attention_heads": 2, "attention_head_size": 16}
    axial = {"axial_pos_embds_dim": (16, 16), "axial_pos_shape": (16, 16), "max_position_embeddings": 256}
    config = transformers.ReformerConfig(
        vocab_size=VOCABULARY, is_decoder=True, attn_layers=["local", "lsh"], **sizes, **axial
    )
    model = AutoModelForCausalLM.from_config(config)
    with pytest.raises(PriorError, match="gives another answer at each call"):
        load_prior(PriorConfig(saved(tmp_path, model)))


class Sharpened(transformers.LlamaForCausalLM):
    """A model that changes its logits in a way that the head cannot detect."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        output = super().forward(*args, **kwargs)
        output.logits = output.logits * 2
        return output


def test_logits_changed_in_an_unknown_way_are_refused(tmp_path):
    folder = saved(tmp_path, ARCHITECTURES["llama"].build(context=64))
    loaded = loading.load(PriorConfig(folder))
    assert TransformersPrior(loaded).packed
    with pytest.raises(PriorError, match="changes its logits"):
        TransformersPrior(replace(loaded, model=Sharpened.from_pretrained(folder).eval()))


def test_no_documents(stories_prior):
    assert stories_prior.score([], RULE) == []
    (empty,) = stories_prior.score(aligned([""]), RULE)
    assert len(empty.logprobs) == len(empty.positions) == 0


def test_the_number_of_threads_does_not_show(stories_prior):
    stories = texts("synthetic_tinystories_500")
    passages = [Passage.of(story, [before]) for story, before in zip(stories[6:8], stories[8:10], strict=True)]
    documents = Aligner(stories_prior.tokenizer).align([*stories[:6], *passages])
    before = torch.get_num_threads()
    answers = []
    try:
        for threads in (1, 2, 3, 5):
            torch.set_num_threads(threads)
            answers.append([score.logprobs for score in stories_prior.score(documents, RULE)])
            answers.append([stories_prior.score([document], RULE)[0].logprobs for document in documents])
    finally:
        torch.set_num_threads(before)
    for answer in answers[1:]:
        assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(answers[0], answer, strict=True))
