"""`hf-toedit plan`: makes a run folder with a plan, for any number of `hf-toedit run`."""

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
from hf_toedit.cli import completion
from hf_toedit.cli.engines import engine
from hf_toedit.cli.help import EDITING, OUTPUT, SCALE, command, option
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
    source_argument,
    source_config,
    source_options,
    together,
)
from hf_toedit.cli.push import push_along
from hf_toedit.config import RunConfig
from hf_toedit.errors import UsageError
from hf_toedit.program import command_line

if TYPE_CHECKING:
    from hf_toedit.api.request import RunRequest
    from hf_toedit.api.run import Run
    from hf_toedit.runs.estimate import Estimate
    from hf_toedit.runs.plan import Plan
    from hf_toedit.runs.store import RunFolder
    from hf_toedit.runs.task import Task


generations_option = option(
    "--generations",
    group=EDITING,
    type=int,
    default=1,
    show_default=True,
    metavar="G",
    help="Number of editing passes, each over the previous output.",
)


def shape_options(command: Command) -> Command:
    """Generations, output columns and shards."""
    return together(
        generations_option,
        option("--edit-log-column", group=OUTPUT, rare=True, default="toedit", show_default=True, metavar="NAME",
               help="Column of the edit log."),
        option("--no-edit-log", group=OUTPUT, rare=True, is_flag=True,
               help="Omit the edit log; the output cannot be reverted."),
        score_result_choice,
        option("--flat-columns/--no-flat-columns", group=OUTPUT, rare=True, default=None,
               help="Add figures of the edit log as columns of numbers, which the Hub's viewer plots and filters.  "
               "[default: with --push-to]"),
        cut_options,
    )(command)  # fmt: skip


def cut_options(command: Command) -> Command:
    """Size or number of shards."""
    return together(
        option("--shard-size", group=OUTPUT, rare=True, metavar="SIZE", default="256MB", show_default=True,
               help="Target text size per shard; `file` = one shard per file."),
        option("--num-shards", group=OUTPUT, rare=True, type=click.IntRange(min=1), metavar="N",
               help="Number of shards per split, instead of --shard-size."),
    )(command)  # fmt: skip


output_option = option(
    "-o",
    "--output",
    group=OUTPUT,
    metavar="RUN",
    shell_complete=completion.folders,
    help="Run folder to write or to continue.",
)


def estimate_options(command: Command) -> Command:
    """An estimate instead of the work."""
    return together(
        option("--dry-run", group=OUTPUT, is_flag=True, help="Write nothing; estimate rows, tokens and time."),
        option("--price-per-hour", group=OUTPUT, rare=True, type=click.FloatRange(min=0), metavar="PRICE",
               help="Price of a device, for the cost that --dry-run reports."),
    )(command)  # fmt: skip


def plan_options(command: Command) -> Command:
    """Output, shape and estimate of a run."""
    return together(output_option, shape_options, estimate_options)(command)


@command(purpose=SCALE, short_help="Plan a run: pin its source, and cut it into shards.")
@source_argument
@source_options
@edit_options
@plan_options
@config_option
@json_option
@quiet_option
def plan(source: str, **options: Any) -> None:
    """Plan how SOURCE is edited into the run folder RUN, for `hf-toedit run RUN`.

    Pins the source and the prior to commits, and cuts the source into shards. Nothing is edited yet, and large files
    are not read.

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
    """A run requested on the command line, with checked settings.

    Attributes:
        request: The run.
        is_silent: Whether progress is hidden.
    """

    def __init__(self, request: RunRequest, options: Mapping[str, Any]) -> None:
        """Check the other options, without reading any file.

        Args:
            request: The run.
            options: The options of the command.
        """
        self.request = request
        resources(options)
        checked(options.get("price_per_hour") or 0, float, "price_per_hour")
        self.is_silent: bool = options["quiet"] or options["as_json"]
        self._output: str | None = options.get("output")

    @property
    def task(self) -> Task:
        """The task of the run."""
        return self.request.task

    def folder(self) -> RunFolder:
        """The output folder.

        Raises:
            UsageError: No folder is named.
            RunError: It cannot be written to, or is inside the source.
        """
        from hf_toedit.api.request import new_folder

        if self._output is None:
            raise UsageError("no output folder. Name one with -o, or use --dry-run.")
        return new_folder(self._output, self.request.source)

    def plan(self, resolve: Callable[[], Task]) -> Plan:
        """Find the source and plan; see `RunRequest.plan`."""
        return self.request.plan(resolve, *said())

    def begin(self, folder: RunFolder, resolve: Callable[[], Task]) -> None:
        """Write the plan into a folder; see `RunRequest.begin`."""
        self.request.begin(folder, resolve, *said())


def said() -> tuple[str | None, str | None]:
    """The command line, and the licence of the source."""
    known = click.get_current_context().meta
    return known.get(COMMAND_LINE), known.get(SOURCE_LICENSE)


def edit_asked(source: str, options: Mapping[str, Any]) -> Asked:
    """A run of edits requested on the command line.

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
    """Value of --flat-columns; by default true with a push, unless the run is planned already."""
    from hf_toedit.runs.store import is_run

    given: bool | None = options["flat_columns"]
    if given is not None or log_column is None or not options.get("push_to"):
        return given
    output = options.get("output")
    return None if output is not None and is_run(output) else True


