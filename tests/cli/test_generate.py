"""`hf-toedit generate`: rows do not depend on workers or batches, and the other commands accept its runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from datasets import Dataset, List, Value

import hf_toedit as package
from hf_toedit.api.generated import GenerateSettings
from hf_toedit.cli.generate import generate as generate_command
from hf_toedit.runs.store import RunFolder
from tests.cli.command import HfToEdit, prior
from tests.cli.fixtures import load, parquet, same
from tests.cli.pushing import pushed
from tests.generation.models import TEMPLATE, copied, stories
from tests.hub_server import HubServer

ASKED = ("--num-candidates", 2, "--max-new-tokens", 12, "--prompt-tokens", 8, "--temperature", 1.2)


@pytest.fixture(scope="module")
def generated(hf_toedit: HfToEdit, source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generate candidates for rows with every kind of column."""
    run = tmp_path_factory.mktemp("generated") / "run"
    done = hf_toedit("generate", source, "-o", run, *prior(), *ASKED, "--top-k", 40, "--top-p", 0.95)
    assert (done.code, done.stderr) == (0, ""), done
    assert "candidates of" in done.stdout and "perplexity" in done.stdout
    return run


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def stats(run: Path) -> Any:
    folder = RunFolder(run)
    plan = folder.plan()
    return folder.merged_stats(plan, plan.passes[0])


def test_rows_keep_all_columns_and_get_candidates(hf_toedit: HfToEdit, source: Path, generated: Path) -> None:
    rows = load(generated)["train"]
    assert rows.column_names[-1] == "candidates" and rows.features["candidates"] == List(Value("string"))
    assert same(rows.remove_columns("candidates"), Dataset.from_parquet(str(source)))
    empty = [not text for text in rows["text"]]
    assert [len(some) for some in rows["candidates"]] == [0 if none else 2 for none in empty]
    found = stats(generated)
    assert (found.num_rows, found.num_candidates) == (14, 2 * (14 - sum(empty)))
    assert found.num_skipped == {"null": 1, "empty": 1}
    assert hf_toedit("verify", generated).code == 0
    told = hf_toedit("status", generated, "--json").json
    assert told["task"] == "generate" and told["passes"][0]["num_candidates"] == found.num_candidates


def test_rows_do_not_depend_on_shards_and_workers(
    hf_toedit: HfToEdit, source: Path, generated: Path, tmp_path: Path
) -> None:
    asked = (*prior(), *ASKED, "--top-k", 40, "--top-p", 0.95, "--num-shards", 3)
    assert hf_toedit("generate", source, "-o", tmp_path / "run", *asked, "--workers", 2, "--quiet").code == 0
    assert same(load(tmp_path / "run")["train"], load(generated)["train"])
    mine, other = (stats(run).to_json() for run in (tmp_path / "run", generated))
    assert {**mine, "seconds": None} == {**other, "seconds": None}


def test_a_run_that_is_planned_killed_and_resumed(
    hf_toedit: HfToEdit, source: Path, generated: Path, tmp_path: Path
) -> None:
    asked = (*prior(), *ASKED, "--top-k", 40, "--top-p", 0.95)
    run = tmp_path / "run"
    assert hf_toedit("generate", source, "-o", run, *asked, "--num-shards", 4, "--plan-only", "-q").code == 0
    assert hf_toedit("run", run, "-q", kill_when=lambda: parquet(run)).code == -9
    kept = parquet(run)
    assert hf_toedit("run", run, "-q").code == 0
    assert 1 <= len(kept) < 4 == len(parquet(run))
    assert {name: parquet(run)[name] for name in kept} == kept
    assert same(load(run)["train"], load(generated)["train"])
    assert hf_toedit("verify", run).code == 0


def test_candidates_go_to_the_hub_and_back(
    command: HfToEdit, hub: HubServer, source: Path, generated: Path, tmp_path: Path
) -> None:
    name, asked = "org/generated", (*prior(), *ASKED, "--top-k", 40, "--top-p", 0.95, "--quiet")
    done = command("generate", source, "-o", tmp_path / "run", *asked, "--push-to", name)
    assert (done.code, done.stderr) == (0, ""), done
    files = pushed(hub, name).head("main").files
    assert {path: data for path, data in files.items() if path.endswith(".parquet")} == parquet(generated)
    assert "synthetic" in files["README.md"].decode()
    assert command("pull", name, "-o", tmp_path / "back", "--quiet").code == 0
    assert parquet(tmp_path / "back") == parquet(generated) and command("verify", name).code == 0


def test_the_best_of_the_candidates(hf_toedit: HfToEdit, generated: Path, tmp_path: Path) -> None:
    asked = ("--best-of", "candidates", "--by", "perplexity", "--keep", "lowest", *prior(), "-q")
    assert hf_toedit("select", generated, "-o", tmp_path / "best", *asked).code == 0
    for row in load(tmp_path / "best")["train"].select_columns(["candidates", "best"]):
        assert row["best"] in row["candidates"] if row["candidates"] else row["best"] is None
    assert hf_toedit("verify", tmp_path / "best").code == 0


