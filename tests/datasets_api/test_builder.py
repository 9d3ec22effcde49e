"""`hf_toedit.load_dataset` and `datasets.load_dataset("toedit")`: the rows of a run, cached, parallel and streamed."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import textwrap
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, DatasetDict, IterableDataset, Value
from torch.utils.data import DataLoader

import hf_toedit
from hf_toedit import ToEditor, ToEditProcessor
from hf_toedit.datasets_api.builder import LoadError, ToEdit
from hf_toedit.errors import PriorError, SourceError, ToEditError, UsageError
from tests.cli.command import Finished, python
from tests.cli.fixtures import load, rows, same, stories
from tests.hub_server import HubServer
from tests.shared import shared
from tests.test_hub_server import client

SETTINGS: dict[str, Any] = {"threshold": 0.9, "temperature": 4.0}


@pytest.fixture
def edit(tmp_path: Path) -> Callable[..., Any]:
    """Return `hf_toedit.load_dataset` with eager settings and its own cache."""
    return partial(
        hf_toedit.load_dataset, prior=str(shared("models/stories260K")), cache_dir=str(tmp_path / "cache"), **SETTINGS
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write a dataset of two splits, the first with three files."""
    told = stories(14, 120)
    (tmp_path / "data").mkdir()
    for name, part in {"train-0": told[:5], "train-1": told[5:6], "train-2": told[6:10], "test": told[10:]}.items():
        lines = [json.dumps({"text": text, "title": text[:20]}) + "\n" for text in part]
        (tmp_path / "data" / f"{name}.jsonl").write_text("".join(lines))
    return tmp_path / "data"


def table(dataset: Dataset | IterableDataset) -> pa.Table:
    """Return all rows, without decoding."""
    if isinstance(dataset, Dataset):
        return dataset.with_format("arrow")[:]
    return pa.concat_tables(dataset.with_format("arrow").iter(batch_size=1000))


def written(dataset: Dataset) -> list[tuple[str, int]]:
    """Return the cache files with their modification times."""
    return [(file["filename"], os.stat(file["filename"]).st_mtime_ns) for file in dataset.cache_files]


def test_verified_edits(edit: Callable[..., Any], source: Path) -> None:
    loaded = edit(str(source), split="train", threshold=0.5, accept="likelihood")
    assert loaded.features["toedit"]["num_rejected"] == Value("int32")
    assert sum(log["num_rejected"] for log in loaded["toedit"]) > 5
    stream = edit(str(source), split="train", threshold=0.5, accept="likelihood", streaming=True)
    assert stream.features == loaded.features and table(stream).equals(table(loaded))


@pytest.mark.parametrize("generations", [1, 3])
def test_it_gives_what_the_command_line_gives(
    edit: Callable[..., Any], source: Path, run: Path, generations: int
) -> None:
    expected = load(run, f"gen{generations}")["train"]
    assert sum(len(log["edits"]) for log in expected["toedit"]) > 5
    loaded = edit(str(source), split="train", generations=generations)
    assert same(loaded, expected)
    both = edit(str(source), generations=generations)
    assert list(both) == ["train"]
    assert written(both["train"]) == written(loaded), "the only split, and all of them, are the same"
    streamed = edit(str(source), split="train", generations=generations, streaming=True)
    assert streamed.features == expected.features
    assert table(streamed).equals(table(expected))


def test_processes_share_the_work(edit: Callable[..., Any], source: Path, run: Path, folder: Path) -> None:
    loaded = edit(str(source), split="train", generations=3, num_proc=2)
    assert len(loaded.cache_files) == 2
    assert same(loaded, load(run, "gen3")["train"])
    for limit, counts in ((None, [10, 4]), (7, [7, 4])):
        parts = edit(str(folder), num_proc=2, limit=limit)
        assert [len(part) for part in parts.values()] == counts
        again = edit(str(folder), num_proc=1, limit=limit, cache_dir=str(folder.parent / "other"))
        assert all(same(parts[split], again[split]) for split in again)


