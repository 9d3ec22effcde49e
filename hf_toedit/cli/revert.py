"""`hf-toedit revert`: the source dataset again, from any one generation alone."""

from __future__ import annotations

import json
from typing import Any

import click

from hf_toedit.cli.libraries import quiet_hub, quiet_libraries
from hf_toedit.cli.next_steps import load_line, next_steps
from hf_toedit.cli.options import json_option, messages_column_option, quiet_option, roles_option, text_column_option
from hf_toedit.config import TextConfig


@click.command(short_help="Rebuild the source rows, exactly.")
@click.argument("run")
@click.option("-o", "--output", required=True, metavar="OUT", help="New folder for the source rows.")
@click.option("--generation", type=int, metavar="G", help="Generation to start from.  [default: the last]")
@text_column_option
@messages_column_option
@roles_option
@click.option("--edit-log-column", metavar="NAME", help="Its edit log.  [default: toedit]")
@click.option(
    "--skip-unrevertible", is_flag=True, help="Leave out rows whose edit log is missing or wrong, instead of failing."
)
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
    """Rebuild the source rows of RUN in the folder OUT, exactly, from any one generation alone.

    RUN is a run folder, whose plan says which texts were edited, or, as a source of `edit` may be, files or a Hub
    dataset whose rows carry an edit log. OUT holds Parquet files that `datasets.load_dataset(OUT)` loads. If the source
    of any row is not known, since its edit log is missing or does not fit its text, nothing is written.
    """
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
