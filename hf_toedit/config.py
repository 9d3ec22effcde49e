"""What to edit, how, and with which prior: frozen settings that validate themselves, read from YAML, hash by content.

No torch, no datasets: the command line, plans and cards read this module at start-up.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import yaml

from hf_toedit.errors import UsageError, did_you_mean

SELECT_MODES = ("above", "below", "none")
SAMPLERS = ("top-k", "top-p", "rejection")
BACKENDS = ("transformers", "vllm")
DTYPES = ("auto", "float32", "bfloat16", "float16")
_UNBOUNDED = 2**62
"""From here on, the upper bound of a number is not one that a user meets."""

_VLLM_DEVICES = ("auto", "cpu", "cuda", "xpu")

PROTECT_PATTERNS: dict[str, str] = {
    "numbers": r"[+-]?\d+(?:[.,:/]\d+)*(?:[eE][+-]?\d+)?%?",
    "urls": r"(?:https?|ftp)://[^\s<>\"']+|www\.[^\s<>\"']+",
    "emails": r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+",
    "code": r"(?ms:^[ \t]*(`{3,}(?=[^`\n]*$)|~{3,}).*?(?:^[ \t]*\1|\Z))"
    r"|(?s:(?<!`)(`+)(?!`)(?:(?!\n[ \t]*\n).)+?(?<!`)\2(?!`))",
    "math": r"(?s:\$\$.+?\$\$|\\\[.+?\\\]|\\\(.+?\\\)|(?P<env>\\begin\{(?P<name>\w+\*?)\}.*?\\end\{(?P=name)\}))"
    r"|(?<![\\$])\$(?![\s$])(?:\\.|[^$\\\n])+?(?<!\s)\$(?!\d)",
    "handles": r"(?<![\w@])@\w[\w.-]*(?:@[\w-]+(?:\.[\w-]+)+)?",
}
"""Spans that `protect` can name. Any other pattern is given as `re:PATTERN`."""

URL_LIST = "urls:"
"""How a source begins that is a list of addresses."""

PRESETS: dict[str, dict[str, Any]] = {
    "toedit": {},
    "formula": {"temperature": 1.0},
    "up_revise": {"temperature": 1.5, "top_k": 64},
    "low_drop_up_revise": {"temperature": 1.0, "top_k": 64, "drop_below": 0.001},
    "filtering": {"select": "none", "drop_below": 0.001},
}
"""Settings by name: this tool's default, the paper's formula as printed, and the authors' script's strategies."""

Config = TypeVar("Config", bound="_Config")


@dataclass(frozen=True)
class _Config:
    """Shared by all settings: from a mapping or a YAML file, to JSON, by content hash."""

    @classmethod
    def from_mapping(cls: type[Config], values: Mapping[str, Any]) -> Config:
        """Make settings from names and values.

        Raises:
            UsageError: a name is unknown (the nearest known one is named) or a value is out of range.
        """
        known = [field.name for field in fields(cls)]
        for name in values:
            if name not in known:
                raise UsageError(f"unknown setting {name!r}.{did_you_mean(name, known)}")
        return cls(**values)

    @classmethod
    def from_yaml(cls: type[Config], path: str | Path) -> Config:
        """Make settings from a YAML file of names and values; see `from_mapping`."""
        return cls.from_mapping(load_yaml(path))

    def to_json(self) -> dict[str, Any]:
        """All settings as plain JSON values."""
        return json.loads(json.dumps(asdict(self)))

    @property
    def content_hash(self) -> str:
        """SHA-256 of the settings, in hexadecimal; equal settings hash alike on any machine."""
        return content_hash(self.to_json())


@dataclass(frozen=True)
class EditConfig(_Config):
    """How tokens are selected and drawn again (arXiv 2412.14689, section 4, and its Tables 5 to 7).

    Attributes:
        select: `above` edits tokens with p >= threshold, `below` those with p <= threshold, `none` edits none.
        threshold: probability in [0, 1].
        sampler: `top-k`, `top-p` (at most 1,024 candidates a token) or `rejection`: a candidate of the top k,
            proposed uniformly, is accepted with probability exp((logp - max) / temperature).
        top_k: candidates a token, for `top-k` and `rejection`.
        top_p: mass of the nucleus, for `top-p`; the temperature is applied before it.
        temperature: divides the log-probabilities of the candidates.
        exclude_original: never draw the token that was there.
        drop_below: tokens with p below it are deleted; None deletes none.
        protect: names of `PROTECT_PATTERNS`, or `re:PATTERN`; tokens that touch a match, or the
            character on either side of it, are never edited.
        seed: any integer; draws depend on (seed, generation, document text, token position) only.
    """

    select: str = "above"
    threshold: float = 0.99
    sampler: str = "top-k"
    top_k: int = 8
    top_p: float = 0.99
    temperature: float = 1.5
    exclude_original: bool = False
    drop_below: float | None = None
    protect: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        """Validate once, so that inner code can trust."""
        protect = (self.protect,) if isinstance(self.protect, str) else tuple(self.protect or ())
        object.__setattr__(self, "protect", protect)
        _check_choice("select", self.select, SELECT_MODES)
        _check_choice("sampler", self.sampler, SAMPLERS)
        _check_number("threshold", self.threshold, 0, 1)
        _check_number("top_k", self.top_k, 1, 1_000_000, whole=True)
        _check_number("top_p", self.top_p, 0, 1, low_open=True)
        _check_number("temperature", self.temperature, 0, 1e6, low_open=True)
        _check_number("seed", self.seed, -(2**63), 2**63 - 1, whole=True)
        if self.drop_below is not None:
            _check_number("drop_below", self.drop_below, 0, 1)
        for pattern in self.protect:
            protect_regex(pattern)

    @property
    def is_prunable(self) -> bool:
        """Whether an upper bound of a token's probability can decide that it stays."""
        return self.select == "above" and self.drop_below is None

    @classmethod
    def from_preset(cls, preset: str = "toedit", **settings: Any) -> EditConfig:
        """Start from a preset; settings given here win over it.

        Raises:
            UsageError: unknown preset or setting, or a value out of range.
        """
        _check_choice("preset", preset, PRESETS)
        return cls.from_mapping({**PRESETS[preset], **settings})


