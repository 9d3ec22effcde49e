"""`ToEditProcessor` in `Dataset.map` and `IterableDataset.map`: the rows of `ToEditor.edit`, cached, in any process."""

from __future__ import annotations

import datetime as dt
import json
import multiprocessing
import os
import pickle
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import multiprocess
import pytest
import torch
from datasets import Dataset, Value, load_dataset
from datasets.fingerprint import Hasher

from hf_toedit import EditConfig, PieceTable, ToEditor, ToEditProcessor, revert
from hf_toedit.errors import PriorError, SourceError, UsageError
from hf_toedit.rows.rows import reverted_table
from tests.cli.command import python
from tests.cli.fixtures import ODD, load, rows, same, stories
from tests.shared import shared

AT = dt.datetime(2024, 3, 31, 1, 30)
SETTINGS: dict[str, Any] = {"threshold": 0.9, "temperature": 4.0}


def processor(**settings: Any) -> ToEditProcessor:
    return ToEditProcessor(shared("models/stories260K"), **{**SETTINGS, **settings})


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "rows.parquet"
    told = stories(6)
    rows([*ODD, *told]).to_parquet(path)
    return path


@pytest.fixture
def dataset(path: Path, tmp_path: Path) -> Dataset:
    return load_dataset("parquet", data_files=str(path), cache_dir=str(tmp_path / "cache"))["train"]


@pytest.fixture(scope="module")
def expected(path: Path, stories_prior: Any) -> list[tuple[str | None, dict[str, Any]]]:
    """Return texts and logs from `ToEditor`."""
    documents = [*ODD, *stories(6)]
    result = ToEditor(stories_prior, EditConfig(**SETTINGS)).edit(documents)
    assert sum(len(edits) for edits in result.edits) > 5
    return [(document.text, document.to_log()) for document in result.documents]


def _assert_edited(edited: Iterable[dict], expected: list[tuple[str | None, dict[str, Any]]]) -> None:
    got = list(edited)
    assert [row["text"] for row in got] == [text for text, _ in expected]
    for row, (_, log) in zip(got, expected, strict=True):
        assert row["toedit"] == {**log, "nll": log["nll"] and pytest.approx(log["nll"], rel=1e-6)}


@pytest.mark.parametrize("num_proc", [None, 2])
@pytest.mark.parametrize("batch_size", [1, 1000])
def test_map_gives_the_rows_of_the_editor(
    num_proc: int | None, batch_size: int, dataset: Dataset, expected: list
) -> None:
    """This includes a first batch without edits, without text, or with nulls only."""
    mapped = dataset.map(
        processor(), batched=True, batch_size=batch_size, with_rank=num_proc is not None, num_proc=num_proc
    )
    _assert_edited(mapped.select_columns(["text", "toedit"]), expected)
    assert same(mapped.remove_columns(["text", "toedit"]), dataset.remove_columns("text"))
    assert mapped.features == processor().features(dataset.features)
    assert mapped.features["text"] == Value("string")


@pytest.mark.parametrize("column", ["text", "events[].name"])
def test_verified_edits(column: str, dataset: Dataset) -> None:
    """Two generations: columns as lists, as tables and during loading, and rows with several texts."""
    eager = {"threshold": 0.5, "temperature": 9.0, "text_column": column, "accept": "likelihood"}
    edited = dataset = dataset.remove_columns("picture")  # rows are decoded, and this is not a picture
    for generation in (1, 2):
        before, edit = edited, processor(**eager, generation=generation)
        edited = before.map(edit, batched=True)
        assert edited.features == edit.features(dataset.features)
        assert edited["toedit"] == edit(before[:])["toedit"]
    assert edited.features["toedit"]["num_rejected"] == Value("int32")
    if column == "text":
        assert sum(log["num_rejected"] for log in edited["toedit"]) > 3
    assert same(revert(edited, text_column=column), dataset)
    stream = (
        dataset.to_iterable_dataset()
        .with_format("arrow")
        .map(edit, batched=True, features=edit.features(dataset.features))
    )
    assert stream.features == edited.features


