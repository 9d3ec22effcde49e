"""`hf-toedit mix`: several datasets become one, in shares of tokens."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import click

from hf_toedit.cli.amounts import num_tokens
from hf_toedit.cli.engines import engine, left_to_others, plan_steps_option, work_options
from hf_toedit.cli.libraries import quiet_libraries
from hf_toedit.cli.options import (
    config_option,
    json_option,
    messages_column_option,
    quiet_option,
    roles_option,
    text_column_option,
)
from hf_toedit.cli.plan import output_option, said
from hf_toedit.cli.run import report_run
from hf_toedit.errors import UsageError

_SETTINGS = ("split", "limit", "text_column", "messages_column", "roles")


@click.command(short_help="Mix datasets in shares of tokens.")
@click.argument("datasets", nargs=-1, required=True, metavar="NAME=SOURCE:SHARE...")
@output_option
@click.option("--tokens", metavar="N", help="Tokens of the mixture, such as 50M.  [default: as many as there are]")
@click.option(
    "--tokenizer",
    metavar="NAME",
    help="Counts tokens: that of a model in a local folder or on the Hub.  [default: count words]",
)
@click.option(
    "--max-epochs",
    type=float,
    default=1.0,
    show_default=True,
    metavar="N",
    help="How often the rows of a dataset may be in the mixture.",
)
@click.option(
    "--name-column",
    default="mixed_from",
    show_default=True,
    metavar="NAME",
    help="New column: the name of the dataset that a row is from.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Random seed.")
@click.option("--split", metavar="NAME", help="One split of each source.  [default: every split]")
@click.option("--limit", type=int, metavar="N", help="Only the first N rows of each split.")
@text_column_option
@messages_column_option
@roles_option
@work_options
@plan_steps_option
@config_option
@json_option
@quiet_option
def mix(datasets: tuple[str, ...], **options: Any) -> None:
    """Mix datasets in shares of tokens, and shuffle the rows.

    Each share is exact to within one row. Rows are drawn at random; columns that not all datasets have are left out.
    The result is one split, train. RUN keeps what was counted and laid out in toedit/steps, so that the same command
    continues where it was stopped; that folder may be deleted afterwards.

    \b
    Examples:
      hf-toedit mix human=org/web:0.75 synthetic=org/cosmopedia:0.25 -o mixed --tokens 50M
      hf-toedit mix human=web.jsonl:0.5 edited=run:gen1:0.5 -o mixed --tokenizer org/model
    """  # noqa: D301
    if options["output"] is None:
        raise UsageError("where to? Name a run folder with -o.")
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
    raise UsageError(f"{name}={given} has no share. Write it as {name}={given}:0.5, for one.")
