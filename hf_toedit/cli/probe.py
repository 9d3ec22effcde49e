"""`hf-toedit probe`: whether training on a dataset makes better models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from hf_toedit.cli.amounts import num_tokens
from hf_toedit.cli.engines import interruptible
from hf_toedit.cli.libraries import quiet_libraries, quiet_transformers
from hf_toedit.cli.options import (
    config_option,
    device_option,
    json_option,
    messages_column_option,
    quiet_option,
    roles_option,
    text_column_option,
)
from hf_toedit.errors import UsageError

_SOURCES = ("split", "limit", "text_column", "messages_column", "roles")
_SETTINGS = (
    "model", "tokenizer", "max_epochs", "context", "batch_size", "seeds", "lora", "drop_contaminated", "keep_models",
    "report_to", "device",
)  # fmt: skip


@click.command(short_help="Report whether training on a dataset helps.")
@click.argument("variants", nargs=-1, required=True, metavar="NAME=SOURCE...")
@click.option("--eval", "evals", multiple=True, metavar="NAME=SOURCE", help="Held-out text. May be repeated.")
@click.option("-o", "--output", metavar="REPORT", help="The folder of the report to write.")
@click.option(
    "--model",
    default="tiny",
    show_default=True,
    metavar="NAME",
    help="tiny, small, gpt2 or a CONFIG.json: trained from scratch. A folder or a Hub id: its weights are trained "
    "further.",
)
@click.option(
    "--tokenizer",
    metavar="NAME",
    help="Tokenizer: a folder or a Hub id.  [default: that of the model; embedded for tiny, small and a CONFIG.json]",
)
@click.option(
    "--tokens",
    metavar="N",
    help="Training tokens per model, such as 2M.  [default: as many as the smallest variant has]",
)
@click.option(
    "--max-epochs",
    type=float,
    default=1.0,
    show_default=True,
    metavar="N",
    help="Number of times that a variant may be read.",
)
@click.option("--context", type=int, default=256, show_default=True, metavar="N", help="Tokens per block.")
@click.option(
    "--batch-size",
    type=int,
    metavar="N",
    help="Blocks per step.  [default: 16, or fewer where that would be less than 200 steps]",
)
@click.option(
    "--learning-rate",
    "learning_rates",
    type=float,
    multiple=True,
    metavar="RATE",
    help="Peak learning rate. May be repeated.  [default: a small and an ordinary one: 0.0003 and 0.001 from scratch, "
    "0.00001 and 0.0001 further, twice that with --lora]",
)
@click.option("--seeds", type=int, default=3, show_default=True, metavar="N", help="Number of seeds.")
@click.option("--lora", is_flag=True, help="Train LoRA adapters instead of all weights.")
@click.option(
    "--drop-contaminated/--keep-contaminated",
    default=False,
    help="Train without documents that share 13 words in a row with the held-out text, or with them.  "
    "[default: keep, and report them]",
)
@click.option("--keep-models", is_flag=True, help="Keep the weights of the trained models in REPORT/work/models.")
@click.option(
    "--report-to",
    default="none",
    show_default=True,
    metavar="NAME",
    help="Service that training reports to, as of transformers.Trainer: trackio, wandb, …",
)
@click.option("--split", metavar="NAME", help="One split of each source.  [default: every split]")
@click.option("--limit", type=int, metavar="N", help="Only the first N rows of each split.")
@text_column_option
@messages_column_option
@roles_option
@device_option
@click.option("--dry-run", is_flag=True, help="Train a few steps only; report tokens, steps, time and cost.")
@click.option(
    "--price-per-hour",
    type=click.FloatRange(min=0),
    metavar="PRICE",
    help="Price of this machine, for the cost that --dry-run reports.",
)
@click.option(
    "--push-to",
    metavar="ORG/NAME",
    help="Add the report to this Hub dataset, beside its data, and link it in the card. A new dataset is private.",
)
@config_option
@json_option
@quiet_option
def probe(variants: tuple[str, ...], output: str | None, **options: Any) -> None:
    """Report whether training on a dataset makes better models than training on the first one, the reference.

    Trains one small model per dataset, learning rate and seed, all on the same number of tokens and, for a seed, from
    the same first weights. Scores each on held-out text (--eval), which should be human. A dataset is better or worse
    only if the difference in perplexity is larger than its 95 % interval; otherwise, the report says which differences
    could have been seen. SOURCE is as for `hf-toedit edit`; RUN:gen2 is a generation of a run folder. Needs
    hf-toedit[probe].

    REPORT is a folder: report.md with pictures in assets/, report.html (the same in one file), and report.json. What
    was trained is kept in work/, so that the same command continues where it was stopped.

    \b
    Examples:
      hf-toedit probe human=org/web edited=run:gen1 --eval books=org/books -o report
      hf-toedit probe a=a.jsonl b=b.jsonl --eval held-out=c.jsonl -o report --model org/model --lora
    """  # noqa: D301
    if output is None and not options["dry_run"]:
        raise UsageError("where to? Name a folder for the report with -o, or use --dry-run.")
    is_silent = options["quiet"] or options["as_json"]
    quiet_libraries(show_progress=not is_silent, quiet=is_silent)
    quiet_transformers()
    from hf_toedit.api.named import parsed
    from hf_toedit.api.probe import estimate_probe
    from hf_toedit.api.probe import probe as run_probe
    from hf_toedit.hub.repository import Repository
    from hf_toedit.publish.report import push_report

    repo = options["push_to"]
    if repo is not None:
        Repository(repo)  # refuses what is no name of one, before the work is done
    named, evals = parsed(variants, "variant"), parsed(options["evals"], "evaluation set")
    settings = {name: options[name] for name in (*_SOURCES, *_SETTINGS) if options[name] not in (None, ())}
    if options["tokens"] is not None:
        settings["num_tokens"] = num_tokens(options["tokens"])
    if options["learning_rates"]:
        settings["learning_rates"] = options["learning_rates"]
    address = None
    with interruptible():
        if output is None or options["dry_run"]:
            found = estimate_probe(named, evals, price_per_hour=options["price_per_hour"], **settings)
        else:
            found = run_probe(named, evals, output, progress=not is_silent, **settings)
            address = push_report(output, repo, "probe") if repo is not None else None
    if options["as_json"]:
        click.echo(json.dumps(found, indent=2))
    elif options["dry_run"]:
        _say_estimate(found)
    elif not options["quiet"]:
        _say_verdicts(found, str(output), address)


def _say_verdicts(found: dict[str, Any], output: str, address: str | None) -> None:
    from hf_toedit.analysis.report import MARKDOWN
    from hf_toedit.probes.report import verdict_line

    for name, entry in found["comparisons"].items():
        click.echo(verdict_line(name, entry))
    click.echo(f"Report: {Path(output) / MARKDOWN}")
    if address:
        click.echo(f"Pushed: {address}")


def _say_estimate(found: dict[str, Any]) -> None:
    available = ", ".join(f"{name} {count:,}" for name, count in found["variants"].items())
    rates = " and ".join(f"{rate:g}" for rate in found["learning_rates"])
    click.echo(f"Tokens: {available}; {found['num_tokens']:,} per model")
    click.echo(f"Models: {found['models']} ({found['seeds']} seeds, learning rates {rates})")
    click.echo(f"Steps:  {found['num_steps']:,} per model, {found['batch_size']} blocks of {found['context']} tokens")
    click.echo(f"Time:   {found['hours']:.2f} hours on this machine")
    if found["cost"] is not None:
        click.echo(f"Cost:   {found['cost']:,.2f}")
