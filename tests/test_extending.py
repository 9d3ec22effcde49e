"""User-defined classes: the examples of docs/extending.md work unchanged, and a plan never imports code by itself."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import hf_toedit as package
from hf_toedit import sample
from hf_toedit.config import SAMPLERS, SELECT_MODES, EditConfig, PriorConfig
from hf_toedit.editing.editor import Editor
from hf_toedit.editing.rules import RULES
from hf_toedit.editing.samplers import SAMPLERS as SAMPLER_CLASSES
from hf_toedit.errors import ToEditError, UsageError
from hf_toedit.priors.registry import load_prior
from tests.cli.command import HfToEdit
from tests.cli.fixtures import hf_toedit, load, parquet, stories  # noqa: F401
from tests.snippets import run_snippet

EXAMPLES = re.findall(
    r"(?s)```python\n(# (\w+\.py)\n.*?)```",
    (Path(__file__).parents[1] / "docs" / "extending.md").read_text(encoding="utf-8"),
)
OWN = ("--sampler", "my_sampler:Second", "--select", "my_rule:Band")
PRIOR = ("--prior", "my_prior:Zipf", "--trust-remote-code", "--select", "below", "--threshold", 0.01)

MISTAKES = """
import numpy as np
from hf_toedit.editing.prior import BasePrior
from hf_toedit.editing.rules import Rule
from hf_toedit.editing.samplers import Candidates, Sampler


class NoSampler:
    def __init__(self, config): ...


class HalfSampler(Sampler):
    candidates = Candidates(2)


class Nowhere(HalfSampler):
    def draw(self, logprobs, uniforms):
        return np.full(len(logprobs), 2)

    def describe(self):
        return "nothing"


class Numbers(Rule):
    def selected(self, logprobs):
        return logprobs

    def describe(self):
        return "all"


class HalfPrior:
    def __init__(self, config, resources):
        self.name, self.tokenizer = config.prior, None


class OtherTokenizer(BasePrior):
    tokenizer = "gpt2"

    def score(self, documents, rule): ...


class Broken(BasePrior):
    def __init__(self, config, resources):
        raise KeyError("weights")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the examples as modules, and a module with mistakes."""
    path = tmp_path_factory.mktemp("own")
    for code, name in EXAMPLES:
        (path / name).write_text(code, encoding="utf-8")
    (path / "mistakes.py").write_text(MISTAKES, encoding="utf-8")
    installed = path / "my_task-1.0.dist-info"  # like an installed package
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: my_task\nVersion: 1.0\n", encoding="utf-8")
    (installed / "entry_points.txt").write_text("[hf_toedit.tasks]\nlengths = my_task:Lengths\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def own(folder: Path, hf_toedit: HfToEdit) -> Iterator[HfToEdit]:  # noqa: F811
    """Return the command with these modules importable."""
    with hf_toedit.beside(PYTHONPATH=str(folder)) as command:
        yield command


@pytest.fixture
def importable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make the modules importable in this process, and remove them afterwards."""
    monkeypatch.syspath_prepend(folder)
    yield folder
    for module in ("my_sampler", "my_rule", "my_prior", "my_engine", "mistakes"):
        sys.modules.pop(module, None)


