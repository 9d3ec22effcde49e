"""`hf-toedit probe`: the report on a planted difference, stored files, and errors."""

from __future__ import annotations

import json
import re
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import hf_toedit as package
from hf_toedit.api.probe import probe
from hf_toedit.errors import UsageError
from tests.cli.command import Finished, HfToEdit
from tests.probes.small import config_file, shuffled, stories, write
from tests.probes.test_contamination import naive
from tests.shared import shared

OPTIONS = ("--context", 64, "--batch-size", 8, "--learning-rate", 0.03, "--learning-rate", 0.01, "--device", "cpu")


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> tuple[object, ...]:
    """Write a source, the same with shuffled words, held-out text of two kinds, and a small model."""
    folder = tmp_path_factory.mktemp("given")
    found = stories(150)
    # The first held-out document also occurs in the source.
    write(folder / "source.jsonl", found[39:])
    write(folder / "sh_uffled|.jsonl", shuffled(found[39:]))
    write(folder / "held-out.jsonl", found[39:40] + found[:39])
    write(folder / "short.jsonl", [text[:40] for text in found[:20]])
    variants = f"source={folder / 'source.jsonl'}", f"shuf_fled={folder / 'sh_uffled|.jsonl'}"
    evals = "--eval", f"held-out={folder / 'held-out.jsonl'}", "--eval", f"short={folder / 'short.jsonl'}"
    return *variants, *evals, "--model", config_file(folder), "--tokenizer", shared("models/stories260K"), *OPTIONS


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("output") / "report"


@pytest.fixture(scope="module")
def done(hf_toedit: HfToEdit, given: tuple[object, ...], output: Path) -> Finished:
    """Run the probe; it is killed after its first model, and resumed."""
    results = lambda: list((output / "work").rglob("result.json"))  # noqa: E731
    assert hf_toedit("probe", *given, "-o", output, kill_when=results).code == -9
    before = {path: path.stat().st_mtime_ns for path in results()}
    finished = hf_toedit("probe", *given, "-o", output)
    assert len(results()) == 12 and all(path.stat().st_mtime_ns == stamp for path, stamp in before.items())
    return finished


@pytest.fixture(scope="module")
def report(done: Finished, output: Path) -> Any:
    assert (done.code, done.stderr) == (0, ""), done
    return json.loads((output / "report.json").read_text(encoding="utf-8"))


def test_a_planted_difference_is_found(done: Finished, report: Any, output: Path) -> None:
    found = report["comparisons"]["shuf_fled"]
    assert found["verdict"] == "worse" and found["learning_rates_agree"]
    assert done.stdout.startswith("shuf_fled: worse (+")
    assert done.stdout.endswith(f"Report: {output / 'report.md'}\n")
    entry = found["differences"]["0.03"]["held-out"]
    assert 0 < entry["low"] < entry["value"] < entry["high"]
    assert set(found["differences"]["0.03"]) == {"held-out", "short", "all"}
    perplexities = report["perplexity"]
    assert perplexities["source"]["0.03"]["held-out"]["value"] < perplexities["shuf_fled"]["0.03"]["held-out"]["value"]


def test_all_models_read_the_same_number_of_tokens(report: Any) -> None:
    training, variants = report["training"], report["variants"]
    assert training["num_tokens"] == training["num_steps"] * 8 * 64
    fewest = min(found["num_tokens"] for found in variants.values())
    assert fewest - 8 * 64 < training["num_tokens"] <= fewest
    assert all(0.9 < found["epochs"] <= 1 for found in variants.values())


def test_contamination_is_reported(report: Any) -> None:
    """Stories have similar beginnings, so more than one document shares 13 words with the source."""
    found = {name: entry["contamination"]["held-out"] for name, entry in report["variants"].items()}
    held_out, source = ([naive([text]) for text in part] for part in (stories(150)[:40], stories(150)[39:]))
    shared = set().union(*source) & set().union(*held_out)
    assert found["source"]["num_contaminated"] == sum(bool(grams & shared) for grams in held_out) >= 1
    assert found["source"]["num_training_documents"] == sum(bool(grams & shared) for grams in source) >= 1
    assert found["source"]["num_checked"] == found["source"]["num_documents"] == 40
    assert found["shuf_fled"]["num_contaminated"] == 0


