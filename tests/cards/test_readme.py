"""Hand-written parts of a README are kept when generated parts change, and a damaged README is not overwritten."""

from __future__ import annotations

import re
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hf_toedit.cards.readme import merged
from hf_toedit.errors import RunError
from hf_toedit.hub import metadata_of
from tests.cards.test_card import EXAMPLES, parts
from tests.cli.command import HfToEdit, prior

OURS = {
    "license": "mit",
    "tags": ["toedit", "synthetic"],
    "size_categories": ["n<1K"],
    "configs": [
        {"config_name": "gen1", "data_files": "data/gen1/*"},
        {"config_name": "gen2", "data_files": "data/gen2/*", "default": True},
    ],
    "dataset_info": [{"config_name": "gen1", "splits": [1]}, {"config_name": "gen2", "splits": [2]}],
}

keys = st.sampled_from(["license", "tags", "language", "annotations", "a b", "x: y"])
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
words = st.text(st.characters(exclude_characters="\r\0", exclude_categories=["Cs"]), max_size=60)


def _write(existing: str | None, **ours: Any) -> str:
    return merged(existing, {**OURS, **ours}, "the section", "", "# Title")


@settings(max_examples=EXAMPLES, deadline=None)
@given(metadata=st.dictionaries(keys, values, max_size=5), before=words, behind=words)
@example({}, "---", "")
@example({"tags": None}, "", "")
@example({"license": None}, " x ", "\n\n---\n")
def test_hand_written_parts_survive(metadata: dict[str, Any], before: str, behind: str) -> None:
    front_matter = yaml.safe_dump(metadata, allow_unicode=True)
    metadata = yaml.safe_load(front_matter)  # YAML does not preserve some rare strings
    first = _write(f"---\n{front_matter}---\n{before}")
    assert before.strip() in first
    once = first + behind
    again = merged(once, OURS, "another section", "", "# Title")
    assert again.replace("another section", "the section") == once
    for card in (first, again):
        now = yaml.safe_load(card.split("\n---\n", 1)[0].removeprefix("---\n"))
        for name, value in metadata.items():
            if name != "tags":
                assert now[name] == value
        assert {"toedit", "synthetic"} <= set(map(str, now["tags"]))
        assert now["configs"] == OURS["configs"]


def test_a_key_is_whose_it_was_changed_by_last() -> None:
    card = _write(None)
    assert parts(_write(card, license="apache-2.0"))[0]["license"] == "apache-2.0"
    assert "license" not in parts(merged(card, {k: v for k, v in OURS.items() if k != "license"}, "", "", ""))[0]
    changed = card.replace("license: mit", "license: gpl-3.0")
    assert parts(_write(changed, license="apache-2.0"))[0]["license"] == "gpl-3.0"
    assert parts(_write(_write(changed), license="apache-2.0"))[0]["license"] == "gpl-3.0"
    removed = card.replace("license: mit\n", "")
    assert "license" not in parts(_write(_write(removed)))[0]
    untagged = card.replace("- synthetic\n", "- mine\n")
    assert parts(_write(_write(untagged), tags=["toedit", "synthetic", "new"]))[0]["tags"] == ["toedit", "mine", "new"]
    tagless = card.replace("tags:\n- toedit\n- synthetic\n", "")
    assert "tags" not in parts(_write(_write(tagless)))[0]
    assert parts(_write("---\ntags:\n---\n"))[0]["tags"] == ["toedit", "synthetic"]
    assert parts(_write("---\nlicense: gpl-3.0\ntags: mine\n---\nMy words.\n"))[0].items() >= {
        "license": "gpl-3.0", "tags": ["mine", "toedit", "synthetic"]
    }.items()  # fmt: skip