def test_both_faces_share_settings_and_cache(edit: Callable[..., Any], folder: Path) -> None:
    mine = edit(folder, text_column=["text", "title"], limit=3, seed=7)
    theirs = datasets.load_dataset("toedit", source=str(folder), text_column=["text", "title"], limit=3, seed=7,
                                   **edit.keywords)  # type: ignore[attr-defined]  # fmt: skip
    assert isinstance(theirs, DatasetDict)
    assert {split: len(part) for split, part in theirs.items()} == {"train": 3, "test": 3}
    assert all(written(mine[split]) == written(theirs[split]) for split in theirs)


def test_splits_are_those_of_datasets(edit: Callable[..., Any], folder: Path) -> None:
    both = edit(str(folder))
    assert isinstance(both, DatasetDict)
    for split in ("train", "train[2:4]", "test[:50%]", "train+test", "all", datasets.Split.TEST):
        plain = datasets.load_dataset(str(folder), split=split, cache_dir=str(folder.parent / "plain"))
        loaded = edit(str(folder), split=split)
        assert loaded["title"] == plain["title"]
    one = edit(str(folder), split="test[:2]", seed=1)
    assert [file["filename"].rpartition("/")[2] for file in one.cache_files] == ["toedit-test.arrow"]
    assert list(one.info.splits) == ["test"], "no other split was edited"
    assert one["text"] == edit(str(folder), seed=1)["test"]["text"][:2]


def test_a_copy_of_the_source_is_answered_from_the_cache(edit: Callable[..., Any], folder: Path) -> None:
    first = edit(str(folder))
    copy = shutil.copytree(folder, folder.parent / "copy")
    for file in copy.iterdir():
        os.utime(file, ns=(5, 5))
    again = edit(str(copy))
    assert {split: rows.cache_files for split, rows in again.items()} == {
        split: rows.cache_files for split, rows in first.items()
    }
    (copy / "test.jsonl").write_text((copy / "test.jsonl").read_text()[:-2] + " }")
    assert edit(str(copy))["test"].cache_files != first["test"].cache_files


def test_streams_can_be_cut_shuffled_and_gone_on_with(edit: Callable[..., Any], folder: Path) -> None:
    expected = edit(str(folder), split="train").to_list()
    stream = edit(str(folder), split="train", streaming=True)
    assert list(stream) == list(stream) == expected
    assert list(stream.skip(4).take(3)) == expected[4:7]
    assert [one for one, _ in zip(stream, stream.take(3), strict=False)] == expected[:3]
    assert stream.num_shards == 3
    assert [row for index in range(3) for row in stream.shard(3, index)] == expected
    shuffled = stream.shuffle(seed=1, buffer_size=20)
    order = [[row["text"] for row in shuffled] for epoch in range(2) if shuffled.set_epoch(epoch) is None]
    assert order[0] != order[1]
    assert sorted(order[0]) == sorted(order[1]) == sorted(row["text"] for row in expected)

    rest = iter(stream)
    assert [next(rest) for _ in range(7)] == expected[:7]
    state = stream.state_dict()
    fresh = edit(str(folder), split="train", streaming=True)
    fresh.load_state_dict(json.loads(json.dumps(state)))
    assert list(fresh) == expected[7:]
    assert list(pickle.loads(pickle.dumps(stream)).take(1)) == expected[:1]


@pytest.mark.parametrize(("limit", "num_shards"), [(None, 4), (6, 3), (5, 3), (2, 1)])
def test_row_groups_become_shards(edit: Callable[..., Any], tmp_path: Path, limit: int | None, num_shards: int) -> None:
    """More workers can share a file, and a resumed stream skips whole groups without editing them."""
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"text": stories(7, 120)}), path, row_group_size=2)
    stream = edit(str(path), split="train", streaming=True, limit=limit)
    finer = stream.reshard()
    assert (stream.num_shards, finer.num_shards) == (1, num_shards)
    assert list(finer) == list(stream)
    assert finer.reshard().num_shards == num_shards


def test_streams_that_threads_read_are_whole(edit: Callable[..., Any], folder: Path) -> None:
    """`shuffle` and `interleave_datasets` read several files and streams concurrently."""
    streams = [edit(str(folder), split="train", streaming=True, seed=seed) for seed in range(2)]
    expected = sorted(row["text"] for stream in streams for row in stream)
    fresh = [edit(str(folder), split="train", streaming=True, seed=seed).shuffle(seed=seed) for seed in range(2)]
    mixed = datasets.interleave_datasets(fresh, stopping_strategy="all_exhausted_without_replacement")
    assert sorted(row["text"] for row in mixed) == expected


