"""Matrix products with oneDNN, in float32 on a CPU: faster than PyTorch's BLAS, on an AMD processor by 6 to 17 %.

With AVX2 alone the two are level in the layers, and oneDNN is faster in the head (`benchmarks/linear.py`).
`torch.compile` would use oneDNN as well, but takes minutes to compile.
"""

from __future__ import annotations

from functools import partial

import torch


def has_onednn() -> bool:
    """Whether this build of PyTorch has the operator used here."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def onednn_linear(inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """Compute `torch.nn.functional.linear` in float32 on a CPU: `[..., n]` by `[m, n]` to `[..., m]`."""
    return torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, "none", [], "")


def use_onednn(model: torch.nn.Module) -> None:
    """Make the linear layers of a model call oneDNN, if this build of PyTorch has it; other layers are unchanged."""
    if not has_onednn():
        return
    for module in model.modules():
        # A subclass, a weight that is not a plain parameter, or a replaced forward may compute something else:
        # libraries that quantize or offload a model use these.
        if (
            type(module) is torch.nn.Linear
            and type(module.weight) is torch.nn.Parameter
            and module.weight.dtype == torch.float32
            and "forward" not in vars(module)
        ):
            module.forward = partial(_forward, module)  # type: ignore[method-assign]


def _forward(layer: torch.nn.Linear, inputs: torch.Tensor) -> torch.Tensor:
    return onednn_linear(inputs, layer.weight, layer.bias)
