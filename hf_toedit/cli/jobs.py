"""`hf-toedit jobs`: a run on Hugging Face Jobs; `submit` is in a module of its own."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from functools import partial
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from hf_toedit.cli.engines import engine, workers_option
from hf_toedit.cli.help import HUB, SCALE, Group, option
from hf_toedit.cli.libraries import quiet_hub, quiet_libraries
from hf_toedit.cli.options import json_option, resource_options, trust_remote_code_option
from hf_toedit.cli.pull import hub_options
from hf_toedit.errors import HubError, RunError, UsageError, kept
from hf_toedit.program import command_line

if TYPE_CHECKING:
    from huggingface_hub import JobInfo

    from hf_toedit.hub.jobs import Jobs
    from hf_toedit.launch.jobs import RunLocation
    from hf_toedit.publish.pull import HubRun
    from hf_toedit.runs.plan import Plan

JOBS = "Jobs"

namespace_option = option(
    "--namespace", group=JOBS, metavar="NAME", help="User or organization to bill.  [default: you]"
)
_group_option = partial(option, "--shard-group", group=JOBS, metavar="I/N")


@click.group(cls=Group, purpose=SCALE, short_help="Run on Hugging Face Jobs.")
def jobs() -> None:
    """Run on Hugging Face Jobs: machines that are billed by the minute."""


@jobs.command(short_help="Show the progress of a run on jobs.")
@click.argument("repo", metavar="ORG/NAME")
@hub_options
@namespace_option
@json_option
def status(repo: str, revision: str | None, prefix: str, namespace: str | None, as_json: bool) -> None:
    """Show which shards of a run are in the Hub dataset ORG/NAME, and the state of its jobs."""
    quiet_libraries(show_progress=False)
    quiet_hub()
    from hf_toedit.hub.jobs import is_alive
    from hf_toedit.launch.jobs import run_labels

    place = hub_place(repo, revision, prefix)
    run = place.run()
    plan = run.plan()
    newest = _newest(jobs_of(namespace).find(run_labels(place, plan)))
    num_done, num_shards = sum(run.holds(plan, shard) for shard in plan.shards), len(plan.shards)
    is_finished = run.is_finished and num_done == num_shards  # a card may be of fewer generations
    if as_json:
        report = {"repo": repo, "num_shards": num_shards, "num_done": num_done, "finished": is_finished}
        click.echo(json.dumps({**report, "jobs": [job_facts(job) for job in newest]}, indent=2))
        return
    card = "The card is on the Hub." if is_finished else "The card follows with the last shard."
    if not (is_finished or any(map(is_alive, newest))):
        card = f"No job is running. To continue, repeat `{command_line('jobs', 'submit')}`."
    click.echo(f"{num_done} of {num_shards} shards are on the Hub. {card}")
    for job in newest:
        time = timedelta(seconds=(job.durations and job.durations.running_secs) or 0)
        click.echo(f"{group_of(job):>7}  {job.status.stage:<10}  {job.flavor}  {time}  {job.url}")


@jobs.command(short_help="Print the logs of jobs.")
@click.argument("repo", metavar="ORG/NAME")
@_group_option(help="Group of shards whose job to show.")
@option("--tail", group=JOBS, type=click.IntRange(min=1), metavar="N", help="Number of last lines per job.")
@option("--follow", group=JOBS, is_flag=True, help="Print new lines until the job ends; one group only.")
@namespace_option
def logs(repo: str, shard_group: str | None, tail: int | None, follow: bool, namespace: str | None) -> None:
    """Print the logs of the newest job of each group that works on the Hub dataset ORG/NAME."""
    from hf_toedit.cli.output import printable
    from hf_toedit.launch.jobs import GROUP

    quiet_hub()
    place, service = hub_place(repo), jobs_of(namespace)
    wanted = {GROUP: shard_group.replace("/", "-of-")} if shard_group else {}
    newest = _newest(service.find({**place.labels, **wanted}))
    if not newest:
        raise RunError(
            f"no job of {service.namespace!r} works on {repo!r}. Check the name, --shard-group, --namespace."
        )
    if follow and len(newest) > 1:
        raise UsageError(f"{len(newest)} jobs cannot be followed at once. Name one with --shard-group.")
    for job in newest:
        if len(newest) > 1:
            click.echo(f"== {group_of(job)}, {job.status.stage}: {job.url}")
        for line in service.logs(job, tail, follow):
            click.echo(printable(line))


@jobs.command(short_help="Cancel the jobs of a run.")
@click.argument("repo", metavar="ORG/NAME")
@namespace_option
@json_option
def cancel(repo: str, namespace: str | None, as_json: bool) -> None:
    """Cancel the jobs that work on the Hub dataset ORG/NAME; finished shards are kept."""
    quiet_hub()
    from hf_toedit.cli.output import counted
    from hf_toedit.hub.jobs import is_alive

    service = jobs_of(namespace)
    alive = [job for job in service.find(hub_place(repo).labels) if is_alive(job)]
    cancelled, errors = [], []
    for job in alive:
        try:
            service.cancel(job)
            cancelled.append(job.id)
        except HubError as error:  # the others are not to be paid for
            errors.append(error)
    if as_json:
        click.echo(json.dumps({"repo": repo, "cancelled": cancelled}, indent=2))
    else:
        again = command_line("jobs", "submit")
        click.echo(f"Cancelled {counted(len(cancelled), 'job')}. To continue, repeat `{again}`.")
    if errors:
        raise errors[0]


@jobs.command(hidden=True)
@click.argument("repo", metavar="ORG/NAME")
@_group_option(required=True, help="Group of shards to process.")
@option("--push-revision", group=HUB, metavar="BRANCH", help="Branch of the run.")
@option("--push-prefix", group=HUB, default="", metavar="PATH", help="Folder of the dataset that has the run.")
@option("--unverified", group=HUB, is_flag=True, help="Push shards without verifying them.")
@workers_option
@resource_options
@trust_remote_code_option
def work(repo: str, shard_group: str, **options: Any) -> None:
    """Process the shards of a group that are missing in the Hub dataset ORG/NAME; this is what a job runs."""
    quiet_libraries(show_progress=False)
    quiet_hub()
    from hf_toedit.launch.jobs import begin_there, edit_there, finish_there
    from hf_toedit.runs.store import RunFolder
    from hf_toedit.runs.work import check_trust, shards_of_group

    place = hub_place(repo, options["push_revision"], options["push_prefix"])
    with TemporaryDirectory(prefix="hf-toedit-") as scratch, kept():
        folder = RunFolder(scratch)
        plan, run = begin_there(place, folder)
        check_trust(plan, options["trust_remote_code"])
        indices = missing_shards(plan, run, shard_group)
        click.echo(f"group {shard_group}: {len(indices)} of {len(shards_of_group(plan, shard_group))} shards to do")
        if indices:
            num_jobs = int(shard_group.partition("/")[2])
            with engine(plan.task, options) as workers:
                failures = edit_there(
                    place, plan, folder, workers, indices, num_jobs, click.echo, options["unverified"]
                )
            if failures:
                raise RunError(f"{len(failures)} shards failed. {failures[0].shard}: {failures[0].reason}")
    with kept():
        pushed = finish_there(place)
    click.echo(
        "other groups are not finished" if pushed is None else f"all shards and the card are on the Hub: {pushed.url}"
    )


def hub_place(repo: str | None, revision: str | None = None, prefix: str = "") -> RunLocation:
    """The place of a run on the Hub, which may not exist yet."""
    if repo is None:
        raise UsageError("no target. Name a Hub dataset with --push-to.")
    from hf_toedit.launch.jobs import RunLocation

    return RunLocation(repo, revision, prefix)


def jobs_of(namespace: str | None) -> Jobs:
    """The jobs of a user or an organization; None is the user who is logged in."""
    from hf_toedit.hub.jobs import Jobs

    return Jobs(namespace)


def missing_shards(plan: Plan, run: HubRun | None, group: str) -> list[int]:
    """The shards of a group that are not in the repository."""
    from hf_toedit.runs.work import shards_of_group

    return [i for i in shards_of_group(plan, group) if run is None or not run.holds(plan, plan.shards[i])]


def _newest(found: list[JobInfo]) -> list[JobInfo]:
    """The newest job of each group, by group."""
    newest: dict[str, JobInfo] = {}
    for job in found:  # the newest first
        newest.setdefault(group_of(job), job)
    return [newest[group] for group in sorted(newest, key=lambda group: [int(n) for n in re.findall(r"\d+", group)])]


def group_of(job: JobInfo) -> str:
    """The group that a job works on, `0/8`."""
    from hf_toedit.launch.jobs import GROUP

    return (job.labels or {}).get(GROUP, "").replace("-of-", "/")


def job_facts(job: JobInfo) -> dict[str, Any]:
    """A job in JSON."""
    return {
        "group": group_of(job),
        "id": job.id,
        "stage": job.status.stage,
        "flavor": job.flavor,
        "running_secs": job.durations and job.durations.running_secs,
        "url": job.url,
    }