@dataclass(frozen=True)
class PriorConfig(_Config):
    """Which language model reads the documents, and how it is run.

    Attributes:
        prior: `embedded`, a local folder, or a Hub model id.
        revision: branch, tag or commit of a Hub model; pinned to a commit sha when loaded.
        dtype: of the body's weights; `auto` is float32 on CPU and bfloat16 on GPU. The head is float32 always.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, ….
        trust_remote_code: let the model's repository run its own Python code here.
        backend: the library that runs the model.
        prune: leave out the output layer where a bound shows that a token cannot be selected, if tokens are selected
            from above and none is deleted. The edits are the same; probabilities, but for those of selected tokens,
            are known of a sample.
    """

    prior: str = "embedded"
    revision: str | None = None
    dtype: str = "auto"
    device: str = "auto"
    trust_remote_code: bool = False
    backend: str = "transformers"
    prune: bool = False

    def __post_init__(self) -> None:
        """Validate once, so that inner code can trust."""
        if not self.prior.strip():
            raise UsageError("the prior has no name. Name a folder, a Hub id (org/name), or 'embedded'.")
        _check_choice("backend", self.backend, BACKENDS)
        _check_choice("dtype", self.dtype, DTYPES)
        if not re.fullmatch(r"auto|cpu|mps|xpu|cuda(:\d+)?", self.device):
            raise UsageError(f"device {self.device!r} is not one of auto, cpu, cuda, cuda:N, mps, xpu.")
        if self.backend == "vllm" and self.device not in _VLLM_DEVICES:
            raise UsageError(
                f"device {self.device!r} is not one of {', '.join(_VLLM_DEVICES)}, which vLLM takes. Which GPU it "
                f"uses is said by CUDA_VISIBLE_DEVICES."
            )
        if self.prune and self.backend != "transformers":
            raise UsageError(f"the {self.backend} backend computes every probability: leave --prune out.")


