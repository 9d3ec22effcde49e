"""Bad input leads to one clear line with the right exit code, and nothing is lost or overwritten."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, DatasetDict, Features, Value

from hf_toedit import ToEditor
from hf_toedit.errors import PriorError
from tests.cli.command import HfToEdit, eager, prior
from tests.cli.fixtures import load, parquet, rows, stories
from tests.shared import lacking, shared

Make = Callable[[Path], object]


def _written(name: str, content: bytes) -> Make:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return make


def _rows_of(**columns: list) -> Make:
    def make(folder: Path) -> Path:
        Dataset.from_dict(columns).to_parquet(folder / "a.parquet")
        return folder / "a.parquet"

    return make


def _arrow_of(kind: pa.DataType, value: object) -> Make:
    def make(folder: Path) -> Path:
        pq.write_table(pa.table({"text": pa.array([value], kind)}), folder / "a.parquet")
        return folder / "a.parquet"

    return make


_CHAT = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Once upon a time."}]
_SHAREGPT = [{"from": "human", "value": "Hi."}, {"from": "gpt", "value": "Once upon a time."}]


def _no_rows(folder: Path) -> Path:
    Dataset.from_dict({"text": []}, features=Features({"text": Value("string")})).to_parquet(folder / "a.parquet")
    return folder / "a.parquet"


def _truncated(folder: Path) -> Path:
    path = Path(str(_rows_of(text=stories(3))(folder)))
    path.write_bytes(path.read_bytes()[:-200])
    return path


def _broken_link(folder: Path) -> Path:
    (folder / "a.jsonl").symlink_to("b.jsonl")
    return folder / "a.jsonl"


def _two_formats(folder: Path) -> Path:
    for name in ("a.csv", "a.txt"):
        (folder / name).write_text("text\nx\n")
    return folder / "a.*"


_LINE = json.dumps({"text": "Once upon a time."}).encode() + b"\n"
_CORRUPT_GZ = gzip.compress(_LINE * 200)[:60]

SOURCES: dict[str, tuple[Make, list[str]]] = {
    "missing file": (lambda folder: folder / "a.parquet", ["no file or folder", "a.parquet"]),
    "unknown extension": (_written("a.docx", b"x"), ["cannot tell the format", "a.docx", ".jsonl"]),
    "upper case": (_written("a.JSONL", _LINE), ["cannot tell the format", "lower case only. Rename it."]),
    "broken link": (_broken_link, ["no file or folder", "It is a link to 'b.jsonl', which does not exist."]),
    "glob without match": (lambda folder: folder / "*.csv", ["no file matches", "*.csv"]),
    "two formats": (_two_formats, ["several formats (csv, text)"]),
    "no data in the folder": (lambda folder: folder, ["holds no dataset"]),
    "no such column": (_rows_of(texts=["a"], n=[1]), ["no column 'text'. Did you mean 'texts'?", "--text-column"]),
    "escapes in names": (_rows_of(**{"\x1b[2J": ["a"], "b\nc": ["d"]}), [r"Known: \x1b[2J, b⏎c."]),
    "integers": (_rows_of(text=[1], body=["a"]), ["column 'text' holds int64, not text", "Text columns: body."]),
    "lists": (_rows_of(text=[["a"]]), ["column 'text' holds a list, not text", "Text columns: text[]."]),
    "structs": (_rows_of(text=[{"a": 1}]), ["column 'text' holds a struct, not text", "has no text column"]),
    "bytes": (_arrow_of(pa.binary(), b"a"), ["column 'text' holds binary", "Save it as string first"]),
    "chats": (_rows_of(c=[_CHAT], n=["a"]), ["no column 'text'", "c[].content, n.", "Use --messages-column c."]),
    "nested chats": (_rows_of(data=[{"turns": _SHAREGPT}]), ["Use --messages-column data.turns."]),
    "preferences": (_rows_of(rejected=[_CHAT], chosen=[_CHAT]), ["Use --messages-column chosen."]),
    "instructions": (
        _rows_of(instruction=["a"], context=["b"], response=["c"]),
        ["no column 'text'", "Use --text-column response --context-columns instruction,context."],
    ),
    "questions": (_rows_of(question=["a"], answer=["b"]), ["Use --text-column answer --context-columns question."]),
    "many columns": (_rows_of(**{f"c{number}": ["a"] for number in range(60)}), ["c19 and 40 more. Name it with"]),
    "no rows": (_no_rows, ["has no rows"]),
    "empty jsonl": (_written("a.jsonl", b""), ["has no rows"]),
    "malformed jsonl": (_written("a.jsonl", _LINE * 2 + b'{"text": \n'), ["cannot read", "a.jsonl"]),
    "truncated parquet": (_truncated, ["cannot read", "a.parquet"]),
    "no parquet at all": (_written("a.parquet", b"PAR1"), ["cannot read", "a.parquet"]),
    "corrupt gzip": (_written("a.jsonl.gz", _CORRUPT_GZ), ["cannot read", "a.jsonl.gz"]),
    "not gzip": (_written("a.jsonl.gz", _LINE), ["cannot read", "a.jsonl.gz"]),
    "log column in use": (_rows_of(text=["a"], toedit=["b"]), ["already has a column 'toedit'", "--edit-log-column"]),
    "several types": (
        _written("a.jsonl", _LINE + b'{"text": 5}\n'),
        ["holds values of several types, not text. Use --columns text:string, with all other columns to keep."],
    ),
    "half a character": (
        _written("a.jsonl", _LINE + b'{"text": "a \\ud800 b"}\n'),
        ["line 2 holds the escape \\ud800, half of a character"],
    ),
    "column of JSON": (_written("a.jsonl", _LINE * 2 + b'{"text": "a\n'), ["line 3 is not JSON", "character 10."]),
}


@pytest.mark.parametrize("case", SOURCES)
def test_source(case: str, hf_toedit: HfToEdit, tmp_path: Path) -> None:
    make, expected = SOURCES[case]
    (tmp_path / "in").mkdir()
    said = hf_toedit.fails("edit", make(tmp_path / "in"), "-o", tmp_path / "run", *prior())
    assert all(fragment in said for fragment in expected), said
    assert not (tmp_path / "run").exists()


WRONG_USE: dict[str, tuple[list[str], list[str]]] = {
    "threshold": (["--threshold", "1.5"], ["threshold 1.5 is out of range", "between 0 and 1"]),
    "nan": (["--threshold", "nan"], ["threshold nan is out of range"]),
    "temperature": (["--temperature", "0"], ["temperature 0.0 is out of range"]),
    "top k": (["--top-k", "0"], ["top_k 0 is out of range"]),
    "top p": (["--top-p", "1.1"], ["top_p 1.1 is out of range"]),
    "drop below": (["--drop-below", "-1"], ["drop_below -1.0 is out of range"]),
    "generations": (["--generations", "0"], ["generations 0 is out of range"]),
    "limit": (["--limit", "0"], ["limit 0 is out of range: it must be between 1 and 2^62."]),
    "not a number": (["--threshold", "high"], ["--threshold", "'high' is not a valid float"]),
    "token budget": (["--token-budget", "0"], ["--token-budget"]),
    "preset": (["--preset", "toedt"], ["--preset", "'toedt'", "up_revise", "Did you mean 'toedit'?"]),
    "device": (["--device", "gpu"], ["device 'gpu' is not one of"]),
    "backend": (["--backend", "vlm"], ["--backend", "'vlm'", "vllm"]),
    "device of vllm": (["--backend", "vllm", "--device", "cuda:1"], ["device 'cuda:1'", "CUDA_VISIBLE_DEVICES"]),
    "nucleus of vllm": (
        ["--backend", "vllm", "--sampler", "top-p"],
        ["only at temperature 1", "--backend transformers"],
    ),
    "tensor parallel": (["--tensor-parallel", "2"], ["--tensor-parallel is for the vLLM backend"]),
    "protect": (["--protect", "number"], ["unknown protect pattern 'number'. Did you mean 'numbers'?"]),
    "regex": (["--protect", "re:("], ["not a valid regular expression"]),
    "empty regex": (["--protect", "re:"], ["pattern 're:' is empty and protects nothing"]),
    "prune": (["--prune", "--preset", "low_drop_up_revise"], ["--select above", "Leave --prune out"]),
    "prune and accept": (["--prune", "--accept", "likelihood"], ["--accept compares", "Leave --prune or --accept out"]),
    "accept": (["--accept", "likelihood:-1"], ["accept 'likelihood:-1' is not", "a number of nats (0 or more)"]),
    "option": (["--treshold", "1"], ["--treshold", "--threshold"]),
    "columns without a name": (["--columns", ":string"], ["column ':string' of --columns has no name"]),
    "config missing": (["--config", "nope.yaml"], ["cannot read settings from nope.yaml"]),
}


@pytest.mark.parametrize("case", WRONG_USE)
def test_wrong_use(case: str, hf_toedit: HfToEdit, tmp_path: Path) -> None:
    options, expected = WRONG_USE[case]
    said = hf_toedit.fails("edit", "sample", "-o", tmp_path / "run", *prior(), *options, code=2)
    assert all(fragment in said for fragment in expected), said
    assert not (tmp_path / "run").exists()


def test_an_unknown_command(hf_toedit: HfToEdit) -> None:
    assert "'edti'" in hf_toedit.fails("edti", code=2)


@pytest.fixture(scope="module")
def priors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create folders of models that cannot be priors, with a real tokenizer."""
    import torch
    from transformers import (
        AutoModelForCausalLM,
        BertConfig,
        BertForMaskedLM,
        ByT5Tokenizer,
        T5Config,
        T5ForConditionalGeneration,
    )  # fmt: skip

    stories260k, root = shared("models/stories260K"), tmp_path_factory.mktemp("priors")

    def folder(name: str) -> Path:
        (root / name).mkdir()
        for file in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copyfile(stories260k / file, root / name / file)
        return root / name

    def copy(name: str) -> Path:
        for file in ("config.json", "model.safetensors"):
            shutil.copyfile(stories260k / file, folder(name) / file if file == "config.json" else root / name / file)
        return root / name

    small = {"vocab_size": 512, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    BertForMaskedLM(BertConfig(**small, intermediate_size=8)).save_pretrained(folder("encoder"))
    T5ForConditionalGeneration(T5Config(vocab_size=512, d_model=8, d_ff=8, num_layers=1, num_heads=1)).save_pretrained(
        folder("encoder-decoder")
    )
    slow = copy("slow")
    (slow / "tokenizer.json").unlink()
    ByT5Tokenizer().save_pretrained(slow)
    pickled = copy("pickled")
    (pickled / "model.safetensors").unlink()
    torch.save(AutoModelForCausalLM.from_pretrained(stories260k).state_dict(), pickled / "pytorch_model.bin")
    remote = copy("remote")
    config = {"model_type": "own", "auto_map": {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.Own"}}
    (remote / "config.json").write_text(json.dumps(config))
    (remote / "own.py").write_text(f"open({str(root / 'ran')!r}, 'w')\nclass OwnConfig: pass\nclass Own: pass\n")
    model = AutoModelForCausalLM.from_pretrained(stories260k)
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[3, 5] = torch.nan
    model.save_pretrained(copy("nan"))
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[3, 5] = 0
        model.model.layers[1].mlp.down_proj.weight.fill_(3e38)
    model.save_pretrained(copy("overflow"))
    (copy("broken") / "model.safetensors").write_bytes(b"\0" * 100)
    (copy("no config") / "config.json").unlink()
    return root


PRIORS: dict[str, list[str]] = {
    "slow": ["has no fast tokenizer"],
    "encoder": ["not a causal language model"],
    "encoder-decoder": ["is an encoder-decoder model (t5)"],
    "pickled": ["safetensors"],
    "remote": ["--trust-remote-code"],
    "broken": ["cannot load the model"],
    "nan": ["weights of prior", "hold NaN or infinity, in model.layers.1.mlp.up_proj.weight. Its files are damaged"],
    "overflow": ["answers with NaN or infinity in float32, though its weights are finite. Use another --dtype"],
    "no config": ["is not a model folder"],
    "missing/folder/here": ["no prior folder"],
}


@pytest.mark.parametrize("name", PRIORS)
def test_prior(name: str, priors: Path, hf_toedit: HfToEdit, tmp_path: Path) -> None:
    said = hf_toedit.fails("edit", "sample", "-o", tmp_path / "run", "--prior", priors / name, "--limit", 1)
    assert all(fragment in said for fragment in PRIORS[name]), said
    assert not (tmp_path / "run").exists()
    assert not (priors / "ran").exists()


def test_an_unknown_prior_without_a_network(hf_toedit: HfToEdit, tmp_path: Path) -> None:
    said = hf_toedit.fails("edit", "sample", "-o", tmp_path / "run", "--prior", "org/absent")
    assert "cannot reach the Hub for prior 'org/absent'" in said


@pytest.mark.parametrize("name", ["embeded", "Embedded", "embbeded", "imbedded"])
def test_a_slip_in_the_name_of_the_bundled_prior(name: str) -> None:
    """A typo is detected before the Hub, which lacks the model and cannot be reached, is contacted."""
    with pytest.raises(PriorError, match=f"no prior folder '{name}'. Did you mean 'embedded'?"):
        ToEditor.from_pretrained(name)


@pytest.mark.parametrize("name", ["gpt2", "distilgpt2", "bert-base-cased"])
def test_a_prior_without_an_owner_is_looked_for_on_the_hub(name: str) -> None:
    with pytest.raises(PriorError, match=f"cannot reach the Hub for prior '{name}'"):
        ToEditor.from_pretrained(name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sampel", "no file or folder 'sampel'. Did you mean 'sample'?"),
        ("./in/storys.jsonl", "Did you mean 'in/stories.jsonl'?"),
        ("https://huggingface.co/datasets/org/name", "Name the dataset itself: org/name"),
        ("https://huggingface.co/datasets/org/name/tree/main", "Name the dataset itself: org/name"),
        ("urls:nope.txt", "cannot read the list 'nope.txt': No such file or directory. Check the path."),
        ("begun", "'begun' is a run folder, and not finished"),
    ],
)
def test_names_of_sources(name: str, expected: str, hf_toedit: HfToEdit, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/stories.jsonl").write_bytes(_LINE)
    assert hf_toedit("plan", "sample", "-o", "begun", "-q", cwd=tmp_path).code == 0
    assert expected in hf_toedit.fails("plan", name, "-o", "run", cwd=tmp_path)


@pytest.mark.parametrize("documents", [[None, None], ["", None], [""]])
def test_rows_without_text_pass_through(documents: list[str | None], hf_toedit: HfToEdit, tmp_path: Path) -> None:
    rows(documents).to_parquet(tmp_path / "a.parquet")
    done = hf_toedit("edit", tmp_path / "a.parquet", "-o", tmp_path / "run", *prior(), "--json")
    assert (done.code, done.stderr) == (0, "")
    figures = done.json["generations"][0]
    skipped = {"null": documents.count(None), "empty": documents.count("")}
    assert figures["num_skipped"] == {cause: count for cause, count in skipped.items() if count}
    assert (figures["num_rows"], figures["num_tokens"]) == (len(documents), 0)
    assert load(tmp_path / "run")["train"]["text"] == documents


class TestOutput:
    """Output folders that cannot hold the run."""

    def test_another_run(self, hf_toedit: HfToEdit, source: Path, run: Path) -> None:
        before = parquet(run)
        asked = ["edit", source, "-o", run, *eager(), "--generations", 3]
        said = hf_toedit.fails(*asked, "--seed", 5, "--top-k", 9)
        assert "--seed is 0 in the run and 5 here" in said
        assert "--top-k is 8 in the run and 9 here" in said
        assert "--generations is 3 in the run and 4 here" in hf_toedit.fails(*asked[:-1], 4)
        assert parquet(run) == before

    def test_another_source(self, hf_toedit: HfToEdit, tmp_path: Path) -> None:
        path = tmp_path / "a.parquet"
        rows(stories(2)).to_parquet(path)
        run = hf_toedit.edit(path, tmp_path / "run")
        rows(stories(3)).to_parquet(path)
        said = hf_toedit.fails("edit", path, "-o", run, *eager())
        assert "holds another run: the files of the source differ. Name a new folder" in said
        assert len(load(run)["train"]) == 2

    def test_other_files(self, hf_toedit: HfToEdit, tmp_path: Path) -> None:
        (tmp_path / "mine.txt").write_text("mine")
        assert "not empty and holds no run" in hf_toedit.fails("edit", "sample", "-o", tmp_path, *prior())
        assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]

    def test_a_file(self, hf_toedit: HfToEdit, tmp_path: Path) -> None:
        (tmp_path / "mine.txt").write_text("mine")
        assert "is a file" in hf_toedit.fails("edit", "sample", "-o", tmp_path / "mine.txt", *prior())
        said = hf_toedit.fails("edit", "sample", "-o", tmp_path / "mine.txt/run", *prior(), "--limit", 1)
        assert "mine.txt" in said
        assert (tmp_path / "mine.txt").read_text() == "mine"

    def test_a_full_disk(self, hf_toedit: HfToEdit, tmp_path: Path) -> None:
        rows(stories(40, length=2000)).to_parquet(tmp_path / "a.parquet")
        whole = hf_toedit.edit(tmp_path / "a.parquet", tmp_path / "whole", "--generations", 2)
        sizes = [len(data) for data in parquet(whole).values()]
        with _mounted(tmp_path / "small", f"size={sizes[0] + 40_000}") as small:
            asked = "edit", tmp_path / "a.parquet", "-o", small / "run", *eager(), "--generations", 2, "--quiet"
            for workers in (0, 1):
                assert "no space left on the device" in hf_toedit.fails(*asked, "--workers", workers)
            first = "data/gen1/train-00000-of-00001.parquet"
            assert parquet(small) == {f"run/{first}": parquet(whole)[first]}
            assert not [path for path in small.rglob("*.tmp")]
            _mount("-o", "remount,size=10m", small)
            assert hf_toedit(*asked).code == 0
            assert parquet(small / "run") == parquet(whole)

    def test_a_read_only_folder(self, hf_toedit: HfToEdit, tmp_path: Path) -> None:
        with _mounted(tmp_path / "fixed", "size=1m") as fixed:
            _mount("-o", "remount,ro", fixed)
            said = hf_toedit.fails("edit", "sample", "-o", fixed / "run", *prior(), "--limit", 1)
        assert "the folder cannot be written" in said

    def test_a_folder_or_shard_without_permission(self, hf_toedit: HfToEdit, tmp_path: Path) -> None:
        """A subfolder that cannot be listed is refused, because its rows would be missing in the output."""
        run = hf_toedit.edit("sample", tmp_path / "run", "--limit", 1)
        hidden, data = tmp_path / "in/sub", run / "data/gen1/train-00000-of-00001.parquet"
        hidden.mkdir(parents=True)
        for folder in (hidden, hidden.parent):
            (folder / "a.jsonl").write_text('{"text": "a"}')
        for path, advice, *command in (
            (hidden, ", or name other files with a glob.", "preview", hidden.parent),
            (data, ".", "revert", run, "-o", tmp_path / "out"),
            (data, ".", "card", run),
        ):
            path.chmod(0)
            asked = [*_without_root(), sys.executable, "-m", "hf_toedit", *map(str, command)]
            done = subprocess.run(asked, capture_output=True, text=True, timeout=100)
            path.chmod(0o755)
            assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
            assert str(path) in done.stderr and done.stderr.endswith(f"Check its permissions{advice}\n")


def _without_root() -> list[str]:
    """Return the start of a command that may not read what permissions forbid, even if its user is root."""
    if os.geteuid() != 0:
        return []
    return [shutil.which("setpriv") or lacking("setpriv"), "--bounding-set", "-dac_override,-dac_read_search"]


@contextmanager
def _mounted(path: Path, options: str) -> Iterator[Path]:
    path.mkdir()
    try:
        _mount("-t", "tmpfs", "-o", options, "none", path)
    except (OSError, subprocess.CalledProcessError) as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"a small file system cannot be mounted here: {error}")
    try:
        yield path
    finally:
        subprocess.run(["umount", str(path)], check=True)


def _mount(*args: object) -> None:
    subprocess.run(["mount", *map(str, args)], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("args", "code", "expected"),
    [
        (["sample", "--prior", "foo--bar"], 1, "not a valid Hub name"),
        (["sample", "--revision", "main"], 2, "is local and has no revisions"),
        (["sample", "--prior-revision", "main"], 2, "is local and has no revisions"),
        (["x" * 300], 1, "File name too long"),
        (["sample", "--edit-log-column", ""], 2, "--edit-log-column is empty"),
    ],
)
def test_names_and_revisions(args: list[str], code: int, expected: str, hf_toedit: HfToEdit, tmp_path: Path) -> None:
    assert expected in hf_toedit.fails("edit", *args, "-o", tmp_path / "run", code=code)
    assert not (tmp_path / "run").exists()


def test_a_run_inside_its_source(hf_toedit: HfToEdit, tmp_path: Path) -> None:
    Dataset.from_dict({"text": ["a"]}).to_parquet(tmp_path / "in" / "rows.parquet")
    assert "is inside it" in hf_toedit.fails("edit", tmp_path / "in", "-o", tmp_path / "in" / "run", *prior())


def test_splits_with_different_columns(hf_toedit: HfToEdit, tmp_path: Path) -> None:
    splits = {"train": Dataset.from_dict({"text": ["a"]}), "test": Dataset.from_dict({"body": ["a"]})}
    DatasetDict(splits).save_to_disk(str(tmp_path / "in"))
    said = hf_toedit.fails("edit", tmp_path / "in", "-o", tmp_path / "run", *prior())
    assert "'train' and 'test'" in said and "--split" in said


EMPTY = [
    ("plan", "", "-o", "run"), ("plan", " ", "-o", "run"), ("plan", "sample", "-o", ""), ("plan", "sample", "-o", " "),
    *(("plan", "sample", "-o", "run", option, "") for option in (
        "--prior", "--prior-revision", "--revision", "--split", "--config-name", "--text-column", "--messages-column",
        "--context-columns", "--roles", "--columns", "--edit-log-column", "--shard-size", "--device", "--protect",
        "--config")),
    ("plan", "sample", "-o", "run", "--text-column", ","), ("edit", "sample", "-o", "run", "--push-to", ""),
    ("run", ""), ("status", ""), ("verify", ""), ("card", ""), ("push", "", "org/name"), ("push", "run", ""),
    ("pull", "", "-o", "run"), ("pull", "org/name", "-o", ""), ("revert", "", "-o", "out"), ("revert", "run", "-o", ""),
    ("preview", ""), ("slurm", "", "--array", "1"), ("slurm", "run", "--array", "1", "--logs", ""),
    ("jobs", "status", ""), ("jobs", "logs", ""), ("jobs", "cancel", ""), ("space", "push", ""),
]  # fmt: skip
"""Commands with an empty name, such as an unset shell variable."""


@pytest.mark.parametrize("args", EMPTY, ids=" ".join)
def test_an_empty_name(args: tuple[str, ...], hf_toedit: HfToEdit, tmp_path: Path) -> None:
    said = hf_toedit.fails(*args, code=2, cwd=tmp_path)
    assert re.fullmatch(r"(--[a-z-]+|[A-Z/]+) is empty\. Name (it|one, or leave it out)\.", said), said
    assert list(tmp_path.iterdir()) == []
