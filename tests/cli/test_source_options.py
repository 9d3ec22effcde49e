"""Options with text values: repeated, comma-separated or in a YAML file, they give the same settings."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from hf_toedit.cli.options import config_option, source_config, source_options
from hf_toedit.config import SourceConfig
from hf_toedit.errors import UsageError


def _asked(*given: str) -> SourceConfig:
    asked = []

    @click.command()
    @source_options
    @config_option
    def command(**options: object) -> None:
        asked.append(source_config("rows.parquet", options))

    done = CliRunner().invoke(command, given)
    if done.exception:
        raise done.exception
    return asked[0]


def test_texts_are_named_alike_in_every_way(tmp_path: Path) -> None:
    tasks = SourceConfig("rows.parquet", text_columns=("output", "turns[].body"), context_columns=("task", "input"))
    chats = SourceConfig("rows.parquet", split="train", messages_column="messages", roles=("user", "assistant"))
    file = tmp_path / "options.yaml"
    file.write_text("text-column: [output, 'turns[].body']\ncontext_columns: task,input\n")
    assert _asked() == SourceConfig("rows.parquet", text_columns=("text",), roles=("assistant",))
    assert _asked("--config", str(file)) == tasks
    assert _asked("--text-column", "output, turns[].body", "--context-columns", "task,input") == tasks
    assert _asked("--text-column", "output", "--text-column", "turns[].body", "--context-columns", "task",
                  "--context-columns", "input") == tasks  # fmt: skip
    assert _asked("--messages-column", "messages", "--roles", "user,assistant", "--split", "train") == chats
    file.write_text("messages_column: messages\nroles: [user, assistant]\n")
    assert _asked("--config", str(file), "--split", "train") == chats
    assert _asked("--config", str(file), "--roles", "gpt").roles == ("gpt",)


def test_texts_that_exclude_each_other_are_refused() -> None:
    with pytest.raises(UsageError, match="a messages column is edited alone"):
        _asked("--messages-column", "messages", "--text-column", "text")
    with pytest.raises(UsageError, match="'text' is both edited and context"):
        _asked("--context-columns", "text")