def test_workers_of_a_data_loader_read_a_file_each(edit: Callable[..., Any], folder: Path) -> None:
    stream = edit(str(folder), split="train", streaming=True, edit_log_column=None)
    expected = [row["text"] for row in stream]
    for read in (stream, stream.shuffle(seed=1)):
        loader = DataLoader(read, num_workers=2, batch_size=None)
        assert sorted(row["text"] for row in loader) == sorted(expected)


def test_conversations_and_contexts(edit: Callable[..., Any], tmp_path: Path) -> None:
    told = stories(4)
    chats = [
        {"chat": [{"role": "user", "content": text[:60]}, {"role": "assistant", "content": text}]} for text in told
    ]
    Dataset.from_list(chats).to_parquet(tmp_path / "chats.parquet")
    chat = edit(str(tmp_path / "chats.parquet"), split="train", messages_column="chat", roles=["assistant"])
    assert [row["chat"][0] for row in chat] == [row["chat"][0] for row in chats]
    assert {edit["path"] for log in chat["toedit"] for edit in log["edits"]} == {"chat[1].content"}
    Dataset.from_list([{"q": text[:60], "text": text} for text in told]).to_parquet(tmp_path / "rows.parquet")
    alone, led = (edit(str(tmp_path / "rows.parquet"), split="train", context_columns=names) for names in ([], "q"))
    assert alone["q"] == led["q"]
    assert alone["toedit"] != led["toedit"]


def test_the_cache_is_keyed_by_all_that_decides_the_rows(edit: Callable[..., Any], tmp_path: Path) -> None:
    path, prior = tmp_path / "rows.parquet", tmp_path / "prior"
    rows(stories(2, 80)).to_parquet(path)
    shutil.copytree(shared("models/stories260K"), prior)
    again = partial(edit, str(path), prior=str(prior), split="train")
    first = written(again())
    for same_rows in (
        {"threshold": 0.9},
        {"num_proc": 2},
        {"device": "cpu"},
        {"token_budget": 64},
        {"dtype": "float32"},
    ):
        assert written(again(**same_rows)) == first
    others = [
        {"threshold": 0.95}, {"seed": 1}, {"limit": 1}, {"generations": 2}, {"edit_log_column": "log"},
        {"edit_log_column": None}, {"text_column": "body"}, {"context_columns": "body"}, {"preset": "up_revise"},
        {"dtype": "bfloat16"}, {"protect": "numbers"},
    ]  # fmt: skip
    found = {written(again(**settings))[0][0] for settings in others}
    (prior / "generation_config.json").unlink()
    found.add(written(again())[0][0])
    rows(stories(3, 80)).to_parquet(path)
    changed = again()
    assert len(changed) == 3
    assert len({*found, first[0][0], written(changed)[0][0]}) == len(others) + 3


def test_branches_are_resolved_before_the_cache_is_looked_up(hub_server: HubServer, tmp_path: Path) -> None:
    old, new = tmp_path / "old.parquet", tmp_path / "new.parquet"
    rows(stories(2, 80)).to_parquet(old)
    rows(stories(3, 80)).to_parquet(new)
    first = hub_server.create_repo("dataset", "org/rows", {"train.parquet": old.read_bytes()})
    prior = hub_server.create_repo("model", "org/tiny", shared("models/stories260K"))
    code = """
        import hf_toedit
        from datasets import load_dataset, disable_progress_bars

        disable_progress_bars()
        source, prior = json.loads(sys.argv[1])
        settings = {"prior": "org/tiny", "split": "train", "threshold": 0.9}
        for name, dataset in {
            "branch": hf_toedit.load_dataset("org/rows", **settings),
            "theirs": load_dataset("toedit", source="org/rows", **settings),
            "source": load_dataset("toedit", source="org/rows", revision=source, **settings),
            "both": hf_toedit.load_dataset("org/rows", revision=source, prior_revision=prior, **settings),
        }.items():
            out[name] = [dataset._fingerprint, dataset.num_rows, len(dataset.cache_files)]
    """
    ask = partial(client, hub_server, code, json.dumps([first, prior]), PYTHONPATH=os.getcwd())
    before = ask()
    assert before["branch"][1] == 2
    assert ask(HF_HUB_OFFLINE="1") == before, "what was loaded before comes from the cache"
    assert len({json.dumps(answer) for answer in before.values()}) == 1
    hub_server.commit("dataset", "org/rows", {"train.parquet": new.read_bytes()})
    hub_server.commit("model", "org/tiny", {"README.md": b"Another commit."})
    after = ask()
    assert after["both"] == before["both"]
    assert after["branch"] == after["theirs"]
    assert [after[name][1] for name in ("branch", "source")] == [3, 2]
    assert len({answer[0] for answer in after.values()}) == 3


