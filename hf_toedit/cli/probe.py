"""`hf-toedit probe`: reports whether training on a dataset makes better models."""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import click

from hf_toedit.cli import completion
from hf_toedit.cli.amounts import num_tokens
from hf_toedit.cli.engines import interruptible
from hf_toedit.cli.help import JUDGE, OUTPUT, command, option
from hf_toedit.cli.libraries import quiet_libraries, quiet_transformers
from hf_toedit.cli.options import (
    config_option,
    device_option,
    json_option,
    limit_option,
    listed,
    messages_column_option,
    quiet_option,
    roles_option,
    split_option,
    text_column_option,
)
from hf_toedit.cli.push import report_push_option
from hf_toedit.errors import UsageError

_EVALUATION = "How to evaluate"
_TRAINING = "How to train"
_SOURCES = ("split", "limit", "text_column", "messages_column", "roles")
_SETTINGS = (
    "model", "tokenizer", "max_epochs", "context", "batch_size", "seeds", "lora", "drop_contaminated", "keep_models",
    "report_to", "tasks", "task_limit", "task_folder", "device",
)  # fmt: skip


@command(purpose=JUDGE, short_help="Report whether training on a dataset helps.")
@click.argument("variants", nargs=-1, required=True, metavar="NAME=SOURCE...", shell_complete=completion.files)
@split_option
@limit_option
@text_column_option
@messages_column_option
@roles_option
@option("--eval", "evals", group=_EVALUATION, multiple=True, metavar="NAME=SOURCE",
        help="Held-out text to score the models on. Repeatable.")  # fmt: skip
@option("--drop-contaminated/--keep-contaminated", group=_EVALUATION, rare=True, default=False,
        help="Remove training documents that share 13 words in a row with held-out text.  "
        "[default: keep and report them]")  # fmt: skip
@option("--tasks", group=_EVALUATION, multiple=True, callback=listed, metavar="NAME",
        help="lm-eval tasks, such as piqa,arc_easy (extra tasks).")  # fmt: skip
@option("--task-limit", group=_EVALUATION, rare=True, type=int, metavar="N",
        help="Maximum number of documents per task.  [default: all]")  # fmt: skip
@option("--task-folder", group=_EVALUATION, rare=True, metavar="PATH", shell_complete=completion.folders,
        help="Folder with YAML files of your own lm-eval tasks.")  # fmt: skip
@option("--model", group=_TRAINING, default="tiny", show_default=True, metavar="NAME",
        help="Model to train from scratch (tiny, small, gpt2, CONFIG.json), or pretrained (local folder, Hub id).",
        shell_complete=completion.files)  # fmt: skip
@option("--tokenizer", group=_TRAINING, rare=True, metavar="NAME",
        help="Tokenizer: a local folder or a Hub id.  [default: the model's; embedded for tiny, small and "
        "CONFIG.json]")  # fmt: skip
@option("--tokens", group=_TRAINING, metavar="N",
        help="Number of training tokens per model, such as 2M.  [default: as --max-epochs allows]")  # fmt: skip
@option("--max-epochs", group=_TRAINING, rare=True, type=float, default=1.0, show_default=True, metavar="N",
        help="Maximum number of epochs over the smallest dataset.")  # fmt: skip
@option("--context", group=_TRAINING, rare=True, type=int, default=256, show_default=True, metavar="N",
        help="Number of tokens per block.")  # fmt: skip
@option("--batch-size", group=_TRAINING, rare=True, type=int, metavar="N",
        help="Number of blocks per step.  [default: 16, or fewer for at least 200 steps]")  # fmt: skip
@option("--learning-rate", "learning_rates", group=_TRAINING, type=float, multiple=True, metavar="RATE",
        help="Peak learning rate. Repeatable.  [default: 0.0003 and 0.001 from scratch, 0.00001 and 0.0001 "
        "pretrained, twice that with --lora]")  # fmt: skip
@option("--seeds", group=_TRAINING, type=int, default=3, show_default=True, metavar="N", help="Number of seeds.")
@option("--lora", group=_TRAINING, is_flag=True, help="Train LoRA adapters instead of all weights.")
@option("--report-to", group=_TRAINING, rare=True, default="none", show_default=True, metavar="NAME",
        help="Tracking service of transformers.Trainer: trackio, wandb, …")  # fmt: skip