def test_the_report(report: Any, output: Path) -> None:
    """Its figures equal those of the JSON, tables and pictures are complete, and it does not contain a local path."""
    text = (output / "report.md").read_text(encoding="utf-8")
    for line in (part for part in text.splitlines() if part.startswith("| ")):
        assert line.count("|") >= 4
    assert r"<code>shuf\_fled</code>" in text and r"sh\_uffled&#124;.jsonl" in text
    assert set(re.findall(r"\((assets/[^)]+)\)", text)) == {"assets/differences.png", "assets/losses.png"}
    assert all((output / "assets" / name).stat().st_size > 5000 for name in ("differences.png", "losses.png"))
    value = report["perplexity"]["source"]["0.03"]["all"]["value"]
    assert f"{value:,.4g} (" in text
    for name in ("report.md", "report.json", "report.html"):
        assert str(output.parent.parent) not in (output / name).read_text(encoding="utf-8")
    assert "<title>Does training on these datasets help?</title>" in (output / "report.html").read_text()
    assert not list((output / "work").rglob("checkpoint-*")) and not list((output / "work").rglob("*.safetensors"))


def test_the_same_command_again_trains_nothing(
    hf_toedit: HfToEdit, given: tuple[object, ...], report: Any, output: Path
) -> None:
    before = {path: path.stat().st_mtime_ns for path in (output / "work").rglob("*")}
    text = (output / "report.json").read_bytes()
    again = hf_toedit("probe", *given, "-o", output, "--json")
    assert (again.code, again.stderr, again.json) == (0, "", report)
    assert {path: path.stat().st_mtime_ns for path in (output / "work").rglob("*")} == before
    assert (output / "report.json").read_bytes() == text


def test_other_settings_are_not_mixed_in(
    hf_toedit: HfToEdit, given: tuple[object, ...], report: Any, output: Path
) -> None:
    asked = "probe", *given, "-o", output
    assert "context is 64 there and 32 here" in hf_toedit.fails(*asked, "--context", 32)
    assert "the variants differ; the evals differ." in hf_toedit.fails(*asked, "--limit", 90)


def test_a_probe_that_was_refused_gives_way_to_one_with_other_settings(
    hf_toedit: HfToEdit, given: tuple[object, ...], tmp_path: Path
) -> None:
    asked = "probe", *given, "-o", tmp_path / "report", "--seeds", 2
    assert "Lower --tokens" in hf_toedit.fails(*asked, "--tokens", "10M", code=2)
    assert hf_toedit(*asked, "--tokens", 2048, kill_when=(tmp_path / "report" / "work" / "models").exists).code == -9
    assert "holds a probe with other settings" in hf_toedit.fails(*asked, "--tokens", 4096)


def test_a_dry_run(hf_toedit: HfToEdit, given: tuple[object, ...], report: Any) -> None:
    found = hf_toedit("probe", *given, "--dry-run", "--price-per-hour", 2, "--json").json
    assert found["num_tokens"] == report["training"]["num_tokens"] and found["models"] == 12
    assert found["num_steps"] == report["training"]["num_steps"]
    assert 0 < found["hours"] < 0.1 and found["cost"] == pytest.approx(2 * found["hours"])
    epochs = hf_toedit("probe", *given, "--dry-run", "--max-epochs", 2.5, "--json").json["num_tokens"]
    assert epochs / found["num_tokens"] == pytest.approx(2.5, abs=0.1)
    said = hf_toedit("probe", *given, "--dry-run").stdout
    assert "Models: 12 (3 seeds, learning rates 0.01 and 0.03)" in said and "Cost" not in said


def test_contaminated_documents_are_dropped(
    hf_toedit: HfToEdit, given: tuple[object, ...], report: Any, tmp_path: Path
) -> None:
    """Models are stored on request, also by a later command, and load as priors."""
    options = "--drop-contaminated", "--keep-models", "--seeds", 2, "--tokens", "2k", "--limit", 60
    found = hf_toedit("probe", *given, "-o", tmp_path / "report", *options, "--json").json
    source, other = found["variants"].values()
    assert source["num_dropped"] == source["contamination"]["held-out"]["num_training_documents"] >= 1
    assert other["num_dropped"] == 0
    assert found["training"]["num_tokens"] == 1536
    models = list((tmp_path / "report/work/models").rglob("model"))
    assert len(models) == 8
    text = (tmp_path / "report/report.md").read_text()
    assert "The latter were left out of the training." in text
    assert package.load_prior(package.PriorConfig(str(models[0]))).revision
    shutil.rmtree(models[0])  # as of a command without --keep-models
    assert hf_toedit("probe", *given, "-o", tmp_path / "report", *options, "--json").json == found
    assert models[0].exists()


