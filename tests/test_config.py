"""Settings validate themselves, name what they refuse, and hash by content."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import pytest

from hf_toedit.config import (
    PRESETS,
    PROTECT_PATTERNS,
    EditConfig,
    PriorConfig,
    RunConfig,
    SourceConfig,
    content_hash,
    protect_regex,
)
from hf_toedit.errors import UsageError, did_you_mean
from hf_toedit.yaml_file import load_yaml


@pytest.mark.parametrize(
    ("setting", "good", "bad"),
    [
        ("select", ["above", "below", "none"], ["abov", None]),
        ("sampler", ["top-k", "top-p", "rejection"], ["top_k", ""]),
        ("threshold", [0, 0.5, 1], [-1e-9, 1.01, math.nan, math.inf, "0.5", None, True]),
        ("top_k", [1, 1_000_000], [0, -1, 1_000_001, 2.0, True]),
        ("top_p", [1e-9, 1], [0, 1.01, math.nan]),
        ("temperature", [1e-3, 1000], [0, -1, math.nan, math.inf]),
        ("drop_below", [None, 0, 1], [-0.1, 2, "x"]),
        ("seed", [0, -1, 2**63 - 1], [1.5, 2**63, None]),
        ("protect", [(), None, ["numbers"], ("re:a+",), "urls"], [["nope"], "re:("]),
    ],
)
def test_edit_settings(setting: str, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        EditConfig(**{setting: value})
    for value in bad:
        with pytest.raises(UsageError, match=setting):
            EditConfig(**{setting: value})


@pytest.mark.parametrize(
    ("make", "setting", "bad"),
    [
        (PriorConfig, "dtype", "float8"),
        (PriorConfig, "device", "gpu"),
        (PriorConfig, "device", "cuda:x"),
        (lambda **values: PriorConfig(backend="vllm", **values), "prune", True),
        (lambda **values: SourceConfig("a", **values), "limit", 0),
        (RunConfig, "generations", 0),
        (RunConfig, "generations", 32_768),
    ],
)
def test_other_settings(make: Any, setting: str, bad: Any) -> None:
    with pytest.raises(UsageError, match=setting):
        make(**{setting: bad})


def test_messages_name_the_bounds_and_the_nearest_name() -> None:
    with pytest.raises(UsageError, match=r"^threshold 2 is out of range: it must be between 0 and 1\.$"):
        EditConfig(threshold=2)
    with pytest.raises(UsageError, match=r"^temperature 0 is out of range: it must be above 0 and at most 1e\+06\.$"):
        EditConfig(temperature=0)
    with pytest.raises(UsageError, match=r"^unknown setting 'treshold'. Did you mean 'threshold'\?$"):
        EditConfig.from_mapping({"treshold": 0.5})
    with pytest.raises(UsageError, match=r"^unknown setting 'zzz'. Known: prior, revision, "):
        PriorConfig.from_mapping({"zzz": 1})
    with pytest.raises(UsageError, match=r"^preset 'formla' is not known. Did you mean 'formula'\?$"):
        EditConfig.from_preset("formla")
    assert did_you_mean("x", []) == ""


def test_settings_given_beside_a_preset_win() -> None:
    assert EditConfig.from_preset() == EditConfig() == EditConfig.from_preset("toedit")
    for preset, values in PRESETS.items():
        config = EditConfig.from_preset(preset)
        assert all(getattr(config, name) == value for name, value in values.items())
    config = EditConfig.from_preset("low_drop_up_revise", temperature=2.0)
    assert (config.temperature, config.top_k, config.drop_below) == (2.0, 64, 0.001)


def test_settings_are_frozen_and_changed_copies_are_validated() -> None:
    config = EditConfig()
    with pytest.raises(FrozenInstanceError):
        config.seed = 1  # type: ignore[misc]
    assert replace(config, seed=1) == EditConfig(seed=1)
    with pytest.raises(UsageError, match="top_k"):
        replace(config, top_k=0)


def test_json_round_trip() -> None:
    config = EditConfig(protect=("numbers", "re:ü"), drop_below=0.1)
    assert EditConfig.from_mapping(json.loads(json.dumps(config.to_json()))) == config


class TestContentHash:
    """Equal settings hash alike, anywhere; others do not."""

    def test_is_stable_over_processes_and_versions(self) -> None:
        assert content_hash({"b": [1, None], "a": "ü"}) == content_hash({"a": "ü", "b": [1, None]})
        assert content_hash({"a": "ü"}) == "09b7cce2644347ec871e23509919ef22c21c75ee6ba11969f4aa7e7541f1f4f5"
        code = "from hf_toedit.config import EditConfig; print(EditConfig(protect=('urls',)).content_hash)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == EditConfig(protect="urls").content_hash

    def test_is_sensitive_to_every_setting(self) -> None:
        changes = [
            {}, {"select": "below"}, {"threshold": 0.98}, {"sampler": "top-p"}, {"top_k": 9}, {"top_p": 0.9},
            {"temperature": 1.0}, {"exclude_original": True}, {"drop_below": 0.0}, {"protect": ("urls",)},
            {"protect": ("urls", "code")}, {"protect": ("code", "urls")}, {"seed": 1},
        ]  # fmt: skip
        assert len({EditConfig(**change).content_hash for change in changes}) == len(changes)


class TestYaml:
    """Settings from files."""

    def test_values(self, tmp_path: Path) -> None:
        path = tmp_path / "a.yaml"
        path.write_text("threshold: 0.5\nprotect: [numbers, 're:ü']\n", encoding="utf-8")
        assert EditConfig.from_yaml(path) == EditConfig(threshold=0.5, protect=("numbers", "re:ü"))
        path.write_text("")
        assert load_yaml(path) == {}

    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            (b"- a\n- b\n", "must hold 'name: value' lines, not a list"),
            (b"text", "not a str"),
            (b"a: [", "is not valid YAML"),
            (b"a: \xff", "is not valid YAML"),
            (b"!!python/object/apply:os.getcwd []", "is not valid YAML"),
            (b"treshold: 1", "Did you mean 'threshold'"),
            (b"threshold: 2", "threshold 2 is out of range"),
            (b"threshold: 1e-2x", "threshold must be a number"),
        ],
    )
    def test_what_is_wrong_is_said_in_one_line(self, content: bytes, expected: str, tmp_path: Path) -> None:
        path = tmp_path / "a.yaml"
        path.write_bytes(content)
        with pytest.raises(UsageError) as caught:
            EditConfig.from_yaml(path)
        assert expected in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="cannot read settings from .*a.yaml: No such file or directory"):
            load_yaml(tmp_path / "a.yaml")
        with pytest.raises(UsageError, match="Is a directory"):
            load_yaml(tmp_path)


def test_protect_patterns_compile() -> None:
    for name in PROTECT_PATTERNS:
        assert protect_regex(name).pattern == PROTECT_PATTERNS[name]
    assert protect_regex("re:a|b").fullmatch("b")
