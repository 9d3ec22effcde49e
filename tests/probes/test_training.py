"""Trained and scored models: resumed to the same weights, and scored as by `transformers`."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from hf_toedit.editing.alignment import Aligner
from hf_toedit.errors import PriorError
from hf_toedit.probes.config import ProbeConfig
from hf_toedit.probes.evaluation import EvalSet, evaluate, reader_of
from hf_toedit.probes.models import ProbeModel, check_trainable, find_model
from hf_toedit.probes.tokens import IGNORED, Blocks, Separators, Stream
from hf_toedit.probes.training import _loss, train
from tests.probes.small import config_file, stories
from tests.processes import OwnProcess
from tests.shared import shared

SCRIPT = """
import sys
from pathlib import Path
from tests.probes.test_training import trained
trained(Path(sys.argv[1]), Path(sys.argv[2]), 0.1)
"""


def trained(config: Path, folder: Path, pause_s: float = 0) -> dict[str, torch.Tensor]:
    """Return the weights after 24 steps, with an interruption after each one."""
    asked = ProbeConfig(model=str(config), context=64, batch_size=2, device="cpu")
    ids = np.random.default_rng(0).integers(0, 1000, 5000).astype(np.int32)
    blocks = Blocks(Stream(ids, np.arange(0, 5001, 50), np.arange(100), 3), 64, 2 * 24)
    model = find_model(asked).make(0)
    return train(model, blocks, folder, asked, 0.01, 0, lambda _: time.sleep(pause_s)).model.state_dict()


@pytest.fixture
def model(tmp_path: Path) -> ProbeModel:
    return find_model(ProbeConfig(model=str(config_file(tmp_path)), context=64))


def test_a_killed_training_goes_on_to_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a checkpoint for every step, and the last one is damaged."""
    config = config_file(tmp_path, attention_dropout=0.1)
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    monkeypatch.setenv("HF_TOEDIT_CHECKPOINT_S", "0")
    with OwnProcess([sys.executable, "-c", SCRIPT, str(config), str(broken)]) as process:
        until = time.monotonic() + 100
        while time.monotonic() < until and not any(broken.glob("checkpoint-9")):
            time.sleep(0.01)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    half = broken / "checkpoint-23"
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")
    found = trained(config, broken)
    monkeypatch.delenv("HF_TOEDIT_CHECKPOINT_S")
    expected = trained(config, whole)
    assert not half.exists() or (half / "trainer_state.json").exists()
    assert not any(whole.glob("checkpoint-*"))
    assert found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)