@dataclass(frozen=True)
class Resources(_Config):
    """What a prior may use of a machine; no part of a plan, since results do not depend on it.

    Attributes:
        token_budget: tokens that a forward pass aims at; None leaves it to the backend.
        memory_fraction: share of a GPU's memory that may be used.
        tensor_parallel: GPUs that share one copy of the model; the vLLM backend only.
    """

    token_budget: int | None = None
    memory_fraction: float = 0.9
    tensor_parallel: int = 1

    def __post_init__(self) -> None:
        """Validate once, so that inner code can trust."""
        if self.token_budget is not None:
            _check_number("token_budget", self.token_budget, 1, 2**31, whole=True)
        _check_number("memory_fraction", self.memory_fraction, 0, 1, low_open=True)
        _check_number("tensor_parallel", self.tensor_parallel, 1, 1024, whole=True)


@dataclass(frozen=True, kw_only=True)
class TextConfig(_Config):
    """Which texts of a row are edited, and what the prior reads with them.

    Attributes:
        text_columns: the columns to edit; `.` leads into a struct, `[]` to each item of a list (`turns[].body`).
            None given is `text`, unless there is a messages column.
        context_columns: read by the prior before the text, in this order, and not edited.
        messages_column: a column of conversations (a list of structs with role and content) to edit instead.
        roles: whose messages are edited; the others are read as context.
    """

    text_columns: tuple[str, ...] = ()
    context_columns: tuple[str, ...] = ()
    messages_column: str | None = None
    roles: tuple[str, ...] = ("assistant",)

    def __post_init__(self) -> None:
        """Validate once, so that inner code can trust."""
        for name in ("text_columns", "context_columns", "roles"):
            given = getattr(self, name)
            object.__setattr__(self, name, (given,) if isinstance(given, str) else tuple(given or ()))
        if self.messages_column is not None and (self.text_columns or self.context_columns):
            raise UsageError("a messages column is edited alone: leave the text and context columns out.")
        if self.messages_column is not None and not self.roles:
            raise UsageError("no role is to be edited. Name one with --roles.")
        if self.messages_column is None and not self.text_columns:
            object.__setattr__(self, "text_columns", ("text",))
        named = [*self.text_columns, *self.context_columns]
        for column in named:
            if named.count(column) > 1:
                twice = "both edited and context" if column in self.context_columns else "to be edited twice"
                raise UsageError(f"column {column!r} is {twice}. Name it once.")


