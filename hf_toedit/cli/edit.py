"""`hf-toedit edit`: a dataset in, a run folder out."""

from __future__ import annotations

from typing import Any

import click

from hf_toedit.cli.engines import engine, work_options
from hf_toedit.cli.libraries import quiet_libraries
from hf_toedit.cli.options import config_option, edit_options, json_option, quiet_option, source_options
from hf_toedit.cli.plan import RunRequest, estimate, plan_options
from hf_toedit.cli.push import push_along, push_to_options
from hf_toedit.cli.run import finish


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
    request = RunRequest(source, options)
    if options["dry_run"]:
        estimate(request, options)
        return
    from hf_toedit.api.run import Run
    from hf_toedit.runs.work import swept, waiting

    folder = request.folder()
    with swept(folder), engine(request.prior, request.edit, options) as workers:
        # It loads `datasets`, while a worker loads the prior.
        quiet_libraries(show_progress=not request.is_silent, quiet=request.is_silent)

        def resolve() -> Any:
            ready = workers.ready()
            return ready.config, ready.revision

        folder.open(request.plan(resolve))
        run = Run(folder, folder.plan())  # as it was written at first, with the command that was typed then
        indices = waiting(run.plan, folder)
        along = push_along(run, options, set(range(len(run.plan.shards))) - set(indices))
        on_done = along.add if along else None
        failures = run.work(workers, indices, progress=not request.is_silent, on_done=on_done) if indices else []
    finish(run, failures, options, along)