def plan_only(asked: Asked, options: Mapping[str, Any]) -> None:
    """Write the plan of a run only."""
    folder = asked.folder()
    quiet_libraries(show_progress=not asked.is_silent, quiet=asked.is_silent)
    asked.begin(folder, asked.task.resolved)
    planned = folder.plan()  # as first written, if the run is continued
    if options["as_json"]:
        click.echo(json.dumps({"run": str(folder.root), **_facts(planned)}, indent=2))
    elif not options["quiet"]:
        click.echo(_plan_words(planned))
        click.echo(f"Next: {command_line('run', folder.root)}")


plan_only_option = option(
    "--plan-only",
    group=OUTPUT,
    rare=True,
    is_flag=True,
    help="Write the plan only, for `hf-toedit run` on this or other machines.",
)


def plan_or_run(ask: Callable[[], Asked], options: Mapping[str, Any]) -> None:
    """Plan a run and, without --plan-only, do it.

    Args:
        ask: Makes the request; called once the options are checked.
        options: The options of the command.

    Raises:
        UsageError: They do not go together.
    """
    if options["plan_only"] and (options["dry_run"] or options["push_to"]):
        raise UsageError("--plan-only cannot be used with --dry-run or --push-to. Leave them out.")
    (plan_only if options["plan_only"] else plan_and_run)(ask(), options)


def plan_and_run(asked: Asked, options: Mapping[str, Any]) -> None:
    """Plan and do a run, continue it or, with --dry-run, estimate it."""
    if options["dry_run"]:
        estimate(asked, options)
        return
    from hf_toedit.api.engine import ready
    from hf_toedit.api.run import Run
    from hf_toedit.cli.run import finish
    from hf_toedit.runs.work import swept, waiting

    began = time.monotonic()
    folder = asked.folder()
    with swept(folder), engine(asked.task, options) as workers:
        # These load `datasets` and rich, while a worker loads the model.
        quiet_libraries(show_progress=not asked.is_silent, quiet=asked.is_silent)
        from hf_toedit.progress import stage_progress

        with stage_progress("reading the source", asked.is_silent):
            asked.begin(folder, partial(ready, workers))
        run: Run[Any] = Run(folder, folder.plan())  # as first written, with its command line
        indices = waiting(run.plan, folder)
        along = push_along(run, options, set(range(len(run.plan.shards))) - set(indices))
        on_done = along.add if along else None
        failures = run.work(workers, indices, progress=not asked.is_silent, on_done=on_done) if indices else []
    finish(run, failures, options, along, began if indices else None)


def estimate(asked: Asked, options: Mapping[str, Any]) -> None:
    """Print an estimate of rows, tokens, time and cost."""
    quiet_libraries(show_progress=False, quiet=asked.is_silent)
    quiet_transformers()
    planned, figures = asked.request.estimate(resources(options), options["price_per_hour"])
    if options["as_json"]:
        click.echo(json.dumps({**_facts(planned), **asdict(figures)}, indent=2))
    elif not options["quiet"]:
        click.echo(_plan_words(planned))
        click.echo(estimate_words(figures, len(planned.files), planned.task.token_words))


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


def _plan_words(plan: Plan) -> str:
    from hf_toedit.cli.output import counted

    rows = "rows not counted" if plan.num_rows is None else counted(plan.num_rows, "row")
    return (
        f"{counted(len(plan.shards), 'shard')}: {rows}, about {plan.num_bytes / 1e6:,.1f} MB of text "
        f"in {counted(len(plan.files), 'file')}; {plan.task.model_words}"
    )


def estimate_words(figures: Estimate, num_files: int, token_words: str = "tokens") -> str:
    """An estimate as text.

    Args:
        figures: The estimate.
        num_files: Number of source files.
        token_words: Name of its tokens; see `Task.token_words`.
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
    """A value and its 95 % interval; the value alone if both ends are shown alike; empty if it is unknown."""
    if value is None:
        return ""
    shown = form.format(value) + unit
    if low is None:
        return f"{shown} (no interval: too little could be read)"
    first, last = form.format(low), form.format(high)
    return shown if first == last else f"{shown} (95 %: {first} to {last})"
