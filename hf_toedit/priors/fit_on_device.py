"""Whether a prior fits into the memory of one GPU, from its configuration, before its weights are loaded."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch

from hf_toedit.errors import PriorError

_USABLE = 0.8
"""Share of a GPU's memory for weights when several share a prior; the rest is for passes, keys and values."""


def check_fits(name: str, model_config: Any, dtype: str, device: torch.device) -> None:
    """Refuse a prior whose weights are larger than the free memory of a CUDA device.

    Args:
        name: Name of the prior, for messages.
        model_config: Its configuration, of `transformers`; the weights are not quantized, or are dequantized.
        dtype: Data type of the weights on the device.
        device: A CUDA device.

    Raises:
        PriorError: The weights do not fit.
    """
    needed = weight_bytes(model_config, dtype)
    free, total = torch.cuda.mem_get_info(device)
    # What this process has freed and kept is free for it.
    free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if needed is None or needed <= free:
        return
    if needed <= _USABLE * total:
        advice = "End what else uses that memory, or use another --device."
    else:
        smaller = "" if dtype != "float32" else " Or use --dtype bfloat16."
        advice = f"Use --backend vllm --tensor-parallel {num_devices(needed, total)}, or a smaller prior.{smaller}"
    raise PriorError(
        f"the weights of prior {name!r} take {_gb(needed)} in {dtype}, and {device} has {_gb(free)} of {_gb(total)} "
        f"free. {advice}"
    )


def num_devices(needed: int, total: int) -> int:
    """Return how many GPUs of `total` bytes hold `needed` bytes of weights: a power of two, which divides the heads."""
    number = 1
    while needed > number * _USABLE * total:
        number *= 2
    return number


def weight_bytes(model_config: Any, dtype: str) -> int | None:
    """Return the bytes of a model's weights in a dtype, from its configuration.

    None if that does not work, or takes code from the Hub.
    """
    from transformers import AutoModelForCausalLM

    if getattr(model_config, "auto_map", None):
        return None
    config = deepcopy(model_config)
    for part in (config, config.get_text_config()):
        vars(part).pop("quantization_config", None)
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
    except Exception:  # of any type; loading such a model reports it
        return None
    num_parameters: int = model.num_parameters()
    return num_parameters * getattr(torch, dtype).itemsize


def _gb(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:,.1f} GB"
