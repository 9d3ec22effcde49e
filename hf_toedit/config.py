"""What to edit, how, and with which prior: frozen settings that check themselves, read from YAML, hash by content.

No torch, no datasets: the command line, plans and cards read this module at start-up.
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
"""How a source begins that is a list of addresses."""

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
"""Settings by name: this tool's default, the paper's formula as printed, the authors' script's strategies, and one for
data that people read and learn facts from."""

Config = TypeVar("Config", bound="BaseConfig")


class EditSettings(TypedDict, total=False):
    """How tokens are selected and drawn: the fields of `EditConfig`."""

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
    """Shared by all settings: checked by their types, from a mapping or a YAML file, to JSON, by content hash."""

    later: ClassVar[dict[str, Any]] = {}
    """Settings that earlier plans do not have, with the values that do what was done then: left out of JSON where they
    have these, so that hashes stay."""

    def __post_init__(self) -> None:
        """Check each value against its type, so that inner code can trust.

        Raises:
            UsageError: A value is of another type, or out of range.
        """
        for name, kind in kinds(type(self)).items():
            object.__setattr__(self, name, checked(getattr(self, name), kind, name))

    @classmethod
    def from_mapping(cls: type[Config], values: Mapping[str, Any]) -> Config:
        """Make settings from names and values.

        Raises:
            UsageError: a name is unknown (the nearest known one is named) or a value is out of range.
        """
        known = kinds(cls)
        for name in values:
            if name not in known:
                raise UsageError(f"unknown setting {name!r}.{did_you_mean(name, known)}")
        return cls(**values)

    @classmethod
    def from_yaml(cls: type[Config], path: str | Path) -> Config:
        """Make settings from a YAML file of names and values; see `from_mapping`. What is null is left out."""
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
        """All settings as plain JSON values, but those of `later` that do nothing."""
        values = json.loads(json.dumps(asdict(self)))
        return {name: value for name, value in values.items() if name not in self.later or value != self.later[name]}

    @classmethod
    def from_json_value(cls: type[Config], value: Any, path: str) -> Config:
        """Read what `to_json` wrote; see `checked.from_json`."""
        return from_json({**cls.later, **value} if isinstance(value, dict) else value, cls, path, complete=True)

    def differing(self, other: BaseConfig) -> dict[str, Any]:
        """The settings that are not those of another."""
        return {name: value for name, value in vars(self).items() if value != getattr(other, name)}

    @property
    def content_hash(self) -> str:
        """SHA-256 of the settings, in hexadecimal; equal settings hash alike on any machine."""
        return content_hash(self.to_json())


@dataclass(frozen=True)
class EditConfig(BaseConfig):
    """How tokens are selected and drawn again (arXiv 2412.14689, section 4, and its Tables 5 to 7).

    Attributes:
        select: `above` edits tokens with p >= threshold, `below` those with p <= threshold, `none` edits none;
            `module:Class` is a selection rule of your own (docs/extending.md).
        threshold: probability in [0, 1].
        sampler: `top-k`, `top-p` (at most 1,024 candidates a token) or `rejection`: a candidate of the top k,
            proposed uniformly, is accepted with probability exp((logp - max) / temperature);
            `module:Class` is a sampler of your own.
        top_k: candidates a token, for `top-k` and `rejection`.
        top_p: mass of the nucleus, for `top-p`; the temperature is applied before it.
        temperature: divides the log-probabilities of the candidates.
        exclude_original: never draw the token that was there.
        drop_below: tokens with p below it are deleted; None deletes none.
        protect: what is not edited: names of `GUARDS` (see `protect`), or `re:PATTERN`. No edit changes, makes or ends
            a match; tokens that touch one, or the character on either side of it, are not edited.
        accept: `likelihood`, `likelihood:TAU` or `likelihood:TAU:M` reads each edited text once more, with all of its
            edits in place, and puts an edit back if the log-likelihood of the unchanged tokens among the next M
            (16) falls by more than TAU (0) nats; see `editing/acceptance.py`. None keeps every edit.
        seed: any integer; draws depend on (seed, generation, document text, token position) only.
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
        """Check the values and what they name."""
        super().__post_init__()
        for pattern in self.protect:
            check_protect(pattern)
        if self.accept is not None:
            object.__setattr__(self, "accept", str(Acceptance.of(self.accept)))

    @property
    def acceptance(self) -> Acceptance | None:
        """What `accept` says; None where every edit is kept."""
        return None if self.accept is None else Acceptance.of(self.accept)

    @property
    def own(self) -> dict[str, str]:
        """The settings that name a class of the user's own, with its name: code that a plan may bring along."""
        return {name: value for name in ("select", "sampler") if names_class(value := getattr(self, name))}

    @classmethod
    def from_preset(cls, preset: str = "toedit", **settings: Unpack[EditSettings]) -> EditConfig:
        """Start from a preset; settings given here win over it, and `protect` adds to what it protects.

        Args:
            preset: One of `PRESETS`.
            **settings: Fields of `EditConfig`.

        Raises:
            UsageError: unknown preset or setting, or a value out of range.
        """
        checked(preset, Literal[tuple(PRESETS)], "preset")
        protect = checked(settings.get("protect", ()), Names, "protect")
        together = tuple(dict.fromkeys([*PRESETS[preset].get("protect", ()), *protect]))
        return cls.from_mapping({**PRESETS[preset], **settings, "protect": together})


