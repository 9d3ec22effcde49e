"""RMSNorm as one kernel on a GPU, instead of the seven that `transformers` launches.

On a CPU the modules of `transformers` are faster: PyTorch has no such kernel there. Its function took 1.0 to 1.1 times
as long in float32, by the same bits, and 1.0 to 3.2 times as long in bfloat16 (hidden sizes 256 to 2,048).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial

import torch
from torch.nn.functional import rms_norm

_PROBE_ROWS = 8
_TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2**-6, torch.float16: 2**-9}
"""Relative; in half precision, modules round before and after they multiply by the weight, and the kernel once."""


def has_fused_norm() -> bool:
    """Whether this version of PyTorch has the kernel; older ones have only the function, which is not faster."""
    return hasattr(torch.ops.aten, "_fused_rms_norm")


def use_fused_norms(model: torch.nn.Module) -> int:
    """Make the RMSNorm modules of a model call `rms_norm` where that gives their results.

    Returns:
        Number of modules that do.
    """
    count = 0
    for module in model.modules():
        if _is_plain(module) and agrees(module):
            module.forward = partial(_forward, module, module.forward)
            count += 1
    return count


@torch.inference_mode()
def agrees(module: torch.nn.Module) -> bool:
    """Whether a module computes `rms_norm` by its weight. That of Gemma does not: it adds 1 to the weight."""
    weight = _weight(module)
    generator = torch.Generator().manual_seed(0)
    hidden = (4 * torch.randn(_PROBE_ROWS, len(weight), generator=generator)).to(weight.device, weight.dtype)
    try:
        expected, answer = module(hidden), rms_norm(hidden, weight.shape, weight, _eps(module))
    except (RuntimeError, TypeError):  # a module that needs something else
        return False
    if expected.dtype != answer.dtype:
        return False
    difference = (answer.float() - expected.float()).abs()
    return bool((difference <= _TOLERANCE[weight.dtype] * expected.float().abs() + 1e-6).all())


def _is_plain(module: torch.nn.Module) -> bool:
    """Whether a module is named as an RMSNorm and takes one input. Libraries that offload modules replace `forward`."""
    weight = getattr(module, "weight", None)
    return (
        type(module).__name__.endswith("RMSNorm")
        and "forward" not in vars(module)
        and type(weight) is torch.nn.Parameter
        and weight.ndim == 1
        and weight.dtype in _TOLERANCE
        and _eps(module) is not None
        and len(inspect.signature(module.forward).parameters) == 1
    )


def _forward(
    module: torch.nn.Module, own: Callable[[torch.Tensor], torch.Tensor], hidden: torch.Tensor
) -> torch.Tensor:
    weight = _weight(module)
    return rms_norm(hidden, weight.shape, weight, _eps(module)) if hidden.dtype == weight.dtype else own(hidden)


def _weight(module: torch.nn.Module) -> torch.Tensor:
    weight = module.weight
    assert isinstance(weight, torch.Tensor)
    return weight


def _eps(module: torch.nn.Module) -> float | None:
    return getattr(module, "variance_epsilon", getattr(module, "eps", None))
