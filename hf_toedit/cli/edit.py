"""`hf-toedit edit`: edits a dataset into a run folder."""

from __future__ import annotations

from typing import Any

from hf_toedit.cli.engines import work_options
from hf_toedit.cli.help import EDIT, command
from hf_toedit.cli.options import (
    config_option,
    edit_options,
    json_option,
    quiet_option,
    source_argument,
    source_options,
)
from hf_toedit.cli.plan import edit_asked, plan_and_run, plan_options
from hf_toedit.cli.push import push_to_options


@command(purpose=EDIT, short_help="Edit a dataset: plan and run in one.")
@source_argument
@source_options
@edit_options
@work_options
@plan_options
@push_to_options
@config_option
@json_option
@quiet_option
def edit(source: str, **options: Any) -> None:
    """Edit SOURCE into the run folder RUN, which `load_dataset(RUN)` loads.

    SOURCE is a file, glob or folder (Parquet, JSON lines, CSV, text, Arrow; compressed or not), a Hub dataset
    (org/name), an hf:// path, urls:FILE (a list of web addresses), or `sample`, the bundled dataset. The same command
    continues an interrupted run.

    \b
    Examples:
      hf-toedit edit sample -o run --generations 3
      hf-toedit edit stories.jsonl.gz -o run --prior org/model --protect numbers
      hf-toedit edit org/chats -o run --messages-column messages --roles assistant
    """  # noqa: D301
    plan_and_run(edit_asked(source, options), options)