@dataclass(frozen=True)
class PriorConfig(BaseConfig):
    """Which language model reads the documents, and how it is run.

    Attributes:
        prior: `embedded`, a local folder, a Hub model id, or `module:Class`, a prior of your own.
        revision: branch, tag or commit of a Hub model; pinned to a commit sha when loaded. It has this name here, and
            so in plans and their hashes; functions and commands that know a source as well call it `prior_revision`.
        dtype: of the body's weights; `auto` is float32 on CPU and bfloat16 on GPU. The head is float32 always.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, ….
        trust_remote_code: let the model's repository, or a prior of your own, run its Python code here.
        backend: the library that runs the model.
        prune: leave out the output layer where a bound shows that a token cannot be selected, if tokens are selected
            from above and none is deleted. The edits are the same; probabilities, but for those of selected tokens,
            are known of a sample.
    """

    prior: str = "embedded"
    revision: str | None = None
    dtype: Dtype = "auto"
    device: Device = "auto"
    trust_remote_code: bool = False
    backend: Backend = "transformers"
    prune: bool = False

    def __post_init__(self) -> None:
        """Check the values and whether they go together."""
        super().__post_init__()
        if not self.prior.strip():
            raise UsageError("the prior has no name. Name a folder, a Hub id (org/name), or 'embedded'.")
        if self.backend == "vllm" and self.device not in _VLLM_DEVICES:
            raise UsageError(
                f"device {self.device!r} is not one of {', '.join(_VLLM_DEVICES)}, which vLLM takes. Which GPU it "
                f"uses is said by CUDA_VISIBLE_DEVICES."
            )
        if self.prune and self.backend != "transformers":
            raise UsageError(f"the {self.backend} backend computes every probability: leave --prune out.")
        if self.is_own:
            self._check_own()

    @property
    def is_own(self) -> bool:
        """Whether the prior is a class of the user's own, not a model that a backend runs."""
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
            raise UsageError(f"prior {self.prior!r} is run by no backend. Leave --backend and --prune out.")


@dataclass(frozen=True)
class Resources(BaseConfig):
    """What a prior may use of a machine; no part of a plan, since results do not depend on it.

    Attributes:
        token_budget: tokens that a forward pass aims at; None leaves it to the backend.
        memory_fraction: share of a GPU's memory that may be used.
        tensor_parallel: GPUs that share one copy of the model; the vLLM backend only.
    """

    token_budget: Annotated[int, Meta(ge=1, le=2**31)] | None = None
    memory_fraction: Share = 0.9
    tensor_parallel: Annotated[int, Meta(ge=1, le=1024)] = 1


@dataclass(frozen=True, kw_only=True)
class TextConfig(BaseConfig):
    """Which texts of a row are edited, and what the prior reads with them.

    Attributes:
        text_columns: the columns to edit; `.` leads into a struct, `[]` to each item of a list (`turns[].body`).
            None given is `text`, unless there is a messages column.
        context_columns: read by the prior before the text, in this order, and not edited.
        messages_column: a column of conversations (a list of structs with role and content) to edit instead.
        roles: whose messages are edited; the others are read as context.
    """

    text_columns: Names = ()
    context_columns: Names = ()
    messages_column: str | None = None
    roles: Names = ("assistant",)

    def __post_init__(self) -> None:
        """Check the values and whether they go together."""
        super().__post_init__()
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
    limit: Annotated[int, Meta(ge=1, le=2**62)] | None = None
    columns: Names = ()

    def __post_init__(self) -> None:
        """Check the values and whether they go together."""
        super().__post_init__()
        if not self.source.removeprefix(URL_LIST).strip():
            raise UsageError("the source has no name. Name a file, a folder, a Hub dataset (org/name), or 'sample'.")


@dataclass(frozen=True)
class RunConfig(BaseConfig):
    """What a run makes of a source.

    Attributes:
        generations: how often the result is edited again; generation 0 is the source.
        edit_log_column: name of the struct column that makes edits reversible; None leaves it out.
        score_result: read the last generation once more, so that its probabilities are known as well; None is only
            where that is under a tenth of the work: after more than 10 generations.
        flat_columns: figures of the edit log as columns of numbers too, which the Hub's viewer plots and filters; None
            is as the run was planned, and without them where it was not.
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


def content_hash(value: Any) -> str:
    """SHA-256, in hexadecimal, of a JSON value written in one canonical way."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()