@pytest.mark.parametrize("arrow", [False, True])
def test_iterable_datasets_are_edited_alike(arrow: bool, dataset: Dataset, expected: list) -> None:
    dataset = dataset.remove_columns("picture")  # rows are decoded, and this is not a picture
    stream = dataset.to_iterable_dataset()
    stream = stream.with_format("arrow") if arrow else stream
    features = processor().features(stream.features)
    mapped = stream.map(processor(), batched=True, batch_size=4, features=features)
    assert mapped.features == features
    kept = [name for name in dataset.column_names if name != "text"]
    got = list(mapped.with_format(None))
    _assert_edited(got, expected)
    assert [{name: row[name] for name in kept} for row in got] == dataset.select_columns(kept).to_list()


def test_a_stream_that_threads_read_is_edited_alike(dataset: Dataset, expected: list) -> None:
    dataset = dataset.select_columns(["text"])
    stream = dataset.to_iterable_dataset(num_shards=4).map(processor(), batched=True).shuffle(seed=1)
    assert sorted(row["text"] or "" for row in stream) == sorted(text or "" for text, _ in expected)


def test_a_formatted_dataset_and_arrow_tables_are_edited_alike(dataset: Dataset, expected: list) -> None:
    mapped = dataset.with_format("arrow").map(processor(), batched=True).with_format(None)
    _assert_edited(mapped.select_columns(["text", "toedit"]), expected)
    assert mapped.features == processor().features(dataset.features)
    table = processor()(dataset.with_format("arrow")[:])
    _assert_edited(table.select(["text", "toedit"]).to_pylist(), expected)


def test_a_second_map_is_a_cache_hit_in_any_process(path: Path, dataset: Dataset, tmp_path: Path) -> None:
    used = processor()
    first = dataset.map(used, batched=True)
    files = sorted(tmp_path.rglob("*.arrow"))
    assert dataset.map(used, batched=True)._fingerprint == first._fingerprint, "using it changed its fingerprint"
    assert dataset.map(processor(), batched=True)._fingerprint == first._fingerprint
    assert dataset.map(processor(seed=1), batched=True)._fingerprint != first._fingerprint
    code = f"""if True:
        from datasets import load_dataset
        from hf_toedit import ToEditProcessor
        dataset = load_dataset("parquet", data_files={str(path)!r}, cache_dir={str(tmp_path / "cache")!r})["train"]
        processor = ToEditProcessor({used.prior_config.prior!r}, **{SETTINGS!r})
        print(dataset.map(processor, batched=True)._fingerprint)
    """
    others = set(tmp_path.rglob("*.arrow"))
    done = python(code, env=os.environ)
    assert done.code == 0, done.stderr
    assert done.stdout.strip() == first._fingerprint
    assert set(tmp_path.rglob("*.arrow")) == others > set(files)


@pytest.mark.parametrize("library", [multiprocessing, multiprocess])
def test_it_travels_to_spawned_processes_without_its_model(library: Any, expected: list) -> None:
    used = processor()
    batch = {"text": [*ODD, *stories(6)]}
    here = used(batch)
    assert len(pickle.dumps(used)) < 2000
    with library.get_context("spawn").Pool(1) as pool:
        there = pool.apply(used, (batch, 0))
    assert there == here
    assert there["text"] == [text for text, _ in expected]


def test_generations_compose_and_revert_to_the_source(dataset: Dataset) -> None:
    first = dataset.map(processor(), batched=True)
    second = first.map(processor(generation=2), batched=True)
    assert second.features == first.features
    assert second["text"] != first["text"]
    assert {edit["generation"] for log in second["toedit"] for edit in log["edits"]} == {1, 2}
    for text, log, source in zip(second["text"], second["toedit"], dataset["text"], strict=True):
        assert source is text or PieceTable.from_log(text, log["edits"]).revert() == source