def test_without_a_hub_the_same_call_gives_what_it_gave(hub_server: HubServer, tmp_path: Path) -> None:
    sink = io.BytesIO()
    Dataset.from_dict({"text": stories(2, 80)}).to_parquet(sink)
    hub_server.create_repo("dataset", "org/rows", {"train.parquet": sink.getvalue()})
    code = """
        import hf_toedit

        for name, settings in json.loads(sys.argv[1]).items():
            try:
                out[name] = list(hf_toedit.load_dataset("org/rows", **{"split": "train", **settings})["text"])
            except hf_toedit.ToEditError as error:
                out[name] = str(error)
    """
    ask = partial(client, hub_server, code, PYTHONPATH=os.getcwd())
    calls = {"same": {}, "sliced": {"split": "train[:1]"}}
    others = {"other": {"seed": 1}, "elsewhere": {"cache_dir": str(tmp_path)}, "streamed": {"streaming": True}}
    loaded = ask(json.dumps(calls))
    found = ask(json.dumps(calls | others), HF_HUB_OFFLINE="1")
    assert {name: found.pop(name) for name in calls} == loaded
    assert all(said.startswith("cannot reach the Hub for dataset 'org/rows'") for said in found.values())
    assert all("(HF_HUB_OFFLINE is set)" in said for said in found.values())


def test_files_that_a_list_names_may_change_though_the_list_does_not(hub_server: HubServer, tmp_path: Path) -> None:
    def file(count: int) -> dict[str, bytes]:
        return {"rows.jsonl": "".join(json.dumps({"text": text}) + "\n" for text in stories(count, 80)).encode()}

    hub_server.create_repo("dataset", "org/rows", file(2))
    url = f"{hub_server.endpoint}/datasets/org/rows/resolve/main/rows.jsonl"
    hub_server.create_repo("dataset", "org/list", {"urls.txt": url.encode()})
    code = """
        import hf_toedit

        out["rows"] = len(hf_toedit.load_dataset("urls:hf://datasets/org/list/urls.txt", split="train"))
    """
    ask = partial(client, hub_server, code, PYTHONPATH=os.getcwd())
    assert ask() == {"rows": 2}
    hub_server.commit("dataset", "org/rows", file(3))
    assert ask() == {"rows": 3}


def run_code(code: str, cwd: Path, *args: str, **env: str) -> Finished:
    """Run a program in a separate process, in another folder."""
    done = python(textwrap.dedent(code), *args, env={**os.environ, "PYTHONPATH": os.getcwd(), **env}, cwd=cwd)
    assert done.code == 0, done.stderr
    return done


