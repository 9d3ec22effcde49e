"""`hf-toedit edit`: a dataset in, a run folder out."""

from __future__ import annotations

from typing import Any

import click

from hf_toedit.cli.engines import work_options
from hf_toedit.cli.options import config_option, edit_options, json_option, quiet_option, source_options
from hf_toedit.cli.plan import edit_asked, plan_and_run, plan_options
from hf_toedit.cli.push import push_to_options


@click.command(short_help="Edit a dataset: plan and run in one.")
@click.argument("source")
@plan_options
@source_options
@edit_options
@work_options
@push_to_options
@config_option
@json_option
@quiet_option
def edit(source: str, **options: Any) -> None:
    """Edit SOURCE into the run folder RUN, which `datasets.load_dataset(RUN)` loads.

    SOURCE is a file that `datasets` reads (Parquet, JSON lines, CSV, text, Arrow, …, also compressed), a glob, a
    folder, a `save_to_disk` folder, a Hub dataset (org/name), an `hf://` path, `urls:` and the path of a list of
    http(s) addresses, one a line, or `sample`, the dataset that comes with hf-toedit. This is `hf-toedit plan` and
    `hf-toedit run` in one; a run that was interrupted goes on where it stopped when the same command is given again.

    \b
    Examples:
      hf-toedit edit sample -o run --generations 3
      hf-toedit edit stories.jsonl.gz -o run --prior org/model --protect numbers
      hf-toedit edit org/chats -o run --messages-column messages --roles assistant
    """  # noqa: D301
    plan_and_run(edit_asked(source, options), options)
