"""Matrix products with oneDNN, in float32 on a CPU: faster than PyTorch's BLAS, on AMD processors by 7 to 130 %.

With AVX2 alone it is faster by 2 to 15 % (`benchmarks/linear.py`). Weights of layers are kept in the order in which
oneDNN reads them, which it would otherwise bring about in each call.
`torch.compile` would use oneDNN as well, but takes minutes to compile.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear

from hf_toedit.priors.allocator import return_freed_memory

_LARGE_BYTES = 2**20
"""Size from which the memory of plain weights is returned at once; glibc would keep it, and a model take it twice."""


@cache
def has_onednn() -> bool:
    """Whether this build of PyTorch has the operators used here."""
    operators = ("_linear_pointwise", "_reorder_linear_weight")
    return torch.backends.mkldnn.is_available() and all(hasattr(torch.ops.mkldnn, name) for name in operators)


def fast_linear(inputs: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Compute `inputs @ weight.T` in float32 on a CPU: `[n, d]` by `[m, d]` to `[n, m]`.

    Strides of the weights are best those of a contiguous matrix or of its transpose: oneDNN may take a thousand times
    as long for a part of the columns.
    """
    return (onednn_linear if has_onednn() else linear)(inputs, weight)


def onednn_linear(inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """Compute `torch.nn.functional.linear` in float32 on a CPU: `[..., n]` by `[m, n]` to `[..., m]`.

    The weights may be `reordered`.
    """
    return torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, "none", [], "")


def reordered(weight: torch.Tensor) -> torch.Tensor:
    """Return weights `[m, n]` in the order in which oneDNN reads them; `to_dense` gives the plain ones."""
    return torch.ops.mkldnn._reorder_linear_weight(weight)


class OnednnLinear(torch.nn.Linear):
    """A linear layer whose weights are in oneDNN's order; `weight` is a plain copy, for models that read it."""

    @property
    def weight(self) -> torch.Tensor:  # type: ignore[override]
        """The weights `[m, n]`."""
        return self._parameters["weight"].to_dense()  # type: ignore[union-attr]

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Compute the layer in float32 on a CPU: `[..., n]` to `[..., m]`."""
        return onednn_linear(inputs, self._parameters["weight"], self.bias)  # type: ignore[arg-type]


class TrainedLinear(torch.nn.Linear):
    """A linear layer that is trained with oneDNN's products."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Compute the layer in float32 on a CPU: `[..., n]` to `[..., m]`."""
        if inputs.dtype != torch.float32 or not inputs.numel():  # autocast; an expert without tokens
            return super().forward(inputs)
        answer: torch.Tensor = _Product.apply(inputs, self.weight)
        return answer if self.bias is None else answer + self.bias


class _Product(torch.autograd.Function):
    """The product `inputs @ weight.T` with its gradients."""

    @staticmethod
    def forward(ctx: Any, inputs: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(inputs, weight)
        return onednn_linear(inputs, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        inputs, weight = ctx.saved_tensors
        of_inputs, of_weight = ctx.needs_input_grad
        return (
            onednn_linear(gradient, weight.T) if of_inputs else None,
            onednn_linear(gradient.flatten(0, -2).T, inputs.flatten(0, -2).T) if of_weight else None,
        )


@contextmanager
def onednn_training(model: torch.nn.Module) -> Iterator[None]:
    """Train the linear layers of a model with oneDNN's products, where they are in float32 on a CPU.

    On an AMD processor with AVX-512, a step of a small Llama takes two thirds of the time.
    """
    layers = _plain_layers(model)
    for layer in layers:
        layer.__class__ = TrainedLinear
    try:
        yield
    finally:
        for layer in layers:
            layer.__class__ = torch.nn.Linear


def use_onednn(model: torch.nn.Module) -> None:
    """Make the linear layers of a model call oneDNN, where they are in float32 on a CPU; others are unchanged."""
    for layer in _plain_layers(model):
        num_bytes = layer.weight.nbytes
        layer.weight = torch.nn.Parameter(reordered(layer.weight.detach()), requires_grad=False)
        layer.__class__ = OnednnLinear
        if num_bytes >= _LARGE_BYTES:
            return_freed_memory()


def _plain_layers(model: torch.nn.Module) -> list[torch.nn.Linear]:
    """Return the linear layers in float32 on a CPU, if this build of PyTorch has oneDNN.

    A subclass, a weight that is not a plain parameter, or a replaced forward may compute something else: libraries that
    quantize or offload a model use these.
    """
    if not has_onednn():
        return []
    return [
        module
        for module in model.modules()
        if type(module) is torch.nn.Linear
        and type(module.weight) is torch.nn.Parameter
        and module.weight.dtype == torch.float32
        and module.weight.device.type == "cpu"
        and "forward" not in vars(module)
    ]
