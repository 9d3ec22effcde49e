"""`--prune`: the rows of a run are the same, and cards and outputs state which figures are sampled."""

from __future__ import annotations

from pathlib import Path

from datasets import Dataset

from tests.cli.command import HfToEdit
from tests.cli.fixtures import load
from tests.priors.test_pruning import make_prior, repetitive

STATED = "from a sample of 1 token in 16"


def test_a_pruned_run(hf_toedit: HfToEdit, tmp_path: Path) -> None:
    source, prior = tmp_path / "a.parquet", make_prior(tmp_path / "prior")
    Dataset.from_dict({"text": [text for text in repetitive() if isinstance(text, str)]}).to_parquet(source)
    options = ["--prior", prior, "--temperature", 9, "--generations", 2]
    runs = {}
    for name, given in {"plain": [], "pruned": ["--prune"]}.items():
        done = hf_toedit("edit", source, "-o", tmp_path / name, *options, *given)
        assert done.code == 0, done
        assert (STATED in done.stdout) == (name == "pruned")
        assert hf_toedit("verify", tmp_path / name).code == 0
        runs[name] = load(tmp_path / name)["train"], hf_toedit("status", tmp_path / name, "--json").json["generations"]

    (plain, plain_figures), (pruned, pruned_figures) = runs["plain"], runs["pruned"]
    assert pruned["text"] == plain["text"]
    for mine, other in zip(pruned["toedit"], plain["toedit"], strict=True):
        assert {**mine, "nll": None} == {**other, "nll": None}
    assert sum(figures["num_changed"] for figures in plain_figures) > 20
    for mine, other in zip(pruned_figures, plain_figures, strict=True):
        sampled = dict.fromkeys(("nll", "median_perplexity", "tokens_per_second"), 0)
        assert {**mine, **sampled} == {**other, **sampled}
        assert mine["nll"] != other["nll"]

    cards = {name: (tmp_path / name / "README.md").read_text() for name in runs}
    assert STATED in cards["pruned"] and "1 token in 16 of the text that was read" in cards["pruned"]
    assert "sample of 1" not in cards["plain"] and "1 token in" not in cards["plain"]
    assert hf_toedit("edit", source, "-o", tmp_path / "pruned", *options, "--prune").code == 0
    said = hf_toedit.fails("edit", source, "-o", tmp_path / "pruned", *options)
    assert "--prune is given in the run and not given here" in said
    assert STATED in hf_toedit("preview", source, "--first", "--candidates", "-n", 3, *options[:4], "--prune").stdout
