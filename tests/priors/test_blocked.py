"""The fast CPU paths, attention in blocks of queries and linear layers by oneDNN, compared with plain ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.nn.functional import linear, scaled_dot_product_attention

from hf_toedit.priors.blocked import blocked_attention
from hf_toedit.priors.linear import TrainedLinear, onednn_linear, onednn_training, use_onednn


def reference(query, key, value, scaling, sliding_window):
    """Compute attention in float64, with a mask of the keys that each query attends to."""
    num_queries, num_keys = query.shape[2], key.shape[2]
    places = torch.arange(num_keys - num_queries, num_keys)[:, None] - torch.arange(num_keys)
    seen = (places >= 0) & (places < (sliding_window or num_keys))
    answer = scaled_dot_product_attention(
        query.double(), key.double(), value.double(), attn_mask=seen, scale=scaling, enable_gqa=True
    )
    return answer.transpose(1, 2).float()


@pytest.mark.parametrize("heads", [(4, 4), (6, 2), (3, 1)])
@pytest.mark.parametrize("lengths", [(1, 1), (1, 70), (64, 64), (65, 65), (33, 300), (300, 300), (500, 1700)])
@pytest.mark.parametrize("sliding_window", [None, 1, 7, 64, 100, 5000])
def test_attention_in_blocks_is_attention(heads, lengths, sliding_window):
    torch.manual_seed(0)
    # The layout is that of a model: heads adjacent in memory, a piece of a pack.
    query = torch.randn(1, lengths[0] + 9, heads[0], 16).transpose(1, 2)[:, :, 9:]
    key, value = (torch.randn(1, lengths[1], heads[1], size).transpose(1, 2) for size in (16, 8))
    for scaling in (None, 0.3):
        answer = blocked_attention(query, key, value, scaling, sliding_window)
        torch.testing.assert_close(answer, reference(query, key, value, scaling, sliding_window), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("heads, kv_heads, num_keys", [(32, 8, 9000), (40, 1, 100)])
def test_many_heads_are_gone_through_in_turn(heads, kv_heads, num_keys):
    torch.manual_seed(0)
    query, key = torch.randn(1, heads, 100, 8), torch.randn(1, kv_heads, num_keys, 8)
    answer = blocked_attention(query, key, key, None, None)
    torch.testing.assert_close(answer, reference(query, key, key, None, None), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("heads", [(4, 4), (6, 2), (8, 1)])
@pytest.mark.parametrize("lengths", [(17, 17), (33, 33), (90, 90), (200, 200), (500, 1700), (1000, 1000)])
@torch.inference_mode()
def test_attention_depends_on_neither_threads_nor_place(heads, lengths, threads):
    torch.manual_seed(0)
    query = torch.randn(1, lengths[0], heads[0], 64).transpose(1, 2)
    key = torch.randn(1, lengths[1], heads[1], 64).transpose(1, 2)
    expected = blocked_attention(query, key, key, None, None)
    elsewhere = torch.cat([torch.randn_like(query[:, :, :7]), query], dim=2)[:, :, 7:]
    for count in (1, 2, 3, 8):
        threads(count)
        assert torch.equal(blocked_attention(elsewhere, key, key, None, None), expected)
        assert torch.get_num_threads() == count


@pytest.mark.parametrize("bias", [True, False])
@torch.inference_mode()
def test_linear_layers_by_onednn(bias):
    torch.manual_seed(0)
    layer = torch.nn.Linear(48, 200, bias=bias)
    inputs = torch.randn(1, 500, 48)
    weight = layer.weight.detach().clone()
    expected = linear(inputs, weight, layer.bias)
    use_onednn(torch.nn.Sequential(layer))
    assert torch.equal(layer.weight, weight)
    assert sum(each.numel() for each in layer.parameters()) == 48 * 200 + 200 * bias
    answer = layer(inputs)
    assert torch.equal(answer, onednn_linear(inputs, weight, layer.bias))
    torch.testing.assert_close(answer, expected, atol=1e-5, rtol=1e-5)
    # The product of a row must not depend on other rows, if their number is a multiple of 32, as in packs.
    for start, stop in ((0, 32), (3, 99), (100, 132), (20, 500)):
        assert torch.equal(layer(inputs[:, start:stop].clone()), answer[:, start:stop])


_GROWTH = """
import torch
from hf_toedit.priors.linear import use_onednn

def megabytes():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1000

def model(count):
    return torch.nn.Sequential(*(torch.nn.Linear(600, 600) for _ in range(count)))

use_onednn(model(2))
large = model(200)
before = megabytes()
use_onednn(large)
print(megabytes() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the memory of a process on Linux")
def test_a_model_does_not_take_twice_its_memory():
    # The weights are 288 MB.
    assert float(subprocess.check_output([sys.executable, "-c", _GROWTH])) < 100


def test_other_layers_are_left_alone():
    class Scaled(torch.nn.Linear):
        def forward(self, inputs):
            return super().forward(inputs) * 2

    class Quantized(torch.Tensor):
        pass

    quantized = torch.nn.Linear(8, 8)
    quantized.weight = torch.nn.Parameter(torch.randn(8, 8).as_subclass(Quantized))
    layers = [Scaled(8, 8), torch.nn.Linear(8, 8, dtype=torch.bfloat16), quantized]
    kinds = [type(layer) for layer in layers]
    use_onednn(torch.nn.Sequential(*layers))
    assert [type(layer) for layer in layers] == kinds
    replaced = torch.nn.Linear(8, 8)
    replaced.forward = torch.zeros_like
    use_onednn(torch.nn.Sequential(replaced))
    assert replaced.forward is torch.zeros_like


@pytest.mark.parametrize("bias", [True, False])
def test_training_by_onednn_has_the_gradients_of_plain_layers(bias):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(48, 96, bias=bias), torch.nn.SiLU(), torch.nn.Linear(96, 8, bias=bias))
    model[2].weight.requires_grad_(False)  # as under an adapter
    inputs = torch.randn(3, 50, 48, requires_grad=True)

    def gradients() -> list[torch.Tensor]:
        wanted = [inputs, *(each for each in model.parameters() if each.requires_grad)]
        return list(torch.autograd.grad(model(inputs).square().mean(), wanted))

    expected = gradients()
    with onednn_training(model):
        assert [type(model[index]) for index in (0, 2)] == [TrainedLinear] * 2
        found = gradients()
        assert model(inputs[:0]).shape == (0, 50, 8)
        with torch.autocast("cpu", torch.bfloat16):
            model(inputs).mean().backward()
    assert type(model[0]) is type(model[2]) is torch.nn.Linear
    assert len(found) == 2 + 2 * bias
    for left, right in zip(found, expected, strict=True):
        torch.testing.assert_close(left, right, atol=1e-6, rtol=1e-5)
