"""Hugging Face hardware for Jobs and Spaces: descriptions and prices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hf_toedit.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from huggingface_hub import JobHardwareInfo

_HOURS = {"second": 1 / 3600, "minute": 1 / 60, "hour": 1.0, "day": 24.0}


@dataclass(frozen=True)
class Hardware:
    """A kind of machine.

    Attributes:
        flavor: Name of the machine.
        words: Description.
        has_gpu: Whether it has a GPU.
        price_per_hour: Price in US dollars; None if the Hub does not list a price by time.
    """

    flavor: str
    words: str
    has_gpu: bool
    price_per_hour: float | None


def named(flavor: str, listed: Sequence[JobHardwareInfo]) -> Hardware:
    """Return a machine by name, among those that the Hub lists.

    Raises:
        UsageError: There is no such machine.
    """
    found = {info.name: info for info in listed}
    if flavor not in found:
        raise UsageError(f"unknown flavor {flavor!r}.{did_you_mean(flavor, found)}")
    info = found[flavor]
    words = [info.cpu, info.ram]
    if info.accelerator:
        words.insert(0, f"{info.accelerator.quantity}x {info.accelerator.model}, {info.accelerator.vram}")
    hours = _HOURS.get(info.unit_label)
    price = None if hours is None else info.unit_cost_usd / hours
    has_gpu = info.accelerator is not None and info.accelerator.type == "gpu"
    return Hardware(flavor, ", ".join(words), has_gpu, price)
