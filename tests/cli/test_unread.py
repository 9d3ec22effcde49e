"""A run in which no text could be read fails with a reason; a run without texts succeeds."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
from datasets import Dataset

from hf_toedit.errors import RunError
from hf_toedit.runs.monitor import check_read
from hf_toedit.stats import EditStats
from tests.cli.command import HfToEdit
from tests.cli.fixtures import load
from tests.shared import shared

READABLE = "Once upon a time."
UNREADABLE = "Qu"
REFUSAL = "no tools here"
TEMPLATE = (
    "{% for m in messages %}{% if m.role == 'tool' %}{{ raise_exception('"
    + REFUSAL
    + "') }}{% endif %}{{ m.content }} {% endfor %}"
)


@pytest.fixture(scope="module")
def prior(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create a prior with fewer tokens than its tokenizer, and with a chat template that refuses tools."""
    from tokenizers import Tokenizer
    from transformers import AutoModelForCausalLM

    original, folder = shared("models/stories260K"), tmp_path_factory.mktemp("prior")
    tokenizer = Tokenizer.from_file(str(original / "tokenizer.json"))
    num_known = max(tokenizer.encode(READABLE).ids) + 1
    assert max(tokenizer.encode(UNREADABLE).ids) >= num_known
    model = AutoModelForCausalLM.from_pretrained(original)
    model.resize_token_embeddings(num_known)
    model.save_pretrained(folder)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(original / file, folder / file)
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    return folder


def _texts(folder: Path, *texts: str | None) -> Path:
    Dataset.from_dict({"text": texts}).to_parquet(folder / "a.parquet")
    return folder / "a.parquet"


def _chats(folder: Path, *roles: str) -> Path:
    rows = [[{"role": role, "content": "Hi."}, {"role": "assistant", "content": READABLE}] for role in roles]
    Dataset.from_dict({"messages": rows}).to_parquet(folder / "chats.parquet")
    return folder / "chats.parquet"


class TestPrior:
    """Texts on which the prior fails."""

    def test_all_of_them(self, hf_toedit: HfToEdit, prior: Path, tmp_path: Path) -> None:
        source, run = _texts(tmp_path, UNREADABLE, "", UNREADABLE), tmp_path / "run"
        asked = "edit", source, "-o", run, "--prior", prior, "--num-shards", 2
        for options in (("-q",), ("-q", "--workers", 1)):  # the second time, no work is left
            said = hf_toedit.fails(*asked, *options)
            assert said.startswith("no text could be read, so nothing was edited (1 empty, 2 prior_failed). Of one ")
            assert "its tokenizer is larger than the model" in said and "--dtype" in said
        assert load(run)["train"]["text"] == [UNREADABLE, "", UNREADABLE]
        assert "**No text could be read**" in (run / "README.md").read_text()
        assert "no text could be read" in hf_toedit("status", run).stdout
        assert hf_toedit("verify", run, "-q").code == 0
        done = hf_toedit(*asked, "--json")
        assert (done.code, done.json["finished"]) == (1, True)
        assert done.stderr.startswith("Error: no text could be read")
        assert "its tokenizer is larger than the model" in done.json["generations"][0]["skip_reasons"]["prior_failed"]

    def test_by_workers(self, hf_toedit: HfToEdit, prior: Path, tmp_path: Path) -> None:
        source = _texts(tmp_path, UNREADABLE)
        said = hf_toedit.fails("edit", source, "-o", tmp_path / "run", "--prior", prior, "-q", "--workers", 1)
        assert "1 prior_failed" in said and "its tokenizer is larger than the model" in said

    def test_some_of_them(self, hf_toedit: HfToEdit, prior: Path, tmp_path: Path) -> None:
        source = _texts(tmp_path, UNREADABLE, READABLE)
        assert hf_toedit("edit", source, "-o", tmp_path / "run", "--prior", prior, "-q", "--num-shards", 2).code == 0
        assert "could be read" not in (tmp_path / "run/README.md").read_text()

    def test_many_end_the_run_before_all_is_done(self, hf_toedit: HfToEdit, prior: Path, tmp_path: Path) -> None:
        """The card is written, although the first row groups that it reads contain no edits."""
        source, run = _texts(tmp_path, *[UNREADABLE] * 1100, READABLE, *[UNREADABLE] * 1099), tmp_path / "run"
        asked = "edit", source, "-o", run, "--prior", prior, "--num-shards", 2, "-q"
        assert "(1,100 prior_failed)" in hf_toedit.fails(*asked)
        assert hf_toedit("status", run, "--json").json["num_done"] == 1
        assert hf_toedit(*asked).code == 0  # continues after it, and reads a text there

    def test_a_preview(self, hf_toedit: HfToEdit, prior: Path, tmp_path: Path) -> None:
        done = hf_toedit("preview", _texts(tmp_path, UNREADABLE), "--prior", prior, "--json")
        assert (done.code, done.json["texts"][0]["skipped"]) == (1, "prior_failed")
        assert "Error: no text could be read, so nothing was edited (1 prior_failed)." in done.stderr
        assert hf_toedit("preview", tmp_path / "a.parquet", "--limit", 1).code == 0


class TestTemplate:
    """Conversations that the chat template refuses."""

    def test_all_of_them(self, hf_toedit: HfToEdit, prior: Path, tmp_path: Path) -> None:
        options = _chats(tmp_path, "tool", "tool"), "--messages-column", "messages", "--prior", prior
        said = hf_toedit.fails("edit", *options, "-o", tmp_path / "run", "-q")
        assert "(2 template_failed)" in said and REFUSAL in said and "--text-column" in said
        preview = hf_toedit("preview", *options, "--json")
        assert preview.code == 1 and f"{REFUSAL}. Use a --prior whose chat template" in preview.stderr

    def test_some_of_them(self, hf_toedit: HfToEdit, prior: Path, tmp_path: Path) -> None:
        options = _chats(tmp_path, "tool", "user"), "--messages-column", "messages", "--prior", prior
        assert hf_toedit("edit", *options, "-o", tmp_path / "run", "-q").code == 0


def test_reasons_merge_in_any_order_and_are_kept() -> None:
    parts = []
    for reason in ("b", "a", "c"):
        parts.append(EditStats(num_documents=1, num_skipped=Counter(prior_failed=1)))
        parts[-1].add_skip_reason("prior_failed", reason)
    parts.append(EditStats())
    merged = EditStats.merged(parts)
    assert merged == EditStats.merged(reversed(parts))
    assert merged.skip_reasons == {"prior_failed": "a"}
    assert EditStats.from_json(json.loads(json.dumps(merged.to_json()))) == merged
    assert "skip_reasons" not in EditStats().to_json()
    with pytest.raises(RunError, match="3 prior_failed.*Of one text: a. Use another --prior"):
        check_read(merged)
    check_read(EditStats(num_documents=3, num_skipped=Counter(prior_failed=2)))
    check_read(EditStats(num_documents=2, num_skipped=Counter(null=1, empty=1)))