@device_option
@option("-o", "--output", group=OUTPUT, metavar="REPORT", shell_complete=completion.folders,
        help="Report folder to write.")  # fmt: skip
@option("--dry-run", group=OUTPUT, is_flag=True, help="Train a few steps; estimate tokens, time and cost.")
@option("--price-per-hour", group=OUTPUT, rare=True, type=click.FloatRange(min=0), metavar="PRICE",
        help="Price of this machine, for the cost that --dry-run reports.")  # fmt: skip
@option("--keep-models", group=OUTPUT, rare=True, is_flag=True,
        help="Keep the weights of the trained models in REPORT/work/models.")  # fmt: skip
@report_push_option
@config_option
@json_option
@quiet_option
def probe(variants: tuple[str, ...], output: str | None, **options: Any) -> None:
    """Report whether training on a dataset makes better models than training on the first one, the reference.

    Trains a small model per dataset, learning rate and seed, on the same number of tokens, and scores it on held-out
    human text (--eval). A dataset is better or worse only if the 95 % interval of the difference in perplexity excludes
    zero. SOURCE is as in `hf-toedit edit`; RUN:gen2 is a generation of a run folder. Requires hf-toedit[probe].

    REPORT is a folder with report.md, report.html and report.json. The same command continues an interrupted probe,
    from the models in REPORT/work.

    \b
    Examples:
      hf-toedit probe human=org/web edited=run:gen1 --eval test=org/test -o report
      hf-toedit probe a=a.jsonl b=b.jsonl --eval c=c.jsonl -o report --model gpt2
    """  # noqa: D301
    if output is None and not options["dry_run"]:
        raise UsageError("no output folder. Name one with -o, or use --dry-run.")
    is_silent = options["quiet"] or options["as_json"]
    quiet_libraries(show_progress=not is_silent, quiet=is_silent)
    quiet_transformers()
    from hf_toedit.api.named import parsed
    from hf_toedit.api.probe import estimate_probe
    from hf_toedit.api.probe import probe as run_probe
    from hf_toedit.hub.repository import Repository
    from hf_toedit.probes.processes import is_main
    from hf_toedit.publish.report import push_report

    repo = options["push_to"]
    if repo is not None:
        Repository(repo)  # checks the name before the work
    named, evals = parsed(variants, "variant"), parsed(options["evals"], "evaluation set")
    settings = {name: options[name] for name in (*_SOURCES, *_SETTINGS) if options[name] not in (None, ())}
    if options["tokens"] is not None:
        settings["num_tokens"] = num_tokens(options["tokens"])
    if options["learning_rates"]:
        settings["learning_rates"] = options["learning_rates"]
    address = None
    with interruptible(), redirect_stdout(sys.stderr):  # of what trackers print
        if output is None or options["dry_run"]:
            found = estimate_probe(named, evals, price_per_hour=options["price_per_hour"], **settings)
        else:
            found = run_probe(named, evals, output, progress=not is_silent, **settings)
            address = push_report(output, repo, "probe") if repo is not None and is_main() else None
    if not is_main():
        return
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
    from hf_toedit.cli.output import counted

    available = ", ".join(f"{name} {count:,}" for name, count in found["variants"].items())
    rates = " and ".join(f"{rate:g}" for rate in found["learning_rates"])
    click.echo(f"Tokens: {available}; {found['num_tokens']:,} per model")
    click.echo(f"Models: {found['models']} ({found['seeds']} seeds, learning rates {rates})")
    blocks = counted(found["batch_size"], "block")
    click.echo(f"Steps:  {found['num_steps']:,} per model, {blocks} of {found['context']} tokens each")
    if found["tasks"]:
        click.echo(f"Tasks:  {', '.join(found['tasks'])}")
    click.echo(f"Time:   {found['hours']:.2f} hours on this machine{', without tasks' if found['tasks'] else ''}")
    if found["cost"] is not None:
        click.echo(f"Cost:   {found['cost']:,.2f}")
