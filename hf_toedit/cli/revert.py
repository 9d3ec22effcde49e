"""`hf-toedit revert`: rebuilds the source rows from a single generation."""

from __future__ import annotations

import json
from typing import Any

import click

from hf_toedit.cli import completion
from hf_toedit.cli.help import EDIT, OUTPUT, SOURCE, command, option
from hf_toedit.cli.libraries import quiet_hub, quiet_libraries
from hf_toedit.cli.next_steps import load_line, next_steps
from hf_toedit.cli.options import json_option, messages_column_option, quiet_option, roles_option, text_column_option
from hf_toedit.config import TextConfig


@command(purpose=EDIT, short_help="Rebuild the source rows exactly.")
@click.argument("run", shell_complete=completion.folders)
@text_column_option
@messages_column_option
@roles_option
@option("--generation", group=SOURCE, type=int, metavar="G", help="Generation to start from.  [default: the last]")
@option("--edit-log-column", group=SOURCE, metavar="NAME", help="Column of the edit log.  [default: toedit]")
@option("--skip-unrevertible", group=OUTPUT, is_flag=True,
        help="Leave out rows with a missing or wrong edit log, instead of failing.")  # fmt: skip
@option("-o", "--output", group=OUTPUT, required=True, metavar="OUT", shell_complete=completion.folders,
        help="New folder for the source rows.")  # fmt: skip
@json_option
@quiet_option
def revert(
    run: str,
    output: str,
    generation: int | None,
    skip_unrevertible: bool,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Rebuild the source rows of RUN in the folder OUT, exactly, from a single generation.

    RUN is a run folder, or a dataset with an edit log (as SOURCE of `hf-toedit edit`). OUT gets Parquet files, which
    `load_dataset(OUT)` loads. If any row has a missing or wrong edit log, nothing is written.

    \b
    Examples:
      hf-toedit revert run -o source
    """  # noqa: D301
    quiet_libraries(show_progress=False, quiet=quiet or as_json)
    quiet_hub()
    from hf_toedit.api.revert import revert_rows

    roles = {"roles": options["roles"]} if options["roles"] else {}
    texts = TextConfig(text_columns=options["text_column"], messages_column=options["messages_column"], **roles)
    reverted = revert_rows(
        run,
        output,
        generation=generation,
        texts=texts,
        edit_log_column=options["edit_log_column"],
        skip_unrevertible=skip_unrevertible,
    )
    if as_json:
        skipped = {"num_unrevertible": reverted.num_lost} if skip_unrevertible else {}
        click.echo(json.dumps({"output": str(reverted.folder), "num_rows": reverted.num_rows, **skipped}, indent=2))
    elif not quiet:
        click.echo(f"Reverted {reverted.num_rows.total():,} rows. Source rows: {reverted.folder}")
        click.echo(next_steps(load=load_line(str(reverted.folder))))