def test_the_losses_of_a_resumed_training(model: ProbeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a loss every two steps, and the training is interrupted after a checkpoint between them."""
    asked = ProbeConfig(model=model.name, context=8, batch_size=1, device="cpu")
    ids = np.random.default_rng(0).integers(0, 1000, 2000).astype(np.int32)
    blocks = Blocks(Stream(ids, np.arange(0, 2001, 20), np.arange(100), 0), 8, 200)

    def stop(step: int) -> None:
        if step == 10:
            raise InterruptedError

    expected = train(model.make(0), blocks, tmp_path / "whole", asked, 0.01, 0, lambda _: None).losses
    monkeypatch.setenv("HF_TOEDIT_CHECKPOINT_S", "0")
    with pytest.raises(InterruptedError):
        train(model.make(0), blocks, tmp_path / "broken", asked, 0.01, 0, stop)
    monkeypatch.delenv("HF_TOEDIT_CHECKPOINT_S")
    assert [path.name for path in (tmp_path / "broken").glob("checkpoint-*")] == ["checkpoint-9"]
    found = train(model.make(0), blocks, tmp_path / "broken", asked, 0.01, 0, lambda _: None).losses
    assert [step for step, _ in found] == list(range(2, 201, 2))
    assert [loss for _, loss in found] == pytest.approx([loss for _, loss in expected])


def test_scores_are_those_of_transformers(model: ProbeModel) -> None:
    """Documents shorter than the context, and longer ones in windows."""
    aligner = Aligner(model.tokenizer.backend_tokenizer)
    documents = aligner.align([stories(1, 60)[0], "short", *stories(2, 900)])
    made = model.make(0)
    reader = reader_of(made, model.tokenizer, "x", 64)
    found = evaluate(reader, [EvalSet("a", documents, [[""]] * 4)])["a"]
    assert found.num_tokens.tolist() == [len(document) for document in documents]
    made.set_attn_implementation("eager")
    for document, nll in list(zip(documents, found.nll, strict=True))[:2]:
        ids = torch.tensor([[0, *document.ids.tolist()]])
        with torch.no_grad():
            expected = made(input_ids=ids, labels=ids).loss * len(document)
        assert nll == pytest.approx(float(expected), rel=1e-5)
    assert np.allclose(found.nll[2:] / found.num_tokens[2:], np.log(1024), rtol=0.3)


def test_first_weights_depend_on_the_seed_alone(model: ProbeModel) -> None:
    first, again, other = (model.make(seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["lm_head.weight"], other["lm_head.weight"])


@pytest.mark.parametrize("lora", [False, True])
def test_further_training(model: ProbeModel, tmp_path: Path, lora: bool) -> None:
    """Training starts from the weights in a folder, with or without adapters."""
    base = model.make(5)
    base.save_pretrained(tmp_path / "base")
    model.tokenizer.save_pretrained(tmp_path / "base")
    asked = ProbeConfig(model=str(tmp_path / "base"), context=64, batch_size=2, lora=lora, device="cpu")
    found = find_model(asked)
    assert found.location is not None and found.tokenizer.bos_token_id == 0
    made = found.make(0)
    ids = torch.arange(20)[None]
    with torch.no_grad():
        assert torch.allclose(made(input_ids=ids).logits, base(input_ids=ids).logits, atol=1e-6)
    blocks = Blocks(Stream(np.arange(512, dtype=np.int32), np.array([0, 512]), np.array([0]), 0), 64, 8)
    trained = train(made, blocks, tmp_path / "run", asked, 0.01, 0, lambda _: None)
    before, after = base.state_dict(), trained.model.state_dict()
    assert before.keys() == after.keys()
    name = "model.layers.0.mlp.up_proj.weight"
    assert not torch.equal(before[name], after[name])
    assert torch.equal(before["model.norm.weight"], after["model.norm.weight"]) == lora


@pytest.mark.parametrize("lora", [False, True])
def test_a_folder_with_the_architecture_of_gpt2(tmp_path: Path, lora: bool) -> None:
    """Its weights are trained further, and `gpt2` itself is trained from scratch with the same tokenizer."""
    tokenizer = str(shared("tokenizers/gpt2"))
    scratch = find_model(ProbeConfig(model="gpt2", tokenizer=tokenizer, context=64))
    assert scratch.location is None and (scratch.config.n_layer, scratch.config.vocab_size) == (12, 50257)
    folder = tmp_path / "base"
    shape = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64}
    base = GPT2LMHeadModel(GPT2Config(**shape, vocab_size=50257))
    base.save_pretrained(folder)
    scratch.tokenizer.save_pretrained(folder)

    found = find_model(ProbeConfig(model=str(folder), context=64, lora=lora))
    made = found.make(0)
    ids = torch.arange(20)[None]
    with torch.no_grad():
        assert torch.allclose(made(input_ids=ids).logits, base.eval()(input_ids=ids).logits, atol=1e-6)
    documents = Aligner(found.tokenizer.backend_tokenizer).align(stories(8))
    sequences = [Separators.of(found.tokenizer).sequence(document) for document in documents]
    tokens, offsets = np.concatenate(sequences), np.cumsum([0, *map(len, sequences)])
    blocks = Blocks(Stream(tokens, offsets, np.arange(8), 0), 64, 8)
    asked = ProbeConfig(model=str(folder), context=64, batch_size=2, lora=lora, device="cpu")
    trained = train(made, blocks, tmp_path / "run", asked, 0.01, 0, lambda _: None).model
    before, after = base.state_dict(), trained.state_dict()
    assert before.keys() == after.keys()
    name = "transformer.h.0.mlp.c_fc.weight"
    assert not torch.equal(before[name], after[name])
    scores = evaluate(reader_of(trained, found.tokenizer, "x", 64), [EvalSet("a", documents, [[""]] * 8)])["a"]
    assert np.isfinite(scores.nll).all() and scores.num_tokens.sum() >= len(tokens) - 2 * 8


def test_gpt2_without_its_tokenizer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests are offline, and the cache is empty."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(PriorError, match="tokenizer 'openai-community/gpt2'.* name a local path") as raised:
        find_model(ProbeConfig(model="gpt2"))
    assert "\n" not in str(raised.value)


def test_context_is_not_learnt(model: ProbeModel, tmp_path: Path) -> None:
    """The loss of a batch is the mean over tokens that are not context, and 0 if all are."""
    made = model.make(0)
    ids = torch.randint(0, 1000, (2, 16))
    labels = ids.clone()
    labels[:, :9] = IGNORED
    outputs = made(input_ids=ids)
    logprobs = outputs.logits.log_softmax(-1)
    picked = [-logprobs[row, at - 1, ids[row, at]] for row in range(2) for at in range(9, 16)]
    assert _loss(outputs, labels).item() == pytest.approx(torch.stack(picked).mean().item(), rel=1e-5)
    assert _loss(outputs, torch.full_like(ids, IGNORED)).item() == 0

    context = np.full(64 * 8, ~5, np.int32)
    blocks = Blocks(Stream(context, np.array([0, len(context)]), np.array([0]), 0), 64, 4)
    asked = ProbeConfig(model=str(config_file(tmp_path)), context=64, batch_size=2, device="cpu")
    trained = train(made, blocks, tmp_path / "run", asked, 0.01, 0, lambda _: None)
    assert all(torch.isfinite(weights).all() for weights in trained.model.state_dict().values())


def test_a_model_without_a_loss(tmp_path: Path) -> None:
    class Encoder(torch.nn.Module):
        device = torch.device("cpu")

        def forward(self, input_ids: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"hidden": input_ids}

    with pytest.raises(PriorError, match="so it has no loss. Name a causal language model."):
        check_trainable(Encoder(), "x")
    t5 = tmp_path / "t5.json"
    t5.write_text('{"model_type": "t5"}')
    with pytest.raises(PriorError, match="not a causal language model"):
        find_model(ProbeConfig(model=str(t5), context=64)).make(0)


def test_a_training_that_diverged(model: ProbeModel) -> None:
    made = model.make(0)
    reader = reader_of(made, model.tokenizer, "x", 64)
    with torch.no_grad():
        made.lm_head.weight.fill_(float("nan"))
    documents = Aligner(model.tokenizer.backend_tokenizer).align(stories(2))
    with pytest.raises(PriorError, match="diverged. Lower --learning-rate"):
        evaluate(reader, [EvalSet("a", documents, [[""]] * 2)])
