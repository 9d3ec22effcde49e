"""The cards in `cards/`: regenerated cards are the same, and `datasets` loads the described data."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml
from datasets import load_dataset, load_dataset_builder
from PIL import Image

from hf_toedit.cards.edit_data import EditCardData
from hf_toedit.editing.kinds import kinds_of, kinds_of_edits
from hf_toedit.editing.piece_table import PieceTable
from hf_toedit.rows.rows import piece_tables
from hf_toedit.runs.plan import Plan, Shard
from hf_toedit.runs.store import RunFolder
from hf_toedit.tasks.edit import edit_of
from tests.cards.golden import CARDS, GOLDEN
from tests.cli.command import HfToEdit
from tests.snippets import run_snippet
from tests.sources.test_source import same

NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
VARYING = (r"(?m)^<!-- hf-toedit:wrote .*$", r"(?m)^\| (?:versions|hf-toedit) \|.*$")


@pytest.fixture(scope="module", params=GOLDEN)
def made(request: pytest.FixtureRequest, hf_toedit: HfToEdit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Execute the run; with the environment variable set, write its card to `cards/`."""
    name = request.param
    folder = tmp_path_factory.mktemp("golden")
    source = GOLDEN[name].source(folder)
    done = hf_toedit("edit", source, "-o", folder / name, *GOLDEN[name].options, "--quiet")
    assert (done.code, done.stdout, done.stderr) == (0, "", ""), done
    if os.environ.get("HF_TOEDIT_WRITE_CARDS"):
        shutil.rmtree(CARDS / name, ignore_errors=True)
        shutil.copytree(folder / name / "assets", CARDS / name / "assets")
        shutil.copy(folder / name / "README.md", CARDS / name)
    return folder / name


def parts(card: str) -> tuple[dict[str, Any], str]:
    """Split a card into front matter and text."""
    empty, front_matter, body = card.split("---\n", 2)
    assert empty == ""
    return yaml.safe_load(front_matter), body