def test_comments_and_layout_stay_where_nothing_changed() -> None:
    yours = "# mine\nlanguage:   [en,  de] # two\n# of the licence\nlicense: gpl-3.0\ntags: [a]   # one\n# the end\n"
    card = _write(f"---\n{yours}---\nMy words.\n")
    assert card.startswith("---\n# mine\nlanguage:   [en,  de] # two\n# of the licence\nlicense: gpl-3.0\ntags:\n- a\n")
    assert "# the end\n" in card
    assert "My words.\n\n# Title\n\n<!-- hf-toedit:begin -->" in card
    flow = _write("---\n{language: en, license: &a gpl-3.0, pretty_name: *a}\n---\n")
    assert parts(flow)[0].items() >= {"language": "en", "license": "gpl-3.0", "pretty_name": "gpl-3.0"}.items()
    reference = _write("---\ntags: &t [a]\nlanguage: *t\n---\n")
    assert parts(reference)[0].items() >= {"tags": ["a", "toedit", "synthetic"], "language": ["a"]}.items()


def test_configurations_are_merged_by_name() -> None:
    theirs = {"config_name": "raw", "data_files": "raw/*"}
    info = {"splits": [0]}
    existing = yaml.safe_dump({"configs": [theirs, {"config_name": "gen1", "data_files": "old"}], "dataset_info": info})
    card = _write(f"---\n{existing}---\n")
    metadata = parts(card)[0]
    assert metadata["configs"] == [theirs, *OURS["configs"]]
    assert metadata["dataset_info"] == [{"config_name": "default", **info}, *OURS["dataset_info"]]

    moved = card.replace("  default: true\n", "").replace(
        "data_files: data/gen1/*", "data_files: data/gen1/*\n  default: true"
    )
    third = {"config_name": "gen3", "data_files": "data/gen3/*", "default": True}
    later = [{**OURS["configs"][0]}, {**OURS["configs"][1]}, third]
    configs = {entry["config_name"]: entry for entry in parts(_write(moved, configs=later))[0]["configs"]}
    assert [name for name, entry in configs.items() if entry.get("default")] == ["gen1"]
    assert list(configs) == ["raw", "gen1", "gen2", "gen3"]

    fewer = parts(_write(card, configs=[OURS["configs"][0]], dataset_info=[OURS["dataset_info"][0]]))[0]
    assert [entry["config_name"] for entry in fewer["configs"]] == ["raw", "gen1"]
    assert parts(_write(None, configs=[third], dataset_info=[{"config_name": "gen3"}]))[0]["dataset_info"] == {
        "config_name": "gen3"
    }


def test_a_configuration_called_default_stays_the_default_one() -> None:
    card = _write("---\nconfigs:\n- config_name: default\n  data_files: a/*\n---\n")
    assert not any("default" in entry for entry in parts(card)[0]["configs"])


BROKEN = {
    "license: [": "not valid YAML",
    "license: mit: no": "not valid YAML",
    "- a\n- b": "not a mapping",
    "configs: {a: 1}": "'configs' is not a list of mappings",
    "configs: [1]": "'configs' is not a list of mappings",
    "dataset_info: a": "'dataset_info' is not a list of mappings",
}


@pytest.mark.parametrize("front_matter", BROKEN)
def test_broken_metadata_is_an_error(front_matter: str) -> None:
    with pytest.raises(RunError, match=rf"{BROKEN[front_matter]}.*it was not overwritten\.$"):
        _write(f"---\n{front_matter}\n---\n")


def _bomb() -> str:
    """Return YAML of a few hundred bytes that stands for 9^10 values."""
    lists = [f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]" for before, name in pairwise("abcdefghijk")]
    return "\n".join(["a: &a x", *lists])


UNBOUNDED = {
    "references": (_bomb(), "expand to too much text"),
    "text": (f"a: &a {'x' * 10_000}\nb: [{', '.join(['*a'] * 1000)}]", "expand to too much text"),
    "itself": ("a: &a [*a]", "nested too deeply"),
    "depth": ("a: " + "[" * 5000 + "]" * 5000, "nested too deeply"),
    "chain": ("\n".join(["k0: &k0 []", *(f"k{n}: &k{n} [*k{n - 1}]" for n in range(1, 200))]), "nested too deeply"),
}


