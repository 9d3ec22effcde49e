"""Settings validate themselves, name invalid values, and hash by content."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_toedit import ToEditor
from hf_toedit.checked import kinds
from hf_toedit.config import (
    PRESETS,
    EditConfig,
    PriorConfig,
    Resources,
    RunConfig,
    SourceConfig,
    TextConfig,
    content_hash,
)
from hf_toedit.errors import UsageError, did_you_mean
from hf_toedit.protect import PROTECT_PATTERNS, protect_regex
from hf_toedit.yaml_file import load_yaml

EXAMPLES = int(os.environ.get("HF_TOEDIT_EXAMPLES", "120"))


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
        (
            "accept",
            [None, "likelihood", "likelihood:2", "likelihood:.5:1", "likelihood:inf:1000000"],
            [
                "",
                "likely",
                "likelihood:",
                "likelihood:-1",
                "likelihood:nan",
                "likelihood:1.2.3",
                "likelihood::16",
                "likelihood:1:0",
                "likelihood:1:1000001",
                "likelihood:1:x",
                "likelihood:1:" + "9" * 5000,
                "m:C",
                1,
                True,
            ],
        ),
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
    """Equal settings have equal hashes on every machine; different settings do not."""

    def test_is_stable_over_processes_and_versions(self) -> None:
        assert content_hash({"b": [1, None], "a": "ü"}) == content_hash({"a": "ü", "b": [1, None]})
        assert content_hash({"a": "ü"}) == "09b7cce2644347ec871e23509919ef22c21c75ee6ba11969f4aa7e7541f1f4f5"
        code = "from hf_toedit.config import EditConfig; print(EditConfig(protect=('urls',)).content_hash)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == EditConfig(protect="urls").content_hash

    def test_is_that_of_earlier_versions(self) -> None:
        config = EditConfig(threshold=1.0, temperature=2.0, drop_below=0.0, protect=("urls",))
        assert config.content_hash == "6451398222c3ba16ce1019b5cbb308ba11a05552756b537f7f1cf49d616d6683"
        assert EditConfig().content_hash == "28a30ace1af56e3163e409d215924394063a51de3bc626feaa4996b313765182"
        assert RunConfig(2).content_hash == "4bfe91796c2f613ce8a6333e654ca8fbfcd6ae2d6765baba71c5b3fba2c05c6a"

    def test_of_equal_settings_is_equal(self) -> None:
        assert EditConfig(threshold=1) == EditConfig(threshold=1.0)
        assert EditConfig(threshold=1).content_hash == EditConfig(threshold=1.0).content_hash

    def test_is_sensitive_to_every_setting(self) -> None:
        changes = [
            {}, {"select": "below"}, {"threshold": 0.98}, {"sampler": "top-p"}, {"top_k": 9}, {"top_p": 0.9},
            {"temperature": 1.0}, {"exclude_original": True}, {"drop_below": 0.0}, {"protect": ("urls",)},
            {"protect": ("urls", "code")}, {"protect": ("code", "urls")}, {"seed": 1},
            {"accept": "likelihood"}, {"accept": "likelihood:1"}, {"accept": "likelihood:0:8"},
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


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.dates()
    | st.sets(st.text(), max_size=2) | st.sampled_from([10**400, np.int64(3), np.float32(0.5), np.True_]),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip


@settings(max_examples=2 * EXAMPLES, deadline=None)
@given(st.sampled_from([EditConfig, PriorConfig, Resources, TextConfig, SourceConfig, RunConfig]), ANYTHING, st.data())
def test_any_value_is_of_its_type_or_refused_in_one_line(config: Any, value: Any, data: st.DataObject) -> None:
    name, kind = data.draw(st.sampled_from(sorted(kinds(config).items(), key=str)))
    given_source = {"source": "a"} if config is SourceConfig else {}
    try:
        made = config(**{**given_source, name: value})
    except UsageError as error:
        assert len(str(error).splitlines()) == 1 and len(str(error)) < 500, error
        said = "protect|device|column|no role" if "column" in name or name in ("protect", "roles", "device") else "$^"
        assert re.match(rf"{name}\b|(unknown )?({said})", str(error)), error
        return
    found = getattr(made, name)
    assert type(found) in (bool, int, float, str, tuple, type(None))
    assert not isinstance(value, bool) or type(found) is bool
    assert type(found) is not float or math.isfinite(found)
    assert type(found) is not tuple or all(isinstance(one, str) for one in found)
    assert made == replace(made) and made.content_hash == replace(made).content_hash
    resolved = value is None and name == "score_result"  # then depends on the generations
    assert found == value or resolved or isinstance(found, tuple) or isinstance(value, np.generic), kind


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: EditConfig(seed=True), "seed must be a whole number, not True."),
        (lambda: EditConfig(top_k=[8, 16]), "top_k must be a whole number, not [8, 16]."),
        (lambda: EditConfig(threshold="0.9"), "threshold must be a number, not '0.9'."),
        (lambda: EditConfig(threshold=10**400), "threshold 1000"),
        (lambda: EditConfig(seed=10**5000), "seed a very long int is out of range: it must be between "),
        (lambda: EditConfig(protect={"numbers"}), "protect must be a string or a list of strings, not {'numbers'}."),
        (lambda: EditConfig(protect=["numbers", 3]), "protect[1] must be a string, not 3."),
        (lambda: EditConfig(exclude_original=1), "exclude_original must be true or false, not 1."),
        (lambda: EditConfig(select=["above"]), "select must be one of above, below, none, not ['above']."),
        (lambda: EditConfig.from_preset(["toedit"]), "preset must be one of toedit, formula, "),
        (lambda: PriorConfig(7), "prior must be a string, not 7."),
        (lambda: PriorConfig(device=0), "device must be one of auto, cpu, cuda, cuda:N, mps, xpu, not 0."),
        (lambda: ToEditor.from_pretrained("embedded", top_k="8"), "top_k must be a whole number, not '8'."),
        (lambda: ToEditor.from_pretrained(7), "prior must be a string, not 7."),
        (lambda: SourceConfig("a", columns=5), "columns must be a string or a list of strings, not 5."),
    ],
)
def test_values_of_another_type(make: Any, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        make()
    assert str(caught.value).startswith(said)


def test_what_counts_as_a_plain_value() -> None:
    config = EditConfig(top_k=np.int64(4), threshold=np.float32(0.5), temperature=2)
    assert [type(value) for value in (config.top_k, config.threshold, config.temperature)] == [int, float, float]
    assert PriorConfig(Path("models/a")).prior == "models/a"
    assert SourceConfig("a", columns="text").columns == ("text",)


def test_protect_patterns_compile() -> None:
    for name in PROTECT_PATTERNS:
        assert protect_regex(name).pattern == PROTECT_PATTERNS[name]
    assert protect_regex("re:a|b").fullmatch("b")
