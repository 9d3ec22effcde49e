"""Loading of weights: incomplete ones, quantized ones, and those that do not fit on a device (for planning only)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

from hf_toedit import EditConfig, PriorConfig, load_prior
from hf_toedit.config import Resources
from hf_toedit.editing.alignment import Aligner
from hf_toedit.editing.selection import SelectionRule
from hf_toedit.errors import PriorError
from hf_toedit.generation.config import GenerateConfig
from hf_toedit.generation.transformers import TransformersGenerator
from hf_toedit.priors import loading
from hf_toedit.priors.embedding import Embedder
from hf_toedit.priors.head import Head
from tests.priors.bits import same_bits

TOKENIZER = Path(loading.prior_folder(PriorConfig("embedded")))
BLOCK = 16
SIZES = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 4096,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny Llama with random weights, and with the embedded prior's tokenizer."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("plain")
    LlamaForCausalLM(LlamaConfig(**SIZES, max_position_embeddings=512, initializer_range=0.1)).save_pretrained(path)
    for file in TOKENIZER.glob("tokenizer*.json"):
        shutil.copy(file, path)
    return path


def quantized(folder: Path, to: Path, settings: dict[str, Any], weights: dict[str, torch.Tensor] | None = None) -> str:
    """Copy a prior with settings in its configuration, and with other weights or none."""
    shutil.copytree(folder, to, ignore=shutil.ignore_patterns("*.safetensors"))
    config = json.loads((to / "config.json").read_text())
    (to / "config.json").write_text(json.dumps({**config, "quantization_config": settings}))
    if weights is not None:
        save_file(weights, to / "model.safetensors", metadata={"format": "pt"})
    return str(to)


def test_priors_in_fp8_are_dequantized(folder: Path, tmp_path: Path) -> None:
    packed, plain = {}, {}
    for name, weight in load_file(folder / "model.safetensors").items():
        packed[name] = plain[name] = weight
        if "_proj" in name:
            blocks = weight.unflatten(1, (-1, BLOCK)).unflatten(0, (-1, BLOCK))
            scale = blocks.abs().amax((1, 3)) / 448
            small = (blocks / scale[:, None, :, None]).to(torch.float8_e4m3fn)
            packed[name], packed[f"{name}_scale_inv"] = small.reshape(weight.shape), scale
            plain[name] = (small.float() * scale[:, None, :, None]).reshape(weight.shape)
    settings = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [BLOCK, BLOCK]}
    prior = load_prior(PriorConfig(quantized(folder, tmp_path / "fp8", settings, packed), device="cpu"))
    shutil.copytree(folder, tmp_path / "plain")
    save_file(plain, tmp_path / "plain/model.safetensors", metadata={"format": "pt"})
    expected = load_prior(PriorConfig(str(tmp_path / "plain"), device="cpu"))
    documents = Aligner(prior.tokenizer).align(["The same text, twice. The same text, twice."])
    rule = SelectionRule(EditConfig(threshold=0.0))
    assert prior.packed and same_bits(prior.score(documents, rule), expected.score(documents, rule))


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "it does not support this method"),
        ({"quant_method": "awq", "bits": 4}, "pip install gptqmodel"),
        ({"quant_method": "gptq", "bits": 4}, "pip install optimum"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "pip install -U bitsandbytes"),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "the answer for a token depend on later tokens"),
        ({"quant_method": "compressed-tensors", "format": "pack-quantized"}, "pip install compressed-tensors"),
        ({"quant_method": "torchao", "quant_type": "int8_weight_only"}, "pip install torchao"),
        ({"quant_method": "hqq", "quant_config": {"weight_quant_params": {"nbits": 4}}}, "pip install hqq"),
        ({"bits": 4}, "no `quant_method`"),
    ],
)
def test_priors_that_cannot_be_used_are_refused_before_their_weights_are_read(
    folder: Path, tmp_path: Path, settings: dict[str, Any], why: str
) -> None:
    name = quantized(folder, tmp_path / "prior", settings)
    with pytest.raises(PriorError) as refused:
        load_prior(PriorConfig(name, device="cpu"))
    method = settings.get("quant_method", "unknown method")
    assert str(refused.value).startswith(
        f"prior {name!r} is quantized ({method}), and transformers cannot run it on cpu: "
    )
    assert why in str(refused.value) and "--backend vllm" in str(refused.value) and "\n" not in str(refused.value)


def test_missing_weights_are_not_made_up(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "prior")
    weights = load_file(folder / "model.safetensors")
    for name in [name for name in weights if "layers.1.mlp" in name]:
        weights[f"{name}_packed"] = weights.pop(name).to(torch.int8)
    save_file(weights, tmp_path / "prior/model.safetensors", metadata={"format": "pt"})
    with pytest.raises(PriorError, match=r"lack model.layers.1.mlp.down_proj.weight and 2 more. Check that it is"):
        load_prior(PriorConfig(str(tmp_path / "prior"), device="cpu"))


def test_a_quantized_output_layer_is_refused() -> None:
    layer = SimpleNamespace(weight=torch.zeros(16, 8, dtype=torch.uint8))
    model = SimpleNamespace(get_output_embeddings=lambda: layer, config=LlamaConfig(**SIZES))
    with pytest.raises(PriorError, match="the output layer of the prior is quantized"):
        Head(model, torch.device("cpu"))


def test_weights_go_straight_to_another_device(folder: Path) -> None:
    config = PriorConfig(str(folder))
    model = loading.load_found(loading.find(config), config, torch.device("meta"))
    assert {weight.device.type for weight in model.parameters()} == {"meta"}
    # Hooks that move tensors between devices would replace these.
    assert not any("forward" in vars(module) for module in model.modules())


GB = 10**9


@pytest.mark.parametrize(
    ("free", "total", "dtype", "message"),
    [
        (79, 80, "auto", "take 141.1 GB in bfloat16, and cuda:0 has 79.0 GB of 80.0 GB free. "
                         "Use --backend vllm --tensor-parallel 4, or a smaller prior."),
        (139, 141, "auto", "Use --backend vllm --tensor-parallel 2, or a smaller prior."),
        (140, 288, "auto", "End what else uses that memory, or use another --device."),
        (190, 192, "float32", "--tensor-parallel 2, or a smaller prior. Or use --dtype bfloat16."),
    ],
)  # fmt: skip
def test_a_prior_of_70b_on_one_gpu(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, total: int, dtype: Any, message: str
) -> None:
    """A folder without weights: nothing of them is read."""
    shutil.copytree(folder, tmp_path / "prior", ignore=shutil.ignore_patterns("*.safetensors"))
    heads = {"num_hidden_layers": 80, "num_attention_heads": 64, "num_key_value_heads": 8}
    LlamaConfig(hidden_size=8192, intermediate_size=28672, vocab_size=128_256, **heads).save_pretrained(
        tmp_path / "prior"
    )
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free * GB - GB, total * GB))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 3 * GB)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 2 * GB)
    config = PriorConfig(str(tmp_path / "prior"), dtype=dtype)
    with pytest.raises(PriorError) as refused:
        loading.load_found(loading.find(config), config, torch.device("cuda:0"))
    assert message in str(refused.value)


class TestVocabulary:
    """A tokenizer that is larger than its model."""

    def small(self, folder: Path, to: Path, vocab_size: int) -> str:
        shutil.copytree(folder, to, ignore=shutil.ignore_patterns("*.safetensors"))
        torch.manual_seed(0)
        LlamaForCausalLM(LlamaConfig(**{**SIZES, "vocab_size": vocab_size})).save_pretrained(to)
        return str(to)

    def test_texts_with_such_a_token_are_named_before_the_device_reads_them(self, folder: Path, tmp_path: Path) -> None:
        prior = load_prior(PriorConfig(self.small(folder, tmp_path / "prior", 2000), device="cpu"))
        rule = SelectionRule(EditConfig())
        documents = Aligner(prior.tokenizer).align(["It is a", "The temperature of the ocean changes considerably."])
        assert documents[0].ids.max() < 2000 < documents[1].ids.max()
        prior.score(documents[:1], rule)
        with pytest.raises(ValueError, match=rf"token {documents[1].ids.max()} is none of the 2000 that prior"):
            prior.score(documents, rule)

    def test_prompts_and_texts_to_embed_with_such_a_token_are_refused(self, folder: Path, tmp_path: Path) -> None:
        name, text = self.small(folder, tmp_path / "prior", 2000), "The temperature of the ocean changes considerably."
        embedder = Embedder(name)
        assert embedder.embed(["It is a"]).any()
        generator = TransformersGenerator(PriorConfig(name, device="cpu"), GenerateConfig(), Resources())
        assert generator.prompt("It is a", "key").ids[0] == 0
        for read in (lambda: embedder.embed([text]), lambda: generator.prompt(text, "key")):
            with pytest.raises(PriorError, match=r"token \d+ is none of the 2000 that prior .* Name another model\."):
                read()

    def test_a_model_without_its_bos_is_refused(self, folder: Path, tmp_path: Path) -> None:
        name = self.small(folder, tmp_path / "prior", 2000)
        settings = json.loads((tmp_path / "prior/tokenizer_config.json").read_text())
        (tmp_path / "prior/tokenizer_config.json").write_text(json.dumps({**settings, "bos_token": "<new>"}))
        with pytest.raises(PriorError, match="the BOS token of prior .* is 4096, and the model has 2000 tokens"):
            load_prior(PriorConfig(name, device="cpu"))


def test_advice_fits_the_files_that_are_wrong(folder: Path, tmp_path: Path) -> None:
    def refusal(at: Path) -> str:
        with pytest.raises(PriorError) as refused:
            load_prior(PriorConfig(str(at), device="cpu"))
        assert "\n" not in str(refused.value) and "  " not in str(refused.value)
        return str(refused.value)

    lost = tmp_path / "lost"
    shutil.copytree(folder, lost, ignore=shutil.ignore_patterns("*.safetensors"))
    assert "Only safetensors weights are loaded" in refusal(lost)
    LlamaForCausalLM(LlamaConfig(**SIZES)).save_pretrained(lost, max_shard_size="400KB")
    sorted(lost.glob("*.safetensors"))[1].unlink()
    assert refusal(lost).endswith(".safetensors. Check that it is a complete causal language model.")

    # The name of a folder is not a message of the library.
    cut = tmp_path / "safetensors-trust_remote_code"
    shutil.copytree(folder, cut)
    (cut / "config.json").write_text('{"model_type"')
    assert refusal(cut).endswith("is not a valid JSON file. Check that it is a complete causal language model.")

    other = tmp_path / "other"
    shutil.copytree(folder, other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "vocab_size": 4000}))
    assert refusal(other).endswith("Its weights have other shapes than its config.json states.")