@pytest.mark.parametrize(
    "imports", ["import hf_toedit, datasets", "from datasets import load_dataset; import hf_toedit"]
)
def test_either_import_may_come_first(edit: Callable[..., Any], folder: Path, tmp_path: Path, imports: str) -> None:
    """Files in the working folder do not matter either, not even a folder named `toedit`."""
    decoys = tmp_path / "decoys"
    (decoys / "toedit").mkdir(parents=True)
    for name in ("train.jsonl", "toedit/train.jsonl", "toedit.py"):
        (decoys / name).write_text('{"text": "a decoy"}\n')
    source = str(folder / "train-*.jsonl")
    cached = edit(source)["train"]
    code = f"""
        import importlib, json, sys
        {imports}
        import datasets
        settings = json.loads(sys.argv[1])
        again = datasets.load_dataset("toedit", split="train", **settings)
        assert not [name for name in sys.modules if name.startswith("transformers.models.llama")], "the prior is loaded"
        once = datasets.load_dataset("toedit", split="train", seed=1, num_proc=2, **settings)
        streamed = datasets.load_dataset("toedit", split="train", seed=1, streaming=True, **settings)
        assert list(streamed) == once.to_list()
        importlib.reload(datasets.load)
        assert datasets.load.load_dataset("toedit", split="train", **settings)._fingerprint == again._fingerprint
        assert datasets.load_dataset("./toedit", split="train", cache_dir="cache")["text"] == ["a decoy"]
        print(json.dumps([again._fingerprint, once["title"][:], len(once.cache_files)]))
    """
    settings = {**edit.keywords, "source": source}  # type: ignore[attr-defined]
    done = run_code(code, decoys, json.dumps(settings))
    assert json.loads(done.stdout.splitlines()[-1]) == [cached._fingerprint, cached["title"][:], 2]


def test_a_datasets_that_cannot_be_told_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "__init__.py").write_text("from .load import load_dataset\n")
    (tmp_path / "datasets" / "load.py").write_text("def load_dataset(path): return path\n")
    told = "hf_toedit.load_dataset(…) does the same and works."
    for imports in ("import hf_toedit, datasets", "import datasets, hf_toedit"):
        code = (
            f"{imports}; print(datasets.load_dataset('toedit'), datasets.load.__loader__.get_source('datasets.load'))"
        )
        done = run_code(code, tmp_path, PYTHONPATH=f"{tmp_path}{os.pathsep}{os.getcwd()}", PYTHONIOENCODING="utf-8")
        assert done.stdout.startswith("toedit def load_dataset")
        assert done.stderr.count(told) == 1, done.stderr


def test_what_cannot_be_meant_is_refused_before_anything_is_loaded(edit: Callable[..., Any], folder: Path) -> None:
    where = str(folder)
    for settings, kind, message in [
        ({"treshold": 0.5}, UsageError, "unknown setting 'treshold'. Did you mean 'threshold'"),
        ({"generation": 2}, UsageError, "Did you mean 'generations'"),
        ({"threshold": 2}, UsageError, "threshold 2 is out of range"),
        ({"threshold": "0.9"}, UsageError, "^threshold must be a number, not '0.9'.$"),
        ({"top_k": [8, 16]}, UsageError, r"^top_k must be a whole number, not \[8, 16\].$"),
        ({"limit": "3"}, UsageError, "^limit must be a whole number, not '3'.$"),
        ({"memory_fraction": "all"}, UsageError, "^memory_fraction must be a number, not 'all'.$"),
        ({"config_name": 5}, UsageError, "^config_name must be a string, not 5.$"),
        ({"prior": 7}, UsageError, "^prior must be a string, not 7.$"),
        ({"text_column": {"text"}}, UsageError, "^text_columns must be a string or a list of strings, not {'text'}.$"),
        ({"generations": 0}, UsageError, "generations 0 is out of range"),
        ({"streaming": True, "num_proc": 2}, UsageError, "num_proc is for loading"),
        ({"split": "tran"}, SourceError, "has no split 'tran'. Did you mean 'train'"),
        ({"text_column": "txt"}, SourceError, "no column 'txt'. Did you mean 'text'"),
        ({"edit_log_column": "title"}, SourceError, "already has a column 'title'"),
        ({"config_name": "nope"}, SourceError, "nope"),
        ({"revision": "main"}, UsageError, "is local and has no revisions"),
        ({"prior": "missing/prior"}, PriorError, "cannot reach the Hub for prior 'missing/prior'"),
        ({"data_files": "a.parquet"}, UsageError, "data_files cannot be set"),
        ({"token": "hf_secret"}, UsageError, "Log in with"),
    ]:  # fmt: skip
        with pytest.raises(kind, match=message):
            edit(where, **settings)
    with pytest.raises(SourceError, match="no file or folder 'nowhere'"):
        edit("nowhere")
    with pytest.raises(UsageError, match="one name or path, not a list. A glob names many files."):
        edit([where])
    with pytest.raises(UsageError, match=r"^top_k must be a whole number, not \[8, 16\].$"):
        datasets.load_dataset("toedit", source=where, top_k=[8, 16])
    with pytest.raises(UsageError, match="source='org/name'"):
        datasets.load_dataset("toedit", split="train")
    with pytest.raises(UsageError, match="revision|revisions"):
        datasets.load_dataset("toedit", source=where, revision="v1")


