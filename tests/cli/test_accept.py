"""`--accept`: runs with verified edits work as other runs do, and count rejected edits."""

from __future__ import annotations

from pathlib import Path

from datasets import Value

import hf_toedit
from tests.cli.command import HfToEdit, prior
from tests.cli.fixtures import load, parquet, rows, same, stories

OPTIONS = "--threshold", 0.6, "--temperature", 8, "--generations", 2


def test_a_run_of_verified_edits(hf_toedit: HfToEdit, tmp_path: Path) -> None:
    before = rows([*stories(6), "", None])
    before.to_parquet(tmp_path / "a.parquet")
    options = (tmp_path / "a.parquet", *prior(), *OPTIONS)
    verified = hf_toedit.edit(options[0], tmp_path / "verified", *options[1:], "--accept", "likelihood:8")
    plain = hf_toedit.edit(options[0], tmp_path / "plain", *options[1:])
    free = hf_toedit.edit(options[0], tmp_path / "free", *options[1:], "--accept", "likelihood:inf")

    mine, other = (hf_toedit("status", run, "--json").json["generations"] for run in (verified, plain))
    assert mine[0]["num_changed"] + mine[0]["num_rejected"] == other[0]["num_changed"]
    assert min(mine[0]["num_changed"], mine[0]["num_rejected"], mine[1]["num_rejected"]) > 5
    assert "num_rejected" not in other[0]
    assert "rejected" in hf_toedit("status", verified).stdout and "rejected" not in hf_toedit("status", plain).stdout

    for number in (1, 2):
        edited, unverified = (load(run, f"gen{number}")["train"] for run in (verified, plain))
        assert edited.features["toedit"]["num_rejected"] == Value("int32")
        assert "num_rejected" not in unverified.features["toedit"]
        assert sum(log["num_rejected"] for log in edited["toedit"]) == mine[number - 1]["num_rejected"]
        assert [log["num_rejected"] for log in edited["toedit"]][-2:] == [0, 0]
        # Without rejected edits, the rows equal those of the other run, except for the count.
        unhindered = load(free, f"gen{number}")["train"]
        assert same(unhindered.remove_columns("toedit"), unverified.remove_columns("toedit"))
        assert unhindered["toedit"] == [{**log, "num_rejected": 0} for log in unverified["toedit"]]

    for run in (verified, free):
        assert hf_toedit("verify", run).code == 0
        assert hf_toedit("revert", run, "-o", f"{run}-source", "--quiet").code == 0
        assert same(load(Path(f"{run}-source"))["train"], before)
    assert same(_reverted(verified), before)

    card = (verified / "README.md").read_text()
    put_back = "unless that made the next 16 tokens less likely by more than 8 nats"
    assert put_back in card and "| rejected |" in card and r"| <code>num\_rejected</code> |" in card
    assert "rejected" not in (plain / "README.md").read_text()
    again = hf_toedit("edit", *options[:1], "-o", verified, *options[1:], "--accept", "likelihood:8.0:16", "--quiet")
    assert again.code == 0, again
    said = hf_toedit.fails("edit", *options[:1], "-o", verified, *options[1:])
    assert "--accept is likelihood:8 in the run and not given here" in said


def _reverted(run: Path) -> object:
    return hf_toedit.revert(load(run)["train"])


def test_shards_and_workers_change_nothing(hf_toedit: HfToEdit, tmp_path: Path) -> None:
    rows(stories(6)).to_parquet(tmp_path / "a.parquet")
    options = (*prior(), *OPTIONS, "--accept", "likelihood")
    one = hf_toedit.edit(tmp_path / "a.parquet", tmp_path / "one", *options, "--workers", 0)
    other = hf_toedit.edit(
        tmp_path / "a.parquet", tmp_path / "other", *options, "--num-shards", 3, "--workers", 2, "--token-budget", 64
    )
    assert len(parquet(other)) == 3 * len(parquet(one))
    for number in (1, 2):
        assert same(load(other, f"gen{number}")["train"], load(one, f"gen{number}")["train"])
    figures = (hf_toedit("status", run, "--json").json["generations"] for run in (one, other))
    mine, theirs = ([{**entry, "tokens_per_second": 0, "num_shards": 0} for entry in entries] for entries in figures)
    assert mine == theirs


def test_preview_says_what_is_rejected(hf_toedit: HfToEdit, tmp_path: Path) -> None:
    rows(stories(3)).to_parquet(tmp_path / "a.parquet")
    options = (tmp_path / "a.parquet", *prior(), *OPTIONS, "--candidates", "--accept", "likelihood")
    told = hf_toedit("preview", *options, "--json").json
    rejected = [token["rejected"] for text in told["texts"] for token in text["selected"] if "rejected" in token]
    assert len(rejected) == sum(entry["num_rejected"] for entry in told["generations"]) > 0
    page = tmp_path / "page.html"
    shown = hf_toedit("preview", *options, "--html", page).stdout
    assert ", rejected" in shown and "rejected" in shown.splitlines()[0]
    assert "was sampled and rejected" in page.read_text()