@pytest.mark.parametrize("kind", UNBOUNDED)
def test_metadata_without_bounds_are_an_error(kind: str, tmp_path: Path) -> None:
    text, said = UNBOUNDED[kind]
    with pytest.raises(RunError, match=rf"{said}.*it was not overwritten\.$"):
        _write(f"---\n{text}\n---\n")
    card = tmp_path / "README.md"
    card.write_text(f"---\n{text}\n---\n")
    assert metadata_of(card) == {}


@pytest.mark.parametrize(
    ("existing", "said"),
    [("---\nlicense: mit\n# Title", "no end"), ("<!-- hf-toedit:begin -->\nwords\n", "no end that belongs to it")],
)
def test_a_half_readme_is_an_error(existing: str, said: str) -> None:
    with pytest.raises(RunError, match=said):
        _write(existing)


def test_line_ends_and_byte_order_marks() -> None:
    card = _write("\ufeff---\r\nlicense: gpl-3.0\r\n---\r\nMy words.\r\n")
    assert card.startswith("---\nlicense: gpl-3.0\r\n") and "My words." in card
    assert _write(card) == card
    assert "\n---\n\nMy words.\n\n# Title" in _write("\ufeffMy words.")
    assert _write("---\n---\nMy words.").count("\n---\n") == 1


def test_a_card_that_fails_loses_no_data(hf_toedit: HfToEdit, tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = ("edit", "sample", "--limit", 2, "-o", run, *prior())
    done = hf_toedit(*command, "--json")
    assert done.code == 0, done
    (run / "README.md").write_text("---\nlicense: [\n---\nMy words.\n")
    shutil.rmtree(run / "data" / "gen1")
    shutil.rmtree(run / "assets")
    failed = hf_toedit(*command, "--json")
    assert (failed.code, failed.json["finished"]) == (1, True)
    assert failed.stderr.startswith(
        "Error: the rows are all there, but their card could not be written: the existing README.md"
    )
    assert f"Then: hf-toedit card {run}" in failed.stderr
    assert (run / "README.md").read_text() == "---\nlicense: [\n---\nMy words.\n"
    assert "license: [" not in hf_toedit.fails("card", run)
    assert "Sound" in hf_toedit("verify", run).stdout

    (run / "README.md").write_bytes(b"---\nlicense: gpl-3.0\n---\n\xff")
    assert "is not UTF-8" in hf_toedit.fails("card", run)
    (run / "README.md").write_text("---\nlicense: gpl-3.0\n---\nMy words.\n")
    (run / "assets").write_text("in the way")
    assert "cannot write" in hf_toedit.fails("card", run)
    (run / "assets").unlink()
    assert hf_toedit("card", run).stdout.splitlines()[-1] == str(run / "README.md")
    card = (run / "README.md").read_text()
    assert re.match(r"---\nlicense: gpl-3.0\npretty_name: hf-toedit sample, edited with ToEdit\n", card)
    assert "My words.\n\n## Edited with ToEdit\n\n<!-- hf-toedit:begin -->" in card


def test_no_card_of_a_run_that_is_not_finished(hf_toedit: HfToEdit, tmp_path: Path) -> None:
    run = tmp_path / "run"
    hf_toedit("plan", "sample", "--limit", 2, "-o", run, *prior())
    assert hf_toedit.fails("card", run) == (
        f"generation 1 of {run} is not finished: train-00000-of-00001 is missing. Finish it: hf-toedit run {run}"
    )
    assert hf_toedit("run", run, "--quiet").code == 0
    assert hf_toedit("run", run, "--score-result", "--quiet").code == 0
    shutil.rmtree(run / "toedit" / "stats" / "result")
    assert "the reading of the result of" in hf_toedit.fails("card", run)
    assert hf_toedit("run", run, "--quiet").code == 0
    [data] = run.glob("data/gen1/*")
    data.write_bytes(b"x" * data.stat().st_size)
    assert "cannot be read" in hf_toedit.fails("card", run)