@pytest.mark.parametrize(
    ("args", "code", "expected"),
    [
        (("{a}",), 2, "a probe needs two variants or more."),
        (("{a}", "a={b}"), 2, "two variants are called 'a'. Give each a name of its own."),
        (("{a}", "b={b}", "--dry-run", "--price-per-hour", "nan"), 2, "price_per_hour must be a number other than NaN"),
        (("{a}", "b={b}", "--tokens", "1M"), 2, "epochs. Lower --tokens, or allow it with --max-epochs"),
        (("{a}", "b={b}", "--context", "1024", "--tokens", "1000"), 2, "there are too few tokens for a single step"),
        (("{a}", "b={b}", "--tokens", "many"), 2, "--tokens 'many' is not a number of tokens."),
        (("{a}", "b={b}", "--seeds", "1"), 2, "seeds 1 is out of range"),
        (("{a}", "b={b}", "--learning-rate", "0"), 2, "learning_rates"),
        (("{a}", "b={b}", "--lora"), 2, "LoRA adapts a trained model, and tiny is trained from scratch."),
        (("{a}", "b={b}", "--task-limit", "5"), 2, "need tasks. Name them with --tasks."),
        (("{a}", "b={b}", "--tasks", "piqa", "--task-limit", "0"), 2, "task_limit 0 is out of range"),
        (("{a}", "b={b}", "--report-to", "tensorbord"), 2, "report to 'tensorbord'. Did you mean 'tensorboard'?"),
        (("{a}", "b={b}", "--model", "none.json"), 1, "there is no configuration none.json."),
        (("{a}", "b={b}", "--model", "{folder}"), 1, "is not a model folder: it holds no config.json."),
        (("{a}", "b={b}", "--model", "embedded", "--context", "9000"), 2, "fewer than --context 9000."),
        (("{a}", "b={b}", "--eval", "blank={blank}"), 1, "evaluation set 'blank' ({blank}) has no text."),
        (("{a}", "b={b}", "--eval", "all={b}"), 2, "an evaluation set cannot be called 'all'"),
        (("{a}", "b={blank}"), 1, "variant 'b' (blank.jsonl) has no text."),
    ],
)
def test_bad_input(args: tuple[str, ...], code: int, expected: str, hf_toedit: HfToEdit, tmp_path: Path) -> None:
    paths = {
        "a": f"a={write(tmp_path / 'a.jsonl', stories(30))}",
        "b": write(tmp_path / "b.jsonl", stories(30)),
        "blank": write(tmp_path / "blank.jsonl", ["", " "][:1]),
        "folder": tmp_path,
    }
    given = [arg.format(**paths) for arg in args]
    asked = "probe", *given, "--eval", f"e={paths['b']}", "--device", "cpu", "-o", tmp_path / "report"
    assert expected.format(**paths) in hf_toedit.fails(*asked, code=code)


def test_the_suggested_number_of_epochs_is_enough(hf_toedit: HfToEdit, tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", stories(3))
    asked = "probe", f"a={path}", f"b={path}", "--eval", f"e={path}", "--device", "cpu", "-o", tmp_path / "report"
    for num_tokens in (100_001, 100_003, 100_019):
        said = hf_toedit.fails(*asked, "--tokens", num_tokens, code=2)
        available = int(said.split(" has ")[1].split()[0].replace(",", ""))
        assert float(said.rpartition("--max-epochs ")[2].rstrip(".")) * available >= num_tokens


@pytest.mark.skipif(find_spec("lm_eval") is not None, reason="lm-eval is installed")
def test_tasks_need_lm_eval(hf_toedit: HfToEdit, tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", stories(3))
    asked = f"a={path}", f"b={path}", "--eval", f"e={path}", "-o", tmp_path / "report", "--tasks", "piqa,arc_easy"
    assert "needs lm-eval. Install it: pip install 'hf-toedit[tasks]'" in hf_toedit.fails("probe", *asked, code=2)


def test_what_is_missing(hf_toedit: HfToEdit, tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", stories(3))
    variants = f"a={path}", f"b={path}"
    assert "a probe needs held-out text." in hf_toedit.fails("probe", *variants, "-o", tmp_path / "report", code=2)
    assert "no output folder" in hf_toedit.fails("probe", *variants, "--eval", f"e={path}", code=2)
    assert "is a file. Name a folder" in hf_toedit.fails("probe", *variants, "--eval", f"e={path}", "-o", path)
    with pytest.raises(UsageError, match="unknown setting 'contxt'.* 'context'"):
        probe({"a": path, "b": path}, {"e": path}, tmp_path / "report", contxt=3)  # type: ignore[call-arg]
    assert package.probe is probe
