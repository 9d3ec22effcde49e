"""`hf-toedit plan` and `--dry-run`: the plan of a run, printed and written before it starts."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import pytest
from datasets import Dataset
from tokenizers import Tokenizer

from hf_toedit import sample
from hf_toedit.cli.plan import estimate_words
from hf_toedit.runs.estimate import Estimate
from tests.cli.command import HfToEdit, eager
from tests.cli.fixtures import ODD, load, parquet, same, stories
from tests.shared import shared, texts


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write six JSON Lines files."""
    folder = tmp_path_factory.mktemp("files")
    told = stories(60, 400)
    for number in range(6):
        Dataset.from_dict({"text": told[number::6]}).to_json(folder / f"{number}.jsonl")
    return folder


@pytest.fixture(scope="module")
def whole(hf_toedit: HfToEdit, files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Execute a run of two generations in four shards; read-only for tests."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    return hf_toedit.edit(files, folder, "--generations", 2, "--num-shards", 4)


def test_a_plan_is_written_once_and_says_what_it_holds(hf_toedit: HfToEdit, files: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    asked = "plan", files / "*.jsonl", "-o", run, *eager(), "--shard-size", "10kB"
    facts = hf_toedit(*asked, "--json").json
    plan = json.loads((run / "toedit/plan.json").read_text())
    assert [path.name for path in run.rglob("*") if path.is_file()] == ["plan.json"]
    assert facts["hash"] == plan["hash"]
    assert (facts["num_files"], facts["num_shards"]) == (6, len(plan["shards"])) == (6, 3)
    assert facts["num_bytes"] == pytest.approx(sum(len(text) for text in stories(60, 400)), rel=0.1)
    assert (plan["task"]["prior"]["dtype"], len(plan["task"]["prior_revision"])) == ("float32", 40)
    before = (run / "toedit/plan.json").read_bytes()
    assert hf_toedit(*asked).stdout.endswith(f"Next: hf-toedit run {run}\n")
    assert (run / "toedit/plan.json").read_bytes() == before
    said = hf_toedit.fails(*asked, "--seed", 3)
    assert "--seed is 0 in the run and 3 here" in said
    assert f"hf-toedit run {run}" in said


def test_plan_and_run_make_what_edit_makes(hf_toedit: HfToEdit, files: Path, whole: Path, tmp_path: Path) -> None:
    options = "--generations", 2, "--num-shards", 4
    assert hf_toedit("plan", files, "-o", tmp_path / "run", *eager(), *options).code == 0
    done = hf_toedit("run", tmp_path / "run", "--json")
    assert (done.code, done.json["finished"], done.json["num_done"]) == (0, True, 4)
    assert [generation["num_tokens"] for generation in done.json["generations"]] == [
        generation["num_tokens"] for generation in hf_toedit("status", whole, "--json").json["generations"]
    ]
    assert parquet(tmp_path / "run") == parquet(whole)
    assert same(load(tmp_path / "run")["train"], load(whole)["train"])


def test_a_run_goes_on_from_another_folder_and_moves(hf_toedit: HfToEdit, files: Path, tmp_path: Path) -> None:
    """Paths in a plan do not depend on the working folder, and the run folder may be moved."""
    asked = "plan", "0.jsonl", "-o", tmp_path / "run", *eager(), "--num-shards", 2
    assert hf_toedit(*asked, cwd=files).code == 0
    (tmp_path / "run").rename(tmp_path / "moved")
    assert hf_toedit("run", tmp_path / "moved", cwd=tmp_path).code == 0
    assert hf_toedit("verify", tmp_path / "moved", "--json").json["ok"]


@pytest.mark.parametrize("command", ["plan", "edit"])
def test_a_dry_run_tells_rows_tokens_hours_and_cost(
    command: str, hf_toedit: HfToEdit, files: Path, whole: Path, tmp_path: Path
) -> None:
    asked = command, files, *eager(), "--num-shards", 3, "--generations", 2, "--dry-run"
    told = hf_toedit(*asked, "--price-per-hour", 36, "--json", cwd=tmp_path).json
    [first, _] = hf_toedit("status", whole, "--json").json["generations"]
    assert told["num_rows"] == pytest.approx(60, rel=0.2)
    assert told["num_tokens"] == pytest.approx(first["num_tokens"], rel=0.1)
    assert 0 < told["sampled_tokens"] <= first["num_tokens"]
    for name, value in (("num_rows", 60), ("num_tokens", first["num_tokens"])):
        assert told[name] == told[f"{name}_low"] == told[f"{name}_high"] == value
    assert told["is_exact"]
    assert 0 <= told["hours_low"] <= told["hours"] <= told["hours_high"]
    assert told["cost_high"] == pytest.approx(36 * told["hours_high"])
    assert told["hours"] == pytest.approx(2 * told["num_tokens"] / told["tokens_per_second"] / 3600, rel=1e-6)
    assert told["cost"] == pytest.approx(36 * told["hours"])
    shown = hf_toedit(*asked, cwd=tmp_path).stdout
    assert f"60 rows and {first['num_tokens']:,} tokens, all counted\n" in shown
    assert "tokens/s on one device" in shown
    assert "2 passes: about 0:00:" in shown
    assert [path.name for path in tmp_path.iterdir() if "cache" not in path.name] == []


def test_a_dry_run_of_the_sample_counts_all_its_tokens(hf_toedit: HfToEdit) -> None:
    told = hf_toedit("plan", "sample", *eager(), "--dry-run", "--json").json
    tokenizer = Tokenizer.from_file(str(shared("models/stories260K/tokenizer.json")))
    documents = Dataset.from_parquet(str(sample.path()))["text"]
    encoded = tokenizer.encode_batch(list(documents), add_special_tokens=False)
    assert told["num_tokens"] == sum(len(encoding) for encoding in encoded)


@pytest.mark.parametrize(
    "options",
    [("--messages-column", "turns"), ("--text-column", "text,turns[].content", "--context-columns", "title")],
)
def test_a_dry_run_counts_the_tokens_that_the_run_reads(
    options: tuple[str, ...], hf_toedit: HfToEdit, tmp_path: Path
) -> None:
    """Tokens of the texts are counted without their context; odd and skipped texts are counted as in the run."""
    told = [*ODD, *texts("multilingual_mgsm")[::250], *stories(6)]
    data = Dataset.from_list(
        [
            {"text": text, "title": None if number % 3 else f"On {text}", "turns": _turns(told, number)}
            for number, text in enumerate(told)
        ]
    )
    data.to_parquet(tmp_path / "chats.parquet")
    source = tmp_path / "chats.parquet"
    asked = hf_toedit("plan", source, *eager(), *options, "--dry-run", "--json").json
    run = hf_toedit.edit(source, tmp_path / "run", *options)
    [counted] = hf_toedit("status", run, "--json").json["generations"]
    assert asked["num_tokens"] == asked["sampled_tokens"] == counted["num_tokens"]


def _turns(told: Sequence[str | None], number: int) -> list[dict[str, str | None]]:
    roles = ["user", "assistant", "user", "assistant"][: number % 5]
    return [{"role": role, "content": told[(number + turn) % len(told)]} for turn, role in enumerate(roles)]


def test_a_dry_run_of_a_large_source_says_an_interval(hf_toedit: HfToEdit, tmp_path: Path) -> None:
    """The second half has other scripts, so that the first rows are not representative."""
    declared = sorted(texts("multilingual_udhr2"), key=lambda text: len(text) / len(text.encode()))[:3]
    for number, said in enumerate([*[texts("synthetic_tinystories_500")[:50]] * 3, *([text] for text in declared)]):
        rows = [json.dumps({"text": text}, ensure_ascii=False) for text in said]
        (tmp_path / f"{number}.jsonl").write_text("\n".join(rows * (900_000 // sum(map(len, rows)))) + "\n")
    told = hf_toedit("plan", tmp_path, *eager(), "--dry-run", "--price-per-hour", 2, "--json").json
    assert not told["is_exact"]
    assert 0 <= told["hours_low"] < told["hours"] < told["hours_high"]
    assert told["cost_low"] < told["cost"] < told["cost_high"]
    tokenizer = Tokenizer.from_file(str(shared("models/stories260K/tokenizer.json")))
    lines = [line for path in tmp_path.glob("*.jsonl") for line in path.read_text().splitlines()]
    counts = {line: len(tokenizer.encode(json.loads(line)["text"], add_special_tokens=False)) for line in set(lines)}
    assert told["num_tokens_low"] < sum(map(counts.__getitem__, lines)) < told["num_tokens_high"]
    assert told["num_rows_low"] <= len(lines) <= told["num_rows_high"]
    shown = estimate_words(Estimate(**{field.name: told[field.name] for field in fields(Estimate)}), 6)
    assert re.match(
        r"about [\d,]+ tokens \(95 %: [\d,]+ to [\d,]+\) in [\d,]+ rows \(95 %: [\d,]+ to [\d,]+\), "
        r"estimated from [\d,]+ rows in \d of 6 files\n",
        shown,
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--shard-size", "big"), "shard size 'big' is not a size"),
        (("--shard-size", "0"), "shard size '0' is not a size"),
        (("--num-shards", 10**11), "split 'train' would have 100,000,000,000 shards, and at most 100,000 are"),
        (("--shard-size", "0.1"), "shard size '0.1' is not a size"),
        (("--price-per-hour", "nan"), "price_per_hour must be a number other than NaN and infinity, not nan."),
        (("--num-shards", 0), "Invalid value for '--num-shards': 0 is out of range: it must be at least 1."),
        (("--text-column", "body", "--messages-column", "turns"), "edited alone"),
        (("--text-column", "text,text"), "to be edited twice"),
        ((), "no output folder. Name one with -o"),
    ],
)
def test_what_cannot_be_meant(options: tuple[object, ...], said: str, hf_toedit: HfToEdit, files: Path) -> None:
    output = ("-o", files / "run") if options else ()
    assert said in hf_toedit.fails("plan", files / "0.jsonl", *output, *options, code=2)
    assert not (files / "run").exists()


@pytest.mark.parametrize("workers", ["many", "²", "00", "-1"])
def test_workers_that_are_no_number(workers: str, hf_toedit: HfToEdit, files: Path, tmp_path: Path) -> None:
    said = hf_toedit.fails("edit", files, "-o", tmp_path / "run", "--workers", workers, code=2)
    assert said == f"workers {workers!r} is not a number. Name one, or auto."


def test_an_empty_split_beside_a_good_one_has_no_shards(hf_toedit: HfToEdit, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Dataset.from_dict({"text": stories(2)}).to_parquet(tmp_path / "in" / "train.parquet")
    Dataset.from_dict({"text": stories(2)}).select([]).to_parquet(tmp_path / "in" / "test.parquet")
    assert list(load(hf_toedit.edit(tmp_path / "in", tmp_path / "run"))) == ["train"]


def test_a_plan_does_not_bring_trust_in_code_with_it(hf_toedit: HfToEdit, files: Path, tmp_path: Path) -> None:
    asked = "plan", files / "0.jsonl", "-o", tmp_path / "run", *eager(), "--trust-remote-code"
    assert hf_toedit(*asked).code == 0
    for command in (["run"], ["slurm", "--array", 1]):
        assert "use --trust-remote-code here as well" in hf_toedit.fails(*command, tmp_path / "run", code=2)
    assert parquet(tmp_path / "run") == {}
    assert hf_toedit("run", tmp_path / "run", "--trust-remote-code").code == 0