@pytest.fixture(scope="module")
def run(own: HfToEdit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Execute a run with a user-defined sampler and rule and two workers; read-only for tests."""
    path = tmp_path_factory.mktemp("runs") / "run"
    done = own("edit", "sample", "-o", path, "--limit", 4, "--num-shards", 2, *OWN, "--workers", 2, "--quiet")
    assert (done.code, done.stderr) == (0, "")
    return path


def test_the_examples_are_short() -> None:
    names = ["my_sampler", "my_rule", "my_prior", "my_scorer", "my_checks", "my_task", "my_engine"]
    assert [name for _, name in EXAMPLES] == [f"{name}.py" for name in names]
    assert all(len(code.splitlines()) <= 30 for code, _ in EXAMPLES)


def test_names_of_settings_are_those_of_the_registries() -> None:
    assert (tuple(RULES), tuple(SAMPLER_CLASSES)) == (SELECT_MODES, SAMPLERS)


def test_a_sampler_and_a_rule_decide_what_is_drawn(importable: Path) -> None:
    settings = EditConfig(sampler="my_sampler:Second", select="my_rule:Band")
    editor = Editor(load_prior(PriorConfig()), settings)
    texts = stories(3)
    result = editor.edit(texts)
    assert result.revert() == texts
    num_changed = 0
    for document in result.documents:
        assert document.reading is not None
        scores, ids = document.reading.scores, document.reading.document
        p = np.exp(scores.logprobs.astype(np.float64))
        inside = (p >= 0.3) & (p <= 0.99) & ids.eligible
        assert np.array_equal(np.flatnonzero(inside), scores.positions)
        drawn, second = document.reading.drawn, scores.candidate_ids[:, 1]
        assert scores.candidate_ids.shape[1] == 2
        assert np.array_equal(drawn[drawn >= 0], second[drawn >= 0]) and (drawn >= 0).mean() > 0.9
        num_changed += len(document.reading.changed)
    assert num_changed > 20
    assert "p ≤ 0.99" in editor._rule.rule.describe()


def test_a_run_tells_of_them_and_needs_their_code_only_to_draw(run: Path, hf_toedit: HfToEdit, tmp_path: Path) -> None:  # noqa: F811
    card = (run / "README.md").read_text(encoding="utf-8")
    assert "tokens with 0.3 ≤ p ≤ 0.99 were resampled from its second likeliest token." in card
    assert "| selected | 0.3 ≤ p ≤ 0.99 |" in card
    edited = load(run)["train"]
    assert sum(log["num_changed"] for log in edited["toedit"]) > 20
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    (copy / "README.md").unlink()
    # The code is not importable here:
    for command in ("status", "verify", "card"):
        done = hf_toedit(command, copy)
        assert (done.code, done.stderr) == (0, ""), done
    assert (copy / "README.md").read_text(encoding="utf-8") == card
    done = hf_toedit("revert", copy, "-o", tmp_path / "source", "--quiet")
    assert (done.code, done.stderr) == (0, ""), done
    source = pq.read_table(sample.path(), columns=["text"])["text"].to_pylist()
    assert load(tmp_path / "source")["train"]["text"] == source[:4]


def test_a_card_does_without_their_words(run: Path, hf_toedit: HfToEdit, tmp_path: Path) -> None:  # noqa: F811
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    (copy / "README.md").unlink()
    path = copy / "toedit" / "plan.json"
    plan = json.loads(path.read_text(encoding="utf-8"))
    assert set(plan["provenance"].pop("own")) == {"select", "sampler"}
    path.write_text(json.dumps(plan), encoding="utf-8")
    assert hf_toedit("card", copy).code == 0
    card = (copy / "README.md").read_text(encoding="utf-8")
    assert r"with what my\_rule:Band selects were resampled from its candidates by my\_sampler:Second." in card


def test_a_plan_imports_nothing_unasked(own: HfToEdit, run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    told = own.fails("run", copy, "--generations", 2, code=2)
    assert "names Python code (select 'my_rule:Band', sampler 'my_sampler:Second')" in told
    assert "--trust-remote-code" in told
    assert "--trust-remote-code" in own.fails("slurm", "--array", 1, copy, code=2)
    assert own("run", copy, "--generations", 2, "--trust-remote-code", "--quiet").code == 0


def test_a_run_does_not_go_on_with_other_code(own: HfToEdit, run: Path, folder: Path, tmp_path: Path) -> None:
    copy, code = tmp_path / "run", folder / "my_sampler.py"
    shutil.copytree(run, copy)
    before = code.read_text(encoding="utf-8")
    code.write_text(before.replace("np.ones", "np.zeros"), encoding="utf-8")
    try:
        told = own.fails("run", copy, "--generations", 2, "--trust-remote-code", "--json")
    finally:
        code.write_text(before, encoding="utf-8")
    assert told.startswith("--sampler 'my_sampler:Second' is not the one that was planned: its code has changed.")


def test_a_prior_works_in_runs(own: HfToEdit, hf_toedit: HfToEdit, folder: Path, tmp_path: Path) -> None:  # noqa: F811
    how = ("edit", "sample", "--limit", 4, "--num-shards", 2, *PRIOR, "--quiet")
    for name, workers in (("inline", 0), ("local", 2)):
        done = own(*how, "-o", tmp_path / name, "--workers", workers)
        assert (done.code, done.stderr) == (0, ""), done
    rows = parquet(tmp_path / "inline")
    assert len(rows) == 2 and parquet(tmp_path / "local") == rows
    plan = json.loads((tmp_path / "inline" / "toedit" / "plan.json").read_text(encoding="utf-8"))
    assert plan["task"]["prior"] == {**PriorConfig("my_prior:Zipf", dtype="float32", trust_remote_code=True).to_json()}
    assert re.fullmatch(r"[0-9a-f]{40}", plan["task"]["prior_revision"])
    edited = load(tmp_path / "inline")["train"]
    assert sum(log["num_changed"] for log in edited["toedit"]) > 20
    assert hf_toedit("verify", tmp_path / "inline").code == 0
    assert "Python code" in hf_toedit.fails("run", tmp_path / "inline", "--workers", 0, code=2)
    # It resumes after a shard is deleted, with the same bytes; not with other code.
    for path in [*(tmp_path / "inline").rglob("train-00001*")]:
        path.unlink()
    code = folder / "my_prior.py"
    before = code.read_text(encoding="utf-8")
    code.write_text(before + "\n", encoding="utf-8")
    try:
        told = own.fails("run", tmp_path / "inline", "--trust-remote-code", "--json")
        assert "prior 'my_prior:Zipf' is not the one that was planned" in told
    finally:
        code.write_text(before, encoding="utf-8")
    assert own(*how, "-o", tmp_path / "inline").code == 0
    assert parquet(tmp_path / "inline") == rows


def test_a_prior_scores_by_its_own_numbers(importable: Path) -> None:
    prior = load_prior(PriorConfig("my_prior:Zipf", trust_remote_code=True))
    editor = Editor(prior, EditConfig(select="below", threshold=0.01, sampler="top-p", top_p=0.4, temperature=2.0))
    texts = stories(2)
    result = editor.edit(texts)
    assert result.revert() == texts and result.stats.num_changed > 20
    weights = np.sqrt(1 / np.arange(1, prior.tokenizer.get_vocab_size() + 1))
    inside = int((np.cumsum(weights) - weights < 0.4 * weights.sum()).sum())
    for document in result.documents:
        assert document.reading is not None
        assert (np.isfinite(document.reading.scores.candidate_logprobs).sum(axis=1) == inside).all()
        assert document.reading.drawn.max() < inside


def test_an_engine_edits_a_planned_run(own: HfToEdit, folder: Path, tmp_path: Path) -> None:
    how = ("sample", "--limit", 4, "--num-shards", 2, "--quiet")
    assert own("plan", *how, "-o", tmp_path / "run").code == 0
    run_snippet((folder / "my_engine.py").read_text(encoding="utf-8"), "", tmp_path, {**os.environ, **own.env})
    assert own("edit", *how, "-o", tmp_path / "other").code == 0
    assert parquet(tmp_path / "run") == parquet(tmp_path / "other")
    assert "# " in (tmp_path / "run" / "README.md").read_text(encoding="utf-8")
    assert json.loads(own("status", tmp_path / "run", "--json").stdout)["finished"]


def test_a_task_works_in_runs(own: HfToEdit, hf_toedit: HfToEdit, tmp_path: Path) -> None:  # noqa: F811
    run = tmp_path / "run"
    check = f"""
        import hf_toedit
        from my_task import Lengths

        done = hf_toedit.run_task("sample", {str(run)!r}, Lengths("length"), limit=6, num_shards=3, workers=2)
        assert done.verify().problems == [] and done.stats().num_rows == 6
        """
    run_snippet(dedent(check), "", tmp_path, {**os.environ, **own.env})
    rows = load(run)["train"]
    assert rows["length"] == [len(text) for text in rows["text"]]
    status = own("status", run, "--json").json
    assert (status["task"], status["passes"]) == ("lengths", [{"name": "lengths", "num_shards": 3, "num_rows": 6}])
    assert "measured by hf-toedit" in (run / "README.md").read_text(encoding="utf-8")

    next(run.rglob("train-00001*.parquet")).unlink()
    assert own("run", run, "--workers", 1, "--quiet").code == 0 and load(run)["train"].num_rows == 6
    plan = run / "toedit" / "plan.json"
    before = plan.read_text(encoding="utf-8")
    plan.write_text(before.replace('"column": "length"', '"column": 3'), encoding="utf-8")
    assert "task.column must be a string, not 3." in own.fails("status", run)
    plan.write_text(before, encoding="utf-8")
    assert "task 'lengths' is not known here" in hf_toedit.fails("status", run), "it is not installed there"


def test_preview_draws_with_them(own: HfToEdit, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = own("preview", "sample", "-n", 1, *OWN, "--html", page)
    assert (done.code, done.stderr) == (0, "")
    assert "selected: 0.3 ≤ p ≤ 0.99" in done.stdout
    assert "selected: 0.3 ≤ p ≤ 0.99" in page.read_text(encoding="utf-8")


def test_load_dataset_draws_with_them_and_caches_by_their_code(importable: Path, tmp_path: Path) -> None:
    def loaded() -> Any:
        return package.load_dataset(
            "sample",
            split="train",
            limit=2,
            sampler="my_sampler:Second",
            select="my_rule:Band",
            cache_dir=str(tmp_path),
        )

    first = loaded()
    assert sum(log["num_changed"] for log in first["toedit"]) > 20
    assert loaded().cache_files == first.cache_files
    code = importable / "my_sampler.py"
    before = code.read_text(encoding="utf-8")
    code.write_text(before + "\n", encoding="utf-8")
    try:
        assert loaded().cache_files != first.cache_files
    finally:
        code.write_text(before, encoding="utf-8")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"sampler": "nowhere:Second"}, "module 'nowhere' cannot be imported (ModuleNotFoundError: No module named"),
        ({"sampler": "my_sampler:Secnod"}, "has no class 'Secnod'. Did you mean 'Second'?"),
        ({"sampler": "mistakes:NoSampler"}, "must be derived from hf_toedit.editing.samplers.Sampler."),
        ({"sampler": "my_rule:Band"}, "sampler 'my_rule:Band' must be derived from"),
        ({"sampler": "mistakes:HalfSampler"}, "cannot be made (TypeError: Can't instantiate abstract class"),
        ({"sampler": "mistakes:Nowhere"}, "Nowhere.draw must return an array of "),
        ({"select": "my_sampler:Second"}, "must be derived from hf_toedit.editing.rules.Rule."),
        ({"select": "mistakes:Numbers"}, "Numbers.selected must return an array of "),
        ({"prior": "my_prior:Zipf", "trust_remote_code": False}, "use --trust-remote-code"),
        ({"prior": "my_prior:Zpif"}, "Did you mean 'Zipf'?"),
        ({"prior": "my_prior:Zipf", "prior_revision": "main"}, "has no revisions"),
        ({"prior": "my_prior:Zipf", "backend": "vllm"}, "does not use a backend"),
        ({"prior": "mistakes:HalfPrior"}, "has no revision, dtype, concurrency, batch_bytes, score, render. Derive"),
        ({"prior": "mistakes:OtherTokenizer"}, "must be a tokenizers.Tokenizer, not str"),
        ({"prior": "mistakes:Broken"}, "cannot be made (KeyError: 'weights')"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(importable: Path, settings: dict[str, str], told: str) -> None:
    settings = {"prior": "embedded", "trust_remote_code": True, **settings}  # type: ignore[dict-item]
    with pytest.raises(ToEditError) as caught:
        package.ToEditor.from_pretrained(**settings).edit(stories(1))  # type: ignore[arg-type]
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_mistakes_on_the_command_line_are_found_before_any_work(own: HfToEdit, tmp_path: Path) -> None:
    for options, told in (
        (("--sampler", "my_sampler:Secnod"), "Did you mean 'Second'?"),
        (("--select", "nowhere:Band"), "PYTHONPATH"),
        (("--prior", "my_prior:Zipf"), "--trust-remote-code"),
        (("--prune", *OWN), "--select above"),
    ):
        assert told in own.fails("edit", "nowhere.parquet", "-o", tmp_path / "run", *options, code=2)
    assert not (tmp_path / "run").exists()
    with pytest.raises(UsageError, match="sampler 'top_k' is not known. Did you mean 'top-k'?"):
        EditConfig(sampler="top_k")
