"""Priors whose weights are quantized: which of them `transformers` can load here, found out before a download."""

from __future__ import annotations

from typing import Any

import torch

from hf_toedit.errors import PriorError, in_one_line

_DEQUANTIZED = ("fp8", "mxfp8", "mxfp4")
"""Methods whose weights are dequantized on loading. `transformers` would download kernels for them from the Hub: code
that the user did not request by name, and that is not pinned to a commit. On a CPU it dequantizes them as well."""

_PACKAGES = {"torchao": "torchao", "hqq": "hqq", "quark": "amd-quark", "fbgemm_fp8": "fbgemm-gpu"}
"""Packages of methods whose error messages in `transformers` do not say how to install them."""


def prepare_quantized(name: str, model_config: Any, device: torch.device) -> bool:
    """Check that a prior can be loaded if its weights are quantized; choose to dequantize them where that is better.

    Args:
        name: Name of the prior, for messages.
        model_config: Its configuration, of `transformers`; changed in place.
        device: Device for the model.

    Returns:
        Whether the weights stay packed in the memory of the device.

    Raises:
        PriorError: A package or a device is missing, or `transformers` does not support the method.
    """
    settings = settings_of(model_config)
    if settings is None:
        return False
    method = settings.get("quant_method") or "unknown method"
    if method in _DEQUANTIZED:
        settings["dequantize"] = True
    why = _obstacle(settings, device)
    if why:
        raise PriorError(
            f"prior {name!r} is quantized ({method}), and transformers cannot run it on {device.type}: {why} "
            f"Or use --backend vllm, or a prior that is not quantized."
        )
    return method not in _DEQUANTIZED


def settings_of(model_config: Any) -> dict[str, Any] | None:
    """Return how the weights of a model are quantized, as in its `config.json`; None if they are not."""
    for part in (model_config, model_config.get_text_config()):
        settings: dict[str, Any] | None = getattr(part, "quantization_config", None)
        if settings is not None:
            return settings
    return None


def _obstacle(settings: dict[str, Any], device: torch.device) -> str | None:
    """Return why `transformers` cannot load weights that are quantized this way, as sentences; None if it can."""
    from transformers.quantizers import AutoHfQuantizer

    if settings.get("load_in_8bit") and settings.get("llm_int8_threshold", 6.0) > 0:
        # Measured with bitsandbytes 0.50: logits differ by 1 % of the largest if only later tokens differ.
        return "the 8-bit products of bitsandbytes make the answer for a token depend on later tokens."
    try:
        if settings.get("quant_method") and not AutoHfQuantizer.supports_quant_method(settings):
            return "it does not support this method."  # and would read the packed weights as plain ones
        quantizer = AutoHfQuantizer.from_config(dict(settings), pre_quantized=True)
        quantizer.validate_environment(device_map={"": device}, weights_only=True)
    except Exception as error:  # each method has its own types
        why = in_one_line(error).rstrip(".") + "."
        package = _PACKAGES.get(settings.get("quant_method", ""))
        return why if package is None or "pip install" in why else f"{why} It may need: pip install {package}."
    return None