def fences(card: str, language: str) -> list[str]:
    """Return the code blocks of a card."""
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```$", card)


def _comparable(card: str) -> tuple[list[str], list[float]]:
    """Return words and numbers, without values that depend on the machine.

    The fingerprint of a source that the tests write depends on the library that writes it.
    """
    for pattern in VARYING:
        card = re.sub(pattern, "", card)
    card = re.sub(r"(<code>(?:questions|chats\.parquet)</code>, fingerprint) \S+", r"\1", card)
    return NUMBER.split(card), [float(number.replace(",", "")) for number in NUMBER.findall(card)]


def test_words_and_figures_are_those_in_the_repository(made: Path) -> None:
    words, numbers = _comparable((made / "README.md").read_text())
    golden_words, golden_numbers = _comparable((CARDS / made.name / "README.md").read_text())
    assert words == golden_words, "HF_TOEDIT_WRITE_CARDS=1 pytest tests/cards/test_golden.py"
    assert numbers == pytest.approx(golden_numbers, rel=0.02, abs=0.02)
    body = parts((made / "README.md").read_text())[1]
    assert all(f"\n## {section}" in body for section in GOLDEN[made.name].sections)


def test_nothing_of_this_machine_and_nothing_absent_is_named(made: Path) -> None:
    card = re.sub(r"(?s)<blockquote.*?</blockquote>", "", (CARDS / made.name / "README.md").read_text())
    assert not re.search(r"/tmp|/home|/work|/root|N/A|\bNone\b|\bnan\b", card)
    for word in (r"\beta\b", "paper's figures", "decay"):
        assert bool(re.search(word, card)) == (len(RunFolder(made).plan().data_passes) > 1), word


def test_every_picture_is_there_and_small(made: Path) -> None:
    card = (made / "README.md").read_text()
    named = re.findall(r'<img src="(.*?)" width="800" alt="(.*?)">', card)
    assert {path for path, _ in named} == {f"assets/{file.name}" for file in (made / "assets").iterdir()}
    for path, words in named:
        assert len(words) > 60 and re.search(r"\d", words)
        for folder in (made, CARDS / made.name):
            with Image.open(folder / path) as image:
                assert (image.width, image.format, image.info) == (1600, "PNG", {})
            assert (folder / path).stat().st_size < 60_000


def test_datasets_loads_what_the_card_declares(made: Path, tmp_path: Path) -> None:
    plan = RunFolder(made).plan()
    metadata, _ = parts((made / "README.md").read_text())
    names = [pass_.name for pass_ in plan.data_passes]
    assert [config["config_name"] for config in metadata["configs"]] == names
    infos = metadata["dataset_info"] if len(names) > 1 else [metadata["dataset_info"]]
    last = load_dataset(str(made), cache_dir=str(tmp_path))
    for name, info in zip(names, infos, strict=True):
        declared = load_dataset_builder(str(made), name, cache_dir=str(tmp_path)).info
        assert declared.features == plan.output_features
        loaded = load_dataset(str(made), name, cache_dir=str(tmp_path))
        assert list(loaded) == plan.splits
        for split, rows in loaded.items():
            assert rows.features == plan.output_features
            stream = load_dataset(str(made), name, split=split, streaming=True)
            assert stream.features == plan.output_features
            assert list(stream) == list(rows)  # read completely: threads of a partially read stream may abort at exit
            assert declared.splits[split].num_examples == len(rows)
        assert info["config_name"] == name
        files = list((made / "data" / name).iterdir())
        assert info["download_size"] == sum(file.stat().st_size for file in files)
        assert info["dataset_size"] == sum(split["num_bytes"] for split in info["splits"])
    assert all(same(last[split], loaded[split]) for split in last)


def test_the_snippets_of_the_card_run(made: Path, tmp_path: Path, hf_toedit: HfToEdit) -> None:
    plan = RunFolder(made).plan()
    card = (made / "README.md").read_text()
    python = fences(card, "python")
    assert len(python) == 2
    split = plan.splits[0]
    checks = [
        f"assert list(rows) == list(dataset[{split!r}])",
        f"assert source[{split!r}].features.keys() == {set(plan.reading.features)!r}",
        f"source[{split!r}].to_parquet({str(tmp_path / 'reverted.parquet')!r})",
        "assert 'first' in globals()" if len(plan.data_passes) > 1 else "",
    ]
    environment = {**os.environ, "HF_DATASETS_CACHE": str(tmp_path)}
    run_snippet("\n".join(python), "\n".join(checks), made.parent, environment)
    [reverted] = [line for line in "\n".join(fences(card, "bash")).splitlines() if line.startswith("hf-toedit revert")]
    done = hf_toedit(*shlex.split(reverted)[1:], cwd=made.parent)
    assert done.code == 0, done
    written = load_dataset(str(made.parent / "source"), split=split, cache_dir=str(tmp_path))
    here = load_dataset(
        "parquet", data_files=str(tmp_path / "reverted.parquet"), split="train", cache_dir=str(tmp_path)
    )
    assert here.to_list() == written.to_list()
    shutil.rmtree(made.parent / "source")


def test_the_same_run_gives_the_same_files(made: Path, hf_toedit: HfToEdit) -> None:
    before = {path: path.read_bytes() for path in [made / "README.md", *(made / "assets").iterdir()]}
    times = {path: path.stat().st_mtime_ns for path in before}
    done = hf_toedit("card", made, "--json")
    assert sorted(done.json["files"]) == sorted(map(str, before))
    assert {path: path.stat().st_mtime_ns for path in before} == times
    for path in before:
        path.unlink()
    assert hf_toedit("card", made, "--quiet").stdout == ""
    assert {path: path.read_bytes() for path in before} == before


def test_examples_are_of_the_rows_that_they_name(made: Path, tmp_path: Path) -> None:
    folder = RunFolder(made)
    plan = folder.plan()
    data = EditCardData.from_run(plan, folder)
    loaded = load_dataset(str(made), cache_dir=str(tmp_path))
    texts = [text for shard in plan.shards for text in _tables(plan, folder, shard) if text.text.strip()]
    edited = sum(bool(text.edits) for text in texts)
    expected = [True] * min(edited, 3) + [False] * (edited < len(texts))
    assert [bool(example.table.edits) for example in data.examples] == expected
    for example in data.examples:
        row = loaded[example.split][example.row]
        assert example.table.text in _strings(row)
        if example.path is None:
            assert row["text"] == example.table.text


def test_the_edits_that_open_a_card_are_single_ones_of_the_rows(made: Path) -> None:
    folder = RunFolder(made)
    plan = folder.plan()
    data = EditCardData.from_run(plan, folder)
    assert bool(data.places) == any(stats.num_changed for stats in data.generations)
    for place in data.places:
        [edit] = place.alone.edits
        [kind] = kinds_of_edits(place.alone)
        assert (kind, place.alone.revert()) == (place.kind, place.example.table.revert())
        now = place.alone.text[edit.start : edit.end]
        assert (edit.source, now, edit.generation) in {
            (other.source, place.example.table.text[other.start : other.end], other.generation)
            for other in place.example.table.edits
        }
        if place.is_whole:
            [kind_now] = kinds_of(place.alone.text, np.array([edit.start]), np.array([edit.end]))
            assert {kind, kind_now} <= {"whole_word", "capitalised_word", "punctuation"}


def _tables(plan: Plan, folder: RunFolder, shard: Shard) -> list[PieceTable]:
    rows = pa.concat_tables(folder.tables(plan, plan.data_passes[-1], shard))
    return [table for table in piece_tables(rows, plan.texts, edit_of(plan).run.edit_log_column) if table]


def _strings(value: Any) -> Iterator[str]:
    """Yield all strings in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner)
