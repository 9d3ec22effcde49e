"""`hf-toedit plan`: a source becomes a run folder with a plan, to be done by any number of `hf-toedit run`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from hf_toedit.checked import checked
from hf_toedit.cli.engines import engine
from hf_toedit.cli.libraries import quiet_libraries, quiet_transformers
from hf_toedit.cli.options import (
    COMMAND_LINE,
    SOURCE_LICENSE,
    Command,
    config_option,
    edit_options,
    edit_settings,
    json_option,
    quiet_option,
    resources,
    score_result_choice,
    source_config,
    source_options,
    together,
)
from hf_toedit.cli.push import push_along
from hf_toedit.config import RunConfig
from hf_toedit.errors import UsageError

if TYPE_CHECKING:
    from hf_toedit.api.request import RunRequest
    from hf_toedit.api.run import Run
    from hf_toedit.runs.estimate import Estimate
    from hf_toedit.runs.plan import Plan
    from hf_toedit.runs.store import RunFolder
    from hf_toedit.runs.task import Task


def shape_options(command: Command) -> Command:
    """What is made of the source, and in which parts."""
    return together(
        click.option("--generations", type=int, default=1, show_default=True, metavar="G",
                     help="Edit the result again."),
        click.option("--edit-log-column", default="toedit", show_default=True, metavar="NAME",
                     help="Where edits are logged."),
        click.option("--no-edit-log", is_flag=True,
                     help="Leave the edit log out; the result cannot be reverted then."),
        score_result_choice,
        click.option("--flat-columns/--no-flat-columns", default=None,
                     help="Write figures of the edit log as columns of numbers too, which the Hub's viewer plots and "
                          "filters.  [default: with --push-to]"),
        cut_options,
    )(command)  # fmt: skip


def cut_options(command: Command) -> Command:
    """Into which shards a source is cut."""
    return together(
        click.option("--shard-size", metavar="SIZE", default="256MB", show_default=True,
                     help="Text that a shard aims at; `file` makes each file of the source one shard."),
        click.option("--num-shards", type=click.IntRange(min=1), metavar="N", help="Shards of each split, instead."),
    )(command)  # fmt: skip


output_option = click.option("-o", "--output", metavar="RUN", help="The run folder to write, new or of the same run.")


def estimate_options(command: Command) -> Command:
    """That nothing is done, and what is told instead."""
    return together(
        click.option("--dry-run", is_flag=True,
                     help="Write nothing; say how many rows and tokens there are, and how long they take."),
        click.option("--price-per-hour", type=click.FloatRange(min=0), metavar="PRICE",
                     help="Of a device; with --dry-run, the cost is told as well."),
    )(command)  # fmt: skip


def plan_options(command: Command) -> Command:
    """The shape of a run, and where it is written."""
    return together(output_option, shape_options, estimate_options)(command)


@click.command(short_help="Cut a dataset into the shards of a run.")
@click.argument("source")
@plan_options
@source_options
@edit_options
@config_option
@json_option
@quiet_option
def plan(source: str, **options: Any) -> None:
    """Plan how SOURCE is edited into the run folder RUN; `hf-toedit run RUN` then does it.

    Pins source and prior, and cuts the source into shards. Nothing is edited yet, and large files are not read.

    \b
    Examples:
      hf-toedit plan org/dataset -o run --prior org/model --shard-size 500MB
      hf-toedit plan org/dataset --dry-run --price-per-hour 2.5
    """  # noqa: D301
    asked = edit_asked(source, options)
    if options["dry_run"]:
        estimate(asked, options)
    else:
        plan_only(asked, options)


class Asked:
    """A run that was asked for on the command line, its settings checked.

    Attributes:
        request: the run.
        is_silent: nobody wants to see progress.
    """

    def __init__(self, request: RunRequest, options: Mapping[str, Any]) -> None:
        """Check what else can be checked without looking at anything.

        Args:
            request: the run.
            options: of the command.
        """
        self.request = request
        resources(options)
        checked(options.get("price_per_hour") or 0, float, "price_per_hour")
        self.is_silent: bool = options["quiet"] or options["as_json"]
        self._output: str | None = options.get("output")

    @property
    def task(self) -> Task:
        """What is done to the rows."""
        return self.request.task

    def folder(self) -> RunFolder:
        """The folder to write to.

        Raises:
            UsageError: none was named.
            RunError: it cannot be written to, or lies inside the source.
        """
        from hf_toedit.api.request import new_folder

        if self._output is None:
            raise UsageError("where to? Name a run folder with -o, or say --dry-run.")
        return new_folder(self._output, self.request.source)

    def plan(self, resolve: Callable[[], Task]) -> Plan:
        """Find the source and plan; see `RunRequest.plan`."""
        return self.request.plan(resolve, *said())

    def begin(self, folder: RunFolder, resolve: Callable[[], Task]) -> None:
        """Write the plan into a folder; see `RunRequest.begin`."""
        self.request.begin(folder, resolve, *said())


def said() -> tuple[str | None, str | None]:
    """The command as it was typed, and the licence that was named."""
    known = click.get_current_context().meta
    return known.get(COMMAND_LINE), known.get(SOURCE_LICENSE)


def edit_asked(source: str, options: Mapping[str, Any]) -> Asked:
    """A run of edits that was asked for on the command line.

    Raises:
        UsageError: a setting is out of range, or some do not go together.
    """
    from hf_toedit.api.request import RunRequest
    from hf_toedit.tasks.edit import EditTask

    origin = source_config(source, dict(options))
    prior, how = edit_settings(options)
    log_column = None if options["no_edit_log"] else options["edit_log_column"]
    run = RunConfig(options["generations"], log_column, options["score_result"], _flat_columns(log_column, options))
    task = EditTask(prior, how, run)
    return Asked(RunRequest(origin, task, options["shard_size"], options["num_shards"]), options)


def _flat_columns(log_column: str | None, options: Mapping[str, Any]) -> bool | None:
    """What is said of flat columns; they come with a push, save that of a run that was planned before."""
    from hf_toedit.runs.store import is_run

    said: bool | None = options["flat_columns"]
    if said is not None or log_column is None or not options.get("push_to"):
        return said
    output = options.get("output")
    return None if output is not None and is_run(output) else True


def plan_only(asked: Asked, options: Mapping[str, Any]) -> None:
    """Write the plan of a run, and do nothing of it yet."""
    folder = asked.folder()
    quiet_libraries(show_progress=not asked.is_silent, quiet=asked.is_silent)
    asked.begin(folder, asked.task.resolved)
    planned = folder.plan()  # as it was written at first, if the run goes on
    if options["as_json"]:
        click.echo(json.dumps({"run": str(folder.root), **_facts(planned)}, indent=2))
    elif not options["quiet"]:
        click.echo(_told(planned))
        click.echo(f"Next: hf-toedit run {folder.root}")


plan_only_option = click.option(
    "--plan-only", is_flag=True, help="Write the plan only; `hf-toedit run` then does it, here or elsewhere."
)


def plan_or_run(ask: Callable[[], Asked], options: Mapping[str, Any]) -> None:
    """Plan a run, and do it unless --plan-only says not to.

    Args:
        ask: Makes the run that is asked for; called once the options go together.
        options: Of the command line.

    Raises:
        UsageError: They do not go together.
    """
    if options["plan_only"] and (options["dry_run"] or options["push_to"]):
        raise UsageError("--plan-only does nothing but plan. Leave --dry-run and --push-to out.")
    (plan_only if options["plan_only"] else plan_and_run)(ask(), options)


def plan_and_run(asked: Asked, options: Mapping[str, Any]) -> None:
    """Plan a run and do it, or go on with it; or say what it would be."""
    if options["dry_run"]:
        estimate(asked, options)
        return
    from hf_toedit.api.engine import ready
    from hf_toedit.api.run import Run
    from hf_toedit.cli.run import finish
    from hf_toedit.progress import stage_progress
    from hf_toedit.runs.work import swept, waiting

    began = time.monotonic()
    folder = asked.folder()
    with swept(folder), engine(asked.task, options) as workers:
        # It loads `datasets`, while a worker loads the model.
        quiet_libraries(show_progress=not asked.is_silent, quiet=asked.is_silent)
        with stage_progress("reading the source", asked.is_silent):
            asked.begin(folder, partial(ready, workers))
        run: Run[Any] = Run(folder, folder.plan())  # as it was written at first, with the command that was typed then
        indices = waiting(run.plan, folder)
        along = push_along(run, options, set(range(len(run.plan.shards))) - set(indices))
        on_done = along.add if along else None
        failures = run.work(workers, indices, progress=not asked.is_silent, on_done=on_done) if indices else []
    finish(run, failures, options, along, began)


def estimate(asked: Asked, options: Mapping[str, Any]) -> None:
    """Say what a run would be: rows, tokens, time and cost."""
    quiet_libraries(show_progress=False, quiet=asked.is_silent)
    quiet_transformers()
    planned, figures = asked.request.estimate(resources(options), options["price_per_hour"])
    if options["as_json"]:
        click.echo(json.dumps({**_facts(planned), **asdict(figures)}, indent=2))
    elif not options["quiet"]:
        click.echo(_told(planned))
        click.echo(told_estimate(figures, len(planned.files), planned.task.token_words))


def _facts(plan: Plan) -> dict[str, Any]:
    return {
        "num_shards": len(plan.shards),
        "num_files": len(plan.files),
        "num_rows": plan.num_rows,
        "num_bytes": plan.num_bytes,
        "source_revision": plan.source_revision,
        **plan.task.revisions,
        "hash": plan.content_hash,
    }


def _told(plan: Plan) -> str:
    from hf_toedit.cli.output import counted

    rows = "rows not counted" if plan.num_rows is None else counted(plan.num_rows, "row")
    return (
        f"{counted(len(plan.shards), 'shard')}: {rows}, about {plan.num_bytes / 1e6:,.1f} MB of text "
        f"in {counted(len(plan.files), 'file')}; {plan.task.model_words}"
    )


def told_estimate(figures: Estimate, num_files: int, token_words: str = "tokens") -> str:
    """What is printed of an estimate.

    Args:
        figures: the estimate.
        num_files: files of the source.
        token_words: what its tokens are; see `Task.token_words`.
    """
    from hf_toedit.cli.output import counted

    if figures.is_exact:
        size = f"{counted(figures.num_rows, 'row')} and {figures.num_tokens:,} {token_words}, all counted"
    else:
        tokens = _with_interval(
            "{:,}", figures.num_tokens, figures.num_tokens_low, figures.num_tokens_high, f" {token_words}"
        )
        rows = _with_interval("{:,}", figures.num_rows, figures.num_rows_low, figures.num_rows_high, " rows")
        size = (
            f"about {tokens} in {rows}, estimated from {counted(figures.sampled_rows, 'row')} "
            f"in {figures.sampled_files:,} of {counted(num_files, 'file')}"
        )
    if figures.from_beginnings:
        size += "; some files were read from their beginning only, and the rest of each is taken to be like it"
    time = _with_interval("{}", _time(figures.hours), _time(figures.hours_low), _time(figures.hours_high))
    cost = _with_interval("{:,.2f}", figures.cost, figures.cost_low, figures.cost_high)
    return (
        f"{size}\n"
        f"{figures.tokens_per_second:,.0f} tokens/s on one device (measured on {figures.timed_tokens:,} tokens)\n"
        f"{_passes(figures.passes)}: about {time} on one device" + f", cost {cost}" * bool(cost)
    )


def _passes(count: int) -> str:
    return "1 pass" if count == 1 else f"{count:,} passes"


def _time(hours: float | None) -> timedelta | None:
    return None if hours is None else timedelta(seconds=round(hours * 3600))


def _with_interval(form: str, value: Any, low: Any, high: Any, unit: str = "") -> str:
    """A value and its 95 % interval; the value alone where it is exact, nothing where there is none."""
    if value is None:
        return ""
    shown = form.format(value) + unit
    if low is None:
        return f"{shown} (no interval: too little could be read)"
    return shown if low == high else f"{shown} (95 %: {form.format(low)} to {form.format(high)})"
