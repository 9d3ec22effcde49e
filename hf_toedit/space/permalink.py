"""A visitor's request, and its encoding in the fragment of a URL. No Gradio.

Browsers do not send the fragment: a text in it is in no request for a page, and so in no log of a server. A link is
untrusted: its content is validated like typed input, and it cannot name anything on a machine.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import zlib
from dataclasses import asdict, dataclass, fields

from hf_toedit.config import EditConfig
from hf_toedit.errors import UsageError

PREFIX = "#te1="
"""Prefix of a fragment; determines how the rest is parsed."""

TELL_LINK = "(fragment) => fragment && location.origin + location.pathname + fragment"
# The query of the address is left out: on a private Space it contains a key.
SET_ADDRESS = """(fragment) => {
    history.replaceState(null, "", location.pathname + location.search + fragment);
    if (parent !== window) parent.postMessage({ hash: fragment }, "https://huggingface.co");
    return fragment && location.origin + location.pathname + fragment;
}"""

MAX_TOP_K = 64
MAX_TEMPERATURE = 5.0
MAX_SEED = 9999
MAX_GENERATIONS = 10
"""Upper ends of the sliders, where `EditConfig` would allow more than is sensible to view or to compute."""

THRESHOLD_STEP = 0.001
"""Step of the slider."""

PRESETS_OFFERED = ("toedit", "careful")
"""Presets that differ in what the sliders cannot set."""

_MAX_FRAGMENT = 2**18
_MAX_BYTES = 2**20
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)


@dataclass(frozen=True)
class EditRequest:
    """A text, the settings of its edit, and the generation shown.

    Attributes:
        text: The source text.
        prior: `embedded`, or a Hub id.
        threshold: See `EditConfig`, also for `top_k`, `temperature` and `seed`.
        top_k: At most `MAX_TOP_K`.
        temperature: At most `MAX_TEMPERATURE`.
        seed: 0 to `MAX_SEED`.
        generations: Number of generations, 1 to `MAX_GENERATIONS`.
        shown: The generation shown.
        preset: One of `PRESETS_OFFERED`; it sets what is protected.

    Raises:
        UsageError: A value is out of range.
    """

    text: str
    prior: str = "embedded"
    threshold: float = EditConfig.threshold
    top_k: int = EditConfig.top_k
    temperature: float = EditConfig.temperature
    seed: int = EditConfig.seed
    generations: int = 1
    shown: int = 1
    preset: str = "toedit"

    def __post_init__(self) -> None:
        """Validate the values, whether typed or from a link."""
        _check_text("text", self.text)
        _check_text("prior", self.prior)
        if self.preset not in PRESETS_OFFERED:
            raise UsageError(f"the preset must be one of {', '.join(PRESETS_OFFERED)}.")
        _ = self.config
        _check_most("top_k", self.top_k, 1, MAX_TOP_K)
        _check_most("temperature", self.temperature, 0, MAX_TEMPERATURE)
        _check_most("seed", self.seed, 0, MAX_SEED)
        _check_whole("generations", self.generations, MAX_GENERATIONS)
        _check_whole("the generation shown", self.shown, self.generations)

    @property
    def config(self) -> EditConfig:
        """How to edit the text."""
        return EditConfig.from_preset(
            self.preset, threshold=self.threshold, top_k=self.top_k, temperature=self.temperature, seed=self.seed
        )


def is_hub_id(name: str) -> bool:
    """Whether a prior's name has the form of a Hub id, as `embedded` does too."""
    return len(name) <= 96 and ".." not in name and _HUB_ID.fullmatch(name) is not None


def to_fragment(request: EditRequest) -> str:
    """Encode a request as a URL fragment; empty if its prior is a folder, which a link may not name."""
    if not is_hub_id(request.prior):
        return ""
    content = json.dumps(asdict(request), ensure_ascii=False, separators=(",", ":")).encode()
    return PREFIX + base64.urlsafe_b64encode(zlib.compress(content, 9)).decode().rstrip("=")


def from_fragment(fragment: str) -> EditRequest:
    """Decode a request from a URL fragment.

    Raises:
        UsageError: The fragment is damaged, was not made here, or contains a value that could not be typed.
    """
    values = _unpacked(fragment)
    if not isinstance(values, dict) or not set(values) <= {field.name for field in fields(EditRequest)}:
        raise _damaged()
    try:
        request = EditRequest(**values)
    except TypeError as error:
        raise _damaged() from error
    except UsageError as error:
        raise UsageError(f"This link cannot be followed: {error}") from error
    if not is_hub_id(request.prior):
        raise UsageError("This link cannot be followed: its prior is not a Hub id.")
    return request


def _unpacked(fragment: str) -> object:
    packed = fragment.removeprefix(PREFIX)
    if packed == fragment or len(packed) > _MAX_FRAGMENT:
        raise _damaged()
    unpacking = zlib.decompressobj()
    try:
        compressed = base64.b64decode(packed + "=" * (-len(packed) % 4), altchars=b"-_", validate=True)
        # A few bytes can expand to gigabytes: decompression stops at the maximum size of a text.
        content = unpacking.decompress(compressed, _MAX_BYTES)
        if not unpacking.eof or unpacking.unused_data:
            raise _damaged()
        return json.loads(content.decode())
    except (binascii.Error, zlib.error, ValueError, RecursionError) as error:
        raise _damaged() from error


def _damaged() -> UsageError:
    return UsageError("This link is damaged, or was not made here. Ask for it again, or paste the text itself.")


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise UsageError(f"the {name} must be a text.")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"character {error.start + 1} of the {name} is half of one (a lone surrogate). Take it out."
        ) from error


def _check_most(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise UsageError(f"{name} {value!r} is out of range: here it must be between {low:g} and {high:g}.")


def _check_whole(name: str, value: object, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= high:
        raise UsageError(f"{name} must be a whole number between 1 and {high}, not {value!r}.")
