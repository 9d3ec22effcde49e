"""Is oneDNN faster than PyTorch's BLAS in the linear layers, the attention and the head of a prior on a CPU?

As in a prior, oneDNN has the weights of layers in its own order, and those of a head, keys and values as they are.

    python benchmarks/linear.py
    ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2 python benchmarks/linear.py

The second limits both to the instructions of processors without AVX-512. Times are CPU time of one thread.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from torch.nn.functional import linear

from hf_toedit.priors.linear import onednn_linear, reordered

ROUNDS = 10
ROWS = 512
FLOPS = 3e9
"""Approximate number of operations per round and function."""

SHAPES = {
    "embedded, attention": (256, 256),
    "embedded, feed-forward in": (256, 848),
    "embedded, feed-forward out": (848, 256),
    "135M, attention": (576, 576),
    "135M, feed-forward in": (576, 1536),
    "135M, feed-forward out": (1536, 576),
}
"""Numbers of inputs and outputs."""

PLAIN_SHAPES = {
    "head, vocabulary of 4,096": (256, 4096),
    "head, vocabulary of 49,152": (576, 49152),
    "scores, 256 keys": (64, 256),
    "scores, 2,048 keys": (64, 2048),
    "answers, 256 keys": (256, 64),
    "answers, 2,048 keys": (2048, 64),
}
"""The same, of weights in their own order."""


@torch.inference_mode()
def main() -> None:
    """Print the ratio of each product."""
    torch.set_num_threads(1)
    print(f"{'layer':28s} plain / oneDNN: median (range) of {ROUNDS} rounds")
    for name, (inputs, outputs) in (SHAPES | PLAIN_SHAPES).items():
        hidden, weight = torch.randn(ROWS, inputs), torch.randn(outputs, inputs)
        weights = {linear: weight, onednn_linear: weight if name in PLAIN_SHAPES else reordered(weight)}
        repeats = max(1, round(FLOPS / (2 * ROWS * inputs * outputs)))
        ratios = []
        for number in range(ROUNDS + 1):  # the first warms up
            order = (linear, onednn_linear) if number % 2 else (onednn_linear, linear)
            seconds = {function: _seconds(partial(function, hidden, weights[function]), repeats) for function in order}
            ratios.append(seconds[linear] / seconds[onednn_linear])
        ratios = ratios[1:]
        print(f"{name:28s} {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})", flush=True)


def _seconds(product: Callable[[], torch.Tensor], repeats: int) -> float:
    began = time.process_time()
    for _ in range(repeats):
        product()
    return time.process_time() - began


if __name__ == "__main__":
    main()