def test_it_gives_what_the_command_line_gives(source: Path, run: Path, tmp_path: Path) -> None:
    dataset = load_dataset("parquet", data_files=str(source), cache_dir=str(tmp_path))["train"]
    for generation in (1, 2):
        dataset = dataset.map(processor(generation=generation), batched=True, batch_size=5)
        assert same(dataset, load(run, f"gen{generation}")["train"])


def test_other_columns_and_no_log(dataset: Dataset) -> None:
    named = processor(text_column="body", edit_log_column=None, threshold=0.5)
    mapped = dataset.map(named, batched=True)
    assert mapped.features == dataset.features == named.features(dataset.features)
    assert mapped["body"] != dataset["body"]
    assert same(mapped.remove_columns("body"), dataset.remove_columns("body"))


def chats() -> list[dict[str, Any]]:
    return [
        {
            "id": n,
            "chat": {"turns": [{"role": "user", "content": prompt}, {"role": "assistant", "content": text, "at": AT}]},
            "notes": [text[:80], None],
            "prompt": prompt,
        }
        for n, (prompt, text) in enumerate(zip(stories(5, 60), stories(5), strict=True))
    ]


NESTED: list[dict[str, Any]] = [
    {"messages_column": "chat.turns"},
    {"messages_column": "chat.turns", "roles": ["user", "gpt"]},
    {"text_column": ["notes[]", "prompt"]},
    {"text_column": "notes[]", "context_columns": "prompt"},
]


@pytest.mark.parametrize("texts", NESTED, ids=str)
def test_structured_texts_are_edited_alike_in_every_format(texts: dict[str, Any]) -> None:
    """This includes rows of Python values without Features; unedited values are kept as they are."""
    odd = [
        {"id": 5, "chat": {"turns": []}, "notes": [], "prompt": ""},
        {"id": 6, "chat": {"turns": None}, "notes": None, "prompt": None},
        {"id": 7, "chat": None, "notes": None, "prompt": None},
    ]
    dataset = Dataset.from_list([*odd[1:], *chats(), *odd])
    expected = dataset
    for generation in (1, 2):
        editing = processor(generation=generation, **texts)
        stream = expected.to_iterable_dataset()
        expected = expected.map(editing, batched=True, batch_size=2)
        assert expected.features == editing.features(dataset.features)
        streamed = stream.map(editing, batched=True, batch_size=2, features=expected.features)
        assert list(streamed) == expected.to_list()
        assert editing({name: [None, None] for name in dataset.column_names})["toedit"][0]["num_tokens"] == 0
        assert all(log["edits"] for log in expected["toedit"][2:7])
        assert not any(log["edits"] for log in [*expected["toedit"][:2], *expected["toedit"][7:]])
    source = reverted_table(expected.with_format("arrow")[:], editing.texts, "toedit")
    assert source.equals(dataset.with_format("arrow")[:])


def test_python_rows_without_an_edit_are_the_objects_they_were() -> None:
    """This holds even if other rows have additional fields."""
    short = [{"role": "user", "content": "Hi."}]
    given = {"chat": [short, chats()[0]["chat"]["turns"]]}
    edited = processor(messages_column="chat")(given)
    assert edited["chat"][0] is short
    assert edited["chat"][1] != given["chat"][1]
    assert [len(log["edits"]) > 0 for log in edited["toedit"]] == [False, True]


