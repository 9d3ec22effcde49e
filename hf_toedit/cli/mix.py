"""`hf-toedit mix`: mixes datasets in shares of tokens."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import click

from hf_toedit.cli import completion
from hf_toedit.cli.amounts import num_tokens
from hf_toedit.cli.engines import engine, left_to_others, plan_steps_option, work_options
from hf_toedit.cli.help import OUTPUT, SELECT, command, option
from hf_toedit.cli.libraries import quiet_libraries
from hf_toedit.cli.options import (
    config_option,
    json_option,
    limit_option,
    messages_column_option,
    quiet_option,
    roles_option,
    split_option,
    text_column_option,
)
from hf_toedit.cli.plan import output_option, said
from hf_toedit.cli.run import report_run
from hf_toedit.errors import UsageError

_HOW = "How to mix"
_SETTINGS = ("split", "limit", "text_column", "messages_column", "roles")


@command(purpose=SELECT, short_help="Mix datasets in shares of tokens.")
@click.argument("datasets", nargs=-1, required=True, metavar="NAME=SOURCE:SHARE...", shell_complete=completion.files)
@split_option
@limit_option
@text_column_option
@messages_column_option
@roles_option
@option("--tokens", group=_HOW, metavar="N", help="Number of tokens of the mixture, such as 50M.  [default: all]")
@option("--tokenizer", group=_HOW, metavar="NAME", shell_complete=completion.folders,
        help="Tokenizer (local folder or Hub id) that counts tokens.  [default: count words]")  # fmt: skip
@option("--max-epochs", group=_HOW, type=float, default=1.0, show_default=True, metavar="N",
        help="Maximum number of times that a row is used.")  # fmt: skip
@option("--seed", group=_HOW, type=int, default=0, show_default=True, metavar="N", help="Random seed for the order.")
@output_option
@option("--name-column", group=OUTPUT, default="mixed_from", show_default=True, metavar="NAME",
        help="New column with the name of a row's dataset.")  # fmt: skip
@plan_steps_option
@work_options
@config_option
@json_option
@quiet_option
def mix(datasets: tuple[str, ...], **options: Any) -> None:
    """Mix datasets in shares of tokens, and shuffle the rows.

    Each share is exact to within one row. Rows are sampled at random; columns that some datasets lack are removed. The
    result has one split, train. The same command continues an interrupted mixture, from RUN/toedit/steps, which may be
    deleted afterwards.

    \b
    Examples:
      hf-toedit mix human=org/web:0.75 made=org/tales:0.25 -o mixed --tokens 5M
      hf-toedit mix human=web.jsonl:0.5 edited=run:gen1:0.5 -o mixed
    """  # noqa: D301
    if options["output"] is None:
        raise UsageError("no output folder. Name one with -o.")
    is_silent = options["quiet"] or options["as_json"]
    quiet_libraries(show_progress=not is_silent, quiet=is_silent)
    from hf_toedit.api.mix import mix_request, mix_rows
    from hf_toedit.api.named import parsed

    shares: dict[str, float] = {}
    sources: dict[str, str] = {}
    for name, given in parsed(datasets, "dataset", "NAME=SOURCE:SHARE", "human=org/web:0.75").items():
        sources[name], shares[name] = _share(name, given)
    how = {name: options[name] for name in ("max_epochs", "name_column", "seed")}
    how["num_tokens"] = None if options["tokens"] is None else num_tokens(options["tokens"])
    settings = {name: options[name] for name in _SETTINGS if options[name] not in (None, ())}
    asked = mix_request(sources, shares, options["tokenizer"], how, settings)
    with left_to_others(options):
        report_run(mix_rows(asked, options["output"], partial(engine, options=options), not is_silent, said()), options)


def _share(name: str, given: str) -> tuple[str, float]:
    found = re.fullmatch(r"(.+):([0-9.]+(?:[eE][-+]?[0-9]+)?)", given)
    try:
        if found is not None:
            return found[1], float(found[2])
    except ValueError:
        pass
    source, colon, share = given.rpartition(":")
    if colon and "/" not in share:
        other = f", or as {name}={given}:0.5 if {share!r} is a generation of a run" if share.isidentifier() else ""
        raise UsageError(
            f"{name}={given} has no share: {share!r} is not a number above 0. Write it as {name}={source}:0.5{other}."
        )
    raise UsageError(f"{name}={given} has no share. Write it as {name}={given}:0.5, for example.")