def test_answers_to_columns_and_conversations_by_python(hf_toedit: HfToEdit, tmp_path: Path) -> None:
    chat = copied(tmp_path / "chat", stories(), TEMPLATE)
    rows = [
        {"question": "Who is Lily?", "answer": "A girl.", "about": "Lily"},
        {"question": "", "answer": "", "about": ""},
    ]
    told = write(tmp_path / "rows.jsonl", rows)
    how: GenerateSettings = {"prior": chat, "decoding": "beam", "num_candidates": 2, "max_new_tokens": 8}
    quiet: Any = {"workers": 0, "progress": False}
    run = package.generate(told, tmp_path / "run", context_columns="about,question".split(","), **how, **quiet)
    messages = [[{"role": "user", "content": "Lily\n\nWho is Lily?"}, {"role": "assistant", "content": "x"}], []]
    said = write(tmp_path / "chats.jsonl", [{"messages": one} for one in messages])
    other = package.generate(said, tmp_path / "other", messages_column="messages", **how, **quiet)
    first, second = (made.dataset()["train"]["candidates"][:] for made in (run, other))
    assert first == second and [len(some) for some in first] == [2, 0]
    card = (tmp_path / "run/README.md").read_text()
    assert "answers to <code>about</code>, <code>question</code>" in card and "chat template" in card
    assert hf_toedit("verify", tmp_path / "other").code == 0


def test_the_card(generated: Path) -> None:
    card = (generated / "README.md").read_text()
    front = yaml.safe_load(card.split("---")[1])
    assert "synthetic" in front["tags"]
    for words in (
        "continuations of the first 8 tokens of <code>text</code>", "The candidates are synthetic text",
        "sampled at temperature 1.2, from the 40 likeliest tokens, from those with a total probability of 0.95",
        "1 row with an empty prompt, 1 row without a text", "arxiv.org/abs/2412.14689", "arxiv.org/abs/2406.07515",
        "hf-toedit select ./run -o best --best-of candidates", "The licence of the prior is not known.",
    ):  # fmt: skip
        assert words in card, words


def test_a_dry_run_counts_what_would_be_generated(hf_toedit: HfToEdit, source: Path, tmp_path: Path) -> None:
    done = hf_toedit("generate", source, "--dry-run", *prior(), *ASKED)
    assert done.code == 0 and "tokens at most (prompts, and all candidates of full length)" in done.stdout, done
    figures = hf_toedit("generate", source, "--dry-run", *prior(), *ASKED, "--json").json
    assert figures["num_rows"] == 14 and 12 * 24 < figures["num_tokens"] <= 12 * (24 + 9)
    assert figures["tokens_per_second"] > 0


def test_options_of_a_file_and_of_python(hf_toedit: HfToEdit, source: Path, generated: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    values = {
        "num_candidates": 2,
        "max_new_tokens": 12,
        "prompt_tokens": 8,
        "temperature": 1.2,
        "top_k": 40,
        "top_p": 0.95,
    }
    config.write_text(yaml.safe_dump({**values, "prior": stories(), "generations": 2}))
    done = hf_toedit("generate", source, "-o", tmp_path / "run", "--config", config, "-q")
    assert (done.code, done.stderr) == (0, "")
    assert parquet(tmp_path / "run") == parquet(generated)
    options = {option.name for option in generate_command.params}
    assert set(GenerateSettings.__annotations__) - {"prune"} <= options


def test_another_run_in_the_folder_is_refused(hf_toedit: HfToEdit, source: Path, generated: Path) -> None:
    said = hf_toedit.fails("generate", source, "-o", generated, *prior(), *ASKED, "--top-k", 50, "--top-p", 0.95)
    assert "--top-k is 40 in the run and 50 here" in said


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("--top-k", -1), 2, "top_k"),
        (("--decoding", "beam", "--temperature", 1), 2, "--temperature is for sampling"),
        (("--decoding", "greedy", "--num-candidates", 3), 2, "greedy decoding has one candidate per row"),
        (("--candidates-column", "topics"), 1, "already has a column 'topics'. Choose another name with"),
        (("--text-column", "text,body"), 2, "text, body may be several"),
        (("--text-column", "events[].name"), 2, "may be several"),
        (("--messages-column", "events"), 1, "not one list per row of messages"),
        (("--context-columns", "title"), 1, "there is no column 'title'. "),
        (("--prior", "my:Prior", "--trust-remote-code"), 2, "does not generate"),
        (("--tensor-parallel", 2), 2, "--tensor-parallel is for the vLLM backend"),
        (("--plan-only", "--dry-run"), 2, "--plan-only cannot be used with --dry-run or --push-to"),
    ],
)
def test_what_cannot_be_generated_is_refused(
    hf_toedit: HfToEdit, source: Path, tmp_path: Path, args: tuple[object, ...], code: int, said: str
) -> None:
    message = hf_toedit.fails("generate", source, "-o", tmp_path / "run", *prior(), *args, code=code)
    assert said in message


def test_conversations_need_a_chat_template(hf_toedit: HfToEdit, tmp_path: Path) -> None:
    told = write(tmp_path / "chats.jsonl", [{"messages": [{"role": "user", "content": "Hi."}]}])
    message = hf_toedit.fails("generate", told, "-o", tmp_path / "run", *prior(), "--messages-column", "messages")
    assert "has no chat template" in message