@pytest.mark.parametrize("how", [{}, {"num_proc": 2}, {"streaming": True}], ids=str)
def test_what_fails_on_the_way_is_one_error(edit: Callable[..., Any], tmp_path: Path, how: dict[str, Any]) -> None:
    path = tmp_path / "rows.parquet"
    Dataset.from_list([{"text": text} for text in stories(4)]).to_parquet(path)
    content = bytearray(path.read_bytes())
    content[4:600] = bytes(596)
    path.write_bytes(content)
    with pytest.raises(LoadError, match="cannot read .*rows.parquet") as failed:
        list(edit(str(path), split="train", **how))
    assert isinstance(failed.value, ToEditError)
    assert isinstance(failed.value, datasets.exceptions.DatasetGenerationError)


def test_a_builder_travels_without_its_model(folder: Path, tmp_path: Path) -> None:
    prior = str(shared("models/stories260K"))
    builder = ToEdit(source=str(folder), prior=prior, cache_dir=str(tmp_path / "cache"), **SETTINGS)
    stream = builder.as_streaming_dataset("test")
    expected = list(stream)
    assert len(pickle.dumps(builder)) < 20_000
    assert list(pickle.loads(pickle.dumps(builder)).as_streaming_dataset("test")) == expected


def test_importing_leaves_datasets_alone_where_that_is_asked_for(folder: Path, tmp_path: Path) -> None:
    code = """
        import json, sys
        import datasets
        state = lambda: (datasets.load.dataset_module_factory,
                         [finder for finder in sys.meta_path if "hf_toedit" in type(finder).__module__])
        before = state()
        import hf_toedit
        one = hf_toedit.load_dataset(**json.loads(sys.argv[1]))
        assert state() == before == (before[0], [])
        hf_toedit.register()
        told = state()
        assert told[0] is not before[0] and len(told[1]) == 1
        hf_toedit.register()
        assert state() == told
        again = datasets.load_dataset("toedit", **json.loads(sys.argv[1]))
        assert again.to_list() == one.to_list()
    """
    settings = {"source": str(folder), "split": "train", "limit": 2, "cache_dir": str(tmp_path)}
    run_code(code, tmp_path, json.dumps(settings), HF_TOEDIT_NO_REGISTER="1")


@pytest.mark.parametrize("value", ["", "0"])
def test_importing_registers_where_that_is_not_refused(tmp_path: Path, value: str) -> None:
    code = """
        import datasets
        before = datasets.load.dataset_module_factory
        import hf_toedit
        assert datasets.load.dataset_module_factory is not before
    """
    run_code(code, tmp_path, HF_TOEDIT_NO_REGISTER=value)


def test_what_a_prior_may_use_and_which_columns_are_kept(
    edit: Callable[..., Any], folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Pruning and a token budget are available in all interfaces, and do not change the edits."""
    plain = edit(str(folder), split="train", limit=4)
    settings = {"prune": True, "token_budget": 64, "memory_fraction": 0.5}
    pruned = edit(str(folder), split="train", limit=4, columns="text", **settings)
    assert pruned.column_names == ["text", "toedit"]
    assert pruned["text"] == plain["text"]
    assert [log["edits"] for log in pruned["toedit"]] == [log["edits"] for log in plain["toedit"]]
    assert "nothing is pruned" in caplog.text, "the prior was asked to prune, and says that it would gain nothing"
    assert pruned.cache_files != plain.cache_files
    for make in (ToEditor.from_pretrained, ToEditProcessor, partial(edit, str(folder))):
        with pytest.raises(UsageError, match="unknown setting 'token_budgt'. Did you mean 'token_budget'"):
            make(token_budgt=64)
        with pytest.raises(UsageError, match="--prune drops tokens that are too unlikely"):
            make(prune=True, select="below")
        with pytest.raises(UsageError, match="memory_fraction 2 is out of range"):
            make(memory_fraction=2)