def test_what_cannot_be_meant_is_refused_before_anything_is_loaded(dataset: Dataset) -> None:
    with pytest.raises(UsageError, match="Did you mean 'threshold'"):
        ToEditProcessor(treshold=0.5)
    with pytest.raises(UsageError, match="threshold 2 is out of range"):
        ToEditProcessor(threshold=2)
    for settings, said in [
        ({"top_k": "8"}, "top_k must be a whole number, not '8'."),
        ({"seed": True}, "seed must be a whole number, not True."),
        ({"generation": "2"}, "generation must be a whole number, not '2'."),
        ({"prior": 7}, "prior must be a string, not 7."),
        ({"roles": [1], "messages_column": "turns"}, "roles\\[0\\] must be a string, not 1."),
        ({"preset": None}, "preset must be one of toedit, "),
    ]:
        with pytest.raises(UsageError, match=f"^{said}"):
            ToEditProcessor(**settings)
    with pytest.raises(SourceError, match="no column 'txt'. Did you mean 'text'"):
        dataset.map(ToEditProcessor("embedded", text_column="txt"), batched=True)
    with pytest.raises(UsageError, match="'text' is both edited and context"):
        ToEditProcessor(context_columns="text", text_column="text")
    with pytest.raises(SourceError, match="with_format\\('arrow'\\)"):
        processor(text_column="notes[]")({"notes": [[object()]]})
    with pytest.raises(PriorError, match="cannot reach the Hub for prior 'missing/prior'"):
        ToEditProcessor("missing/prior")


def test_settings_are_all_that_is_pickled() -> None:
    kept = pickle.loads(pickle.dumps(processor(seed=3)))
    assert kept.edit_config == EditConfig(seed=3, **SETTINGS)
    assert json.dumps(kept.prior_config.to_json())


def test_formats_and_columns_that_cannot_be_edited_are_refused(dataset: Dataset) -> None:
    with pytest.raises(UsageError, match="DataFrame"):
        dataset.with_format("pandas").map(processor(), batched=True)
    stream = dataset.select_columns(["id", "text"]).to_iterable_dataset()
    for row in (stream, stream.with_format("numpy")):
        with pytest.raises(UsageError, match=r"^column 'id' is of type int(64)?, not a list. Use map\(processor, batc"):
            list(row.map(processor()))
    with pytest.raises(UsageError, match="column 'text' is of type str, not a list"):
        processor()({"text": "Once upon a time."})
    with pytest.raises(UsageError, match="rank must be a whole number, not of type list. Use map without indices."):
        dataset.map(processor(), batched=True, with_indices=True)
    with pytest.raises(SourceError, match="not an edit log"):
        dataset.add_column("toedit", ["mine"] * len(dataset)).map(processor(), batched=True)


def test_a_prior_that_changed_is_no_cache_hit(tmp_path: Path) -> None:
    folder = tmp_path / "prior"
    shutil.copytree(shared("models/stories260K"), folder)
    before = Hasher.hash(ToEditProcessor(str(folder)))
    assert Hasher.hash(ToEditProcessor(str(folder))) == before
    (folder / "generation_config.json").unlink()
    assert Hasher.hash(ToEditProcessor(str(folder))) != before


def test_a_loaded_editor_is_refused_in_other_processes() -> None:
    editor = ToEditor.from_pretrained("embedded")
    with pytest.raises(UsageError, match="a loaded prior cannot be pickled. Use ToEditProcessor"):
        pickle.dumps(editor)
    # The arguments of a fork are inherited, not pickled.
    with multiprocessing.get_context("fork").Pool(1, _take, [editor]) as pool:
        assert pool.apply(_error_of_taken).startswith("a prior cannot be used in a fork of the process that loaded it.")
        # As in the workers of torch's DataLoader.
        assert pool.apply(_edited_on_one_thread) == editor.edit(["Once upon a time."]).texts


_taken: list[ToEditor] = []


def _take(editor: ToEditor) -> None:
    _taken.append(editor)


def _edited_on_one_thread() -> list[str | None]:
    torch.set_num_threads(1)
    return _taken[0].edit(["Once upon a time."]).texts


def _error_of_taken() -> str:
    torch.set_num_threads(2)
    with pytest.raises(UsageError) as raised:
        _taken[0].edit(["Once upon a time."])
    return str(raised.value)