@dataclass(frozen=True)
class SourceConfig(TextConfig):
    """Which dataset is edited, and which texts of it.

    Attributes:
        source: path, glob, `save_to_disk` folder, Hub id, `hf://` path, `urls:` and the path of a list of URLs, or
            `sample` for the bundled sample.
        config_name: configuration (subset) of a Hub dataset.
        split: one split; None means every split.
        revision: branch, tag or commit of a Hub dataset; pinned to a commit sha when opened.
        limit: at most this many rows of each split, from the first.
        columns: the ones to keep, in this order, each a name or `name:type`; none given is all of them.
    """

    source: str
    config_name: str | None = None
    split: str | None = None
    revision: str | None = None
    limit: int | None = None
    columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Validate once, so that inner code can trust."""
        super().__post_init__()
        if not self.source.removeprefix(URL_LIST).strip():
            raise UsageError("the source has no name. Name a file, a folder, a Hub dataset (org/name), or 'sample'.")
        object.__setattr__(self, "columns", tuple(self.columns))
        if self.limit is not None:
            _check_number("limit", self.limit, 1, 2**62, whole=True)


@dataclass(frozen=True)
class RunConfig(_Config):
    """What a run makes of a source.

    Attributes:
        generations: how often the result is edited again; generation 0 is the source.
        edit_log_column: name of the struct column that makes edits reversible; None leaves it out.
        score_result: read the last generation once more, so that its probabilities are known as well.
    """

    generations: int = 1
    edit_log_column: str | None = "toedit"
    score_result: bool = False

    def __post_init__(self) -> None:
        """Validate once, so that inner code can trust."""
        _check_number("generations", self.generations, 1, 32_767, whole=True)
        if self.edit_log_column == "":
            raise UsageError("edit_log_column must have a name; leave the log out with --no-edit-log.")


class _Loader(yaml.SafeLoader):
    """Plain values only, and `1e-3` is a number, as it is on the command line."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(?:\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def load_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML file of names and values.

    Raises:
        UsageError: the file cannot be read, or is not a mapping.
    """
    try:
        values = yaml.load(Path(path).read_text(encoding="utf-8"), _Loader)
    except OSError as error:
        raise UsageError(f"cannot read settings from {path}: {error.strerror}. Check the path.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UsageError(f"{path} must hold 'name: value' lines, not a {type(values).__name__}.")
    return values


def content_hash(value: Any) -> str:
    """SHA-256, in hexadecimal, of a JSON value written in one canonical way."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def check_draw(prior: PriorConfig, edit: EditConfig) -> None:
    """Refuse to edit in a way that a prior, run as it is, has not the numbers for.

    Raises:
        UsageError: a nucleus is asked of vLLM at another temperature than 1, while it tells the likeliest tokens only;
            or unlikely tokens are asked for, while pruning leaves them out.
    """
    if prior.prune and not edit.is_prunable:
        raise UsageError(
            "--prune drops tokens that are too unlikely to be selected, so it goes with --select above and without "
            "--drop-below. Leave --prune out, or those."
        )
    if prior.backend == "vllm" and edit.sampler == "top-p" and edit.temperature != 1:
        raise UsageError(
            f"the vLLM backend knows a nucleus (--sampler top-p) at temperature 1 only, not {edit.temperature:g}. "
            f"Say --temperature 1, --sampler top-k, or --backend transformers."
        )


def protect_regex(pattern: str) -> re.Pattern[str]:
    """Compile one entry of `protect`.

    Raises:
        UsageError: neither a known name nor a valid `re:PATTERN`.
    """
    if pattern in PROTECT_PATTERNS:
        return re.compile(PROTECT_PATTERNS[pattern])
    if not pattern.startswith("re:"):
        raise UsageError(
            f"unknown protect pattern {pattern!r}.{did_you_mean(pattern, PROTECT_PATTERNS)} "
            f"A regular expression is written 're:PATTERN'."
        )
    try:
        return re.compile(pattern[3:])
    except re.error as error:
        raise UsageError(f"protect pattern {pattern!r} is not a valid regular expression: {error}.") from error


def _check_choice(name: str, value: Any, choices: Any) -> None:
    if value not in choices:
        raise UsageError(f"{name} {value!r} is not known.{did_you_mean(str(value), choices)}")


def _check_number(
    name: str, value: Any, low: float, high: float, *, whole: bool = False, low_open: bool = False
) -> None:
    kind = "a whole number" if whole else "a number"
    numeric = isinstance(value, int) or (not whole and isinstance(value, float))
    if isinstance(value, bool) or not numeric:
        raise UsageError(f"{name} must be {kind}, not {value!r}.")
    if not (low < value <= high if low_open else low <= value <= high):
        if low_open:
            bound = f"above {low:g} and at most {high:g}"
        else:
            bound = f"between {low:g} and {high:g}" if high < _UNBOUNDED else f"{low:g} or more"
        raise UsageError(f"{name} {value!r} is out of range: it must be {bound}.")
