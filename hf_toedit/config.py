"""Configuration of what to edit, how, and with which prior: frozen, validated, read from YAML, hashed by content.

This module imports neither torch nor datasets, since the command line, plans and cards load it at start-up.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypedDict, TypeVar, get_args

from msgspec import Meta

from hf_toedit.acceptance import Acceptance
from hf_toedit.checked import NameOrClass, Names, checked, from_json, kinds, names_class
from hf_toedit.errors import UsageError, did_you_mean
from hf_toedit.protect import check_protect

if TYPE_CHECKING:
    from typing_extensions import Unpack

RuleName = Literal["above", "below", "none"]
SamplerName = Literal["top-k", "top-p", "rejection"]
Backend = Literal["transformers", "vllm"]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]
SELECT_MODES, SAMPLERS, BACKENDS, DTYPES = map(get_args, (RuleName, SamplerName, Backend, Dtype))
"""Names of settings; those of selection rules and samplers are the keys of the registries in `editing/`."""

Select = Annotated[str, NameOrClass(SELECT_MODES)]
Sampler = Annotated[str, NameOrClass(SAMPLERS)]

Device = Annotated[
    str,
    Meta(pattern=r"^(?:auto|cpu|mps|xpu|cuda(?::[0-9]+)?)\Z", description="one of auto, cpu, cuda, cuda:N, mps, xpu"),
]
Probability = Annotated[float, Meta(ge=0, le=1)]
Share = Annotated[float, Meta(gt=0, le=1)]

_VLLM_DEVICES = ("auto", "cpu", "cuda", "xpu")

URL_LIST = "urls:"
"""Prefix of a source that is a list of URLs."""

PRESETS: dict[str, dict[str, Any]] = {
    "toedit": {},
    "formula": {"temperature": 1.0},
    "up_revise": {"temperature": 1.5, "top_k": 64},
    "low_drop_up_revise": {"temperature": 1.0, "top_k": 64, "drop_below": 0.001},
    "filtering": {"select": "none", "drop_below": 0.001},
    "careful": {
        "protect": ("words", "numbers", "dates", "names", "urls", "emails", "handles", "code", "math"),
    },
}
"""Named settings: this tool's default, the paper's formula as printed, the strategies of the authors' script, and a
preset for data that people read and learn facts from."""

Config = TypeVar("Config", bound="BaseConfig")


class EditSettings(TypedDict, total=False):
    """How tokens are selected and resampled: the fields of `EditConfig`."""

    select: Select
    threshold: float
    sampler: Sampler
    top_k: int
    top_p: float
    temperature: float
    exclude_original: bool
    drop_below: float | None
    protect: str | Sequence[str]
    accept: str | None
    seed: int


@dataclass(frozen=True)
class BaseConfig:
    """Base of all settings: type checks, reading from a mapping or a YAML file, JSON output and a content hash."""

    later: ClassVar[dict[str, Any]] = {}
    """Settings that earlier plans do not have, with the values that reproduce the earlier behaviour. Settings with
    these values are left out of JSON, so that hashes do not change."""

    def __post_init__(self) -> None:
        """Check each value against its type, so that inner code can rely on it.

        Raises:
            UsageError: A value has the wrong type, or is out of range.
        """
        for name, kind in kinds(type(self)).items():
            object.__setattr__(self, name, checked(getattr(self, name), kind, name))

    @classmethod
    def from_mapping(cls: type[Config], values: Mapping[str, Any]) -> Config:
        """Create settings from names and values.

        Raises:
            UsageError: A name is unknown (the message suggests the nearest known one), or a value is out of range.
        """
        known = kinds(cls)
        for name in values:
            if name not in known:
                raise UsageError(f"unknown setting {name!r}.{did_you_mean(name, known)}")
        return cls(**values)

    @classmethod
    def from_yaml(cls: type[Config], path: str | Path) -> Config:
        """Create settings from a YAML file of names and values; see `from_mapping`. Null values are ignored."""
        from hf_toedit.yaml_file import load_yaml

        known = kinds(cls)
        values = {}
        for name, setting in load_yaml(path).items():
            if name not in known:
                raise UsageError(f"unknown setting {setting.key!r} in {path}.{did_you_mean(setting.key, known)}")
            if setting.value is not None:
                values[name] = setting.checked(known[name])
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """Return all settings as plain JSON values, except those of `later` that have no effect."""
        values = json.loads(json.dumps(asdict(self)))
        return {name: value for name, value in values.items() if name not in self.later or value != self.later[name]}

    @classmethod
    def from_json_value(cls: type[Config], value: Any, path: str) -> Config:
        """Read the output of `to_json`; see `checked.from_json`."""
        return from_json({**cls.later, **value} if isinstance(value, dict) else value, cls, path, complete=True)

    def differing(self, other: BaseConfig) -> dict[str, Any]:
        """Return the settings whose values differ from those of another configuration."""
        return {name: value for name, value in vars(self).items() if value != getattr(other, name)}

    @property
    def content_hash(self) -> str:
        """SHA-256 of the settings, in hexadecimal; equal settings have the same hash on any machine."""
        return content_hash(self.to_json())


@dataclass(frozen=True)
class EditConfig(BaseConfig):
    """How tokens are selected and resampled (arXiv 2412.14689, section 4, and its Tables 5 to 7).

    Attributes:
        select: `above` edits tokens with p >= threshold, `below` those with p <= threshold, `none` edits none;
            `module:Class` is a user-defined selection rule (docs/extending.md).
        threshold: Probability in [0, 1].
        sampler: `top-k`, `top-p` (at most 1,024 candidates per token) or `rejection`: a candidate of the top k,
            proposed uniformly, is accepted with probability exp((logp - max) / temperature);
            `module:Class` is a user-defined sampler.
        top_k: Number of candidates per token, for `top-k` and `rejection`.
        top_p: Probability mass of the nucleus, for `top-p`; the temperature is applied first.
        temperature: Divides the log-probabilities of the candidates.
        exclude_original: Never sample the original token.
        drop_below: Delete tokens with p below this value; None deletes none.
        protect: Text that is not edited: names of `GUARDS` (see `protect`), or `re:PATTERN`. No edit changes, creates
            or ends a match; tokens that touch a match, or the character on either side of it, are not edited.
        accept: `likelihood`, `likelihood:TAU` or `likelihood:TAU:M` scores each edited text once more, with all of its
            edits in place, and reverts an edit if the log-likelihood of the unchanged tokens among the next M
            (16) falls by more than TAU (0) nats; see `editing/acceptance.py`. None keeps every edit.
        seed: Any integer; sampling depends on (seed, generation, document text, token position) only.
    """

    later: ClassVar[dict[str, Any]] = {"accept": None}

    select: Select = "above"
    threshold: Probability = 0.99
    sampler: Sampler = "top-k"
    top_k: Annotated[int, Meta(ge=1, le=1_000_000)] = 8
    top_p: Share = 0.99
    temperature: Annotated[float, Meta(gt=0, le=1e6)] = 1.5
    exclude_original: bool = False
    drop_below: Probability | None = None
    protect: Names = ()
    accept: str | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] = 0

    def __post_init__(self) -> None:
        """Check the values and the names they refer to."""
        super().__post_init__()
        for pattern in self.protect:
            check_protect(pattern)
        if self.accept is not None:
            object.__setattr__(self, "accept", str(Acceptance.of(self.accept)))

    @property
    def acceptance(self) -> Acceptance | None:
        """The parsed `accept` rule; None if every edit is kept."""
        return None if self.accept is None else Acceptance.of(self.accept)

    @property
    def own(self) -> dict[str, str]:
        """Settings that name a user-defined class, with the class name: code that a plan may bring along."""
        return {name: value for name in ("select", "sampler") if names_class(value := getattr(self, name))}

    @classmethod
    def from_preset(cls, preset: str = "toedit", **settings: Unpack[EditSettings]) -> EditConfig:
        """Create settings from a preset; settings given here override it, and `protect` adds to what it protects.

        Args:
            preset: One of `PRESETS`.
            **settings: Fields of `EditConfig`.

        Raises:
            UsageError: The preset or a setting is unknown, or a value is out of range.
        """
        checked(preset, Literal[tuple(PRESETS)], "preset")
        protect = checked(settings.get("protect", ()), Names, "protect")
        together = tuple(dict.fromkeys([*PRESETS[preset].get("protect", ()), *protect]))
        return cls.from_mapping({**PRESETS[preset], **settings, "protect": together})


@dataclass(frozen=True)
class PriorConfig(BaseConfig):
    """Which language model scores the documents, and how it is run.

    Attributes:
        prior: `embedded`, a local folder, a Hub model id, or `module:Class` for a user-defined prior.
        revision: Branch, tag or commit of a Hub model; pinned to a commit sha when loaded. It has this name here, and
            therefore in plans and their hashes; functions and commands that also take a source call it
            `prior_revision`.
        dtype: Data type of the body's weights; `auto` is float32 on CPU and bfloat16 on GPU. The head is always
            float32.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, ….
        trust_remote_code: Allow the model's repository, or a user-defined prior, to run Python code on this machine.
        backend: The library that runs the model.
        prune: Skip the output layer where a bound shows that a token cannot be selected. Applies if tokens are selected
            from above and none is deleted. The edits are the same; the probabilities of tokens that are not selected
            are known only for a sample.
    """

    prior: str = "embedded"
    revision: str | None = None
    dtype: Dtype = "auto"
    device: Device = "auto"
    trust_remote_code: bool = False
    backend: Backend = "transformers"
    prune: bool = False

    def __post_init__(self) -> None:
        """Check the values and their combination."""
        super().__post_init__()
        if not self.prior.strip():
            raise UsageError("the prior has no name. Name a folder, a Hub id (org/name), or 'embedded'.")
        if self.backend == "vllm" and self.device not in _VLLM_DEVICES:
            raise UsageError(
                f"device {self.device!r} is not one of {', '.join(_VLLM_DEVICES)}, which vLLM takes. Choose its "
                f"GPU with CUDA_VISIBLE_DEVICES."
            )
        if self.prune and self.backend != "transformers":
            raise UsageError(f"the {self.backend} backend computes every probability: leave --prune out.")
        if self.is_own:
            self._check_own()

    @property
    def is_own(self) -> bool:
        """Whether the prior is a user-defined class, not a model that a backend runs."""
        return names_class(self.prior)

    def _check_own(self) -> None:
        if not self.trust_remote_code:
            raise UsageError(
                f"prior {self.prior!r} is Python code. If you trust it, use --trust-remote-code "
                f"(trust_remote_code=True)."
            )
        if self.revision is not None:
            raise UsageError(f"prior {self.prior!r} is a Python class and has no revisions. Leave the revision out.")
        if self.backend != "transformers" or self.prune:
            raise UsageError(f"prior {self.prior!r} does not use a backend. Leave --backend and --prune out.")


@dataclass(frozen=True)
class Resources(BaseConfig):
    """Machine resources that a prior may use; not part of a plan, since results do not depend on them.

    Attributes:
        token_budget: Target number of tokens per forward pass; None lets the backend choose.
        memory_fraction: Share of a GPU's memory that may be used.
        tensor_parallel: Number of GPUs that share one copy of the model; vLLM backend only.
    """

    token_budget: Annotated[int, Meta(ge=1, le=2**31)] | None = None
    memory_fraction: Share = 0.9
    tensor_parallel: Annotated[int, Meta(ge=1, le=1024)] = 1


@dataclass(frozen=True, kw_only=True)
class TextConfig(BaseConfig):
    """Which texts of a row are edited, and what context the prior reads.

    Attributes:
        text_columns: Columns to edit; `.` leads into a struct, `[]` to each item of a list (`turns[].body`).
            The default is `text`, unless there is a messages column.
        context_columns: Columns that the prior reads before the text, in this order, and that are not edited.
        messages_column: Column of conversations (a list of structs with role and content) to edit instead.
        roles: Roles whose messages are edited; the others are read as context.
    """

    text_columns: Names = ()
    context_columns: Names = ()
    messages_column: str | None = None
    roles: Names = ("assistant",)

    def __post_init__(self) -> None:
        """Check the values and their combination."""
        super().__post_init__()
        if self.messages_column is not None and (self.text_columns or self.context_columns):
            raise UsageError("a messages column is edited alone: leave the text and context columns out.")
        if self.messages_column is not None and not self.roles:
            raise UsageError("the list of roles is empty. Name one with --roles.")
        if self.messages_column is None and not self.text_columns:
            object.__setattr__(self, "text_columns", ("text",))
        named = [*self.text_columns, *self.context_columns]
        for column in named:
            if named.count(column) > 1:
                twice = "both edited and context" if column in self.context_columns else "to be edited twice"
                raise UsageError(f"column {column!r} is {twice}. Name it once.")


@dataclass(frozen=True)
class SourceConfig(TextConfig):
    """Which dataset is edited, and which of its texts.

    Attributes:
        source: Path, glob, `save_to_disk` folder, Hub id, `hf://` path, `urls:` and the path of a list of URLs, or
            `sample` for the bundled sample.
        config_name: Configuration of a dataset, or of a run (gen1).
        split: A single split; None means every split.
        revision: Branch, tag or commit of a Hub dataset; pinned to a commit sha when opened.
        limit: Maximum number of rows per split, from the first.
        columns: Columns to keep, in this order, each a name or `name:type`; the default is all of them.
    """

    source: str
    config_name: str | None = None
    split: str | None = None
    revision: str | None = None
    limit: Annotated[int, Meta(ge=1, le=2**62)] | None = None
    columns: Names = ()

    def __post_init__(self) -> None:
        """Check the values and their combination."""
        super().__post_init__()
        if not self.source.removeprefix(URL_LIST).strip():
            raise UsageError("the source has no name. Name a file, a folder, a Hub dataset (org/name), or 'sample'.")


@dataclass(frozen=True)
class RunConfig(BaseConfig):
    """Generations and output of a run.

    Attributes:
        generations: Number of editing passes, each over the previous output; generation 0 is the source.
        edit_log_column: Name of the struct column that makes edits reversible; None leaves it out.
        score_result: Score the output of the last generation, so that its probabilities are known as well. None does so
            only if it is under a tenth of the work: after more than 10 generations.
        flat_columns: Also write figures of the edit log as numeric columns, which the Hub's viewer can plot and filter.
            None keeps the choice of the run's plan; for a new run it means no such columns.
    """

    later: ClassVar[dict[str, Any]] = {"flat_columns": None}

    generations: Annotated[int, Meta(ge=1, le=32_767)] = 1
    edit_log_column: str | None = "toedit"
    score_result: bool | None = None
    flat_columns: bool | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        super().__post_init__()
        if self.score_result is None:
            object.__setattr__(self, "score_result", self.generations > 10)
        if self.edit_log_column == "":
            raise UsageError("edit_log_column must have a name; leave the log out with --no-edit-log.")
        if self.flat_columns and self.edit_log_column is None:
            raise UsageError("flat columns are figures of the edit log. Leave --flat-columns out, or --no-edit-log.")

    @classmethod
    def from_json_value(cls, value: Any, path: str) -> RunConfig:
        """Read JSON; see `BaseConfig`. In JSON, `score_result` must be decided.

        Raises:
            UsageError: `score_result` is null, or the value is not a valid configuration.
        """
        if isinstance(value, dict) and value.get("score_result", False) is None:
            raise UsageError(f"{path}.score_result must be true or false, not null.")
        return super().from_json_value(value, path)


def content_hash(value: Any) -> str:
    """Return the SHA-256, in hexadecimal, of a JSON value in canonical form."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()
