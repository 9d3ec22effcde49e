"""`hf-toedit jobs submit`: plans a run and submits its jobs."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from hf_toedit.cli.engines import workers_option
from hf_toedit.cli.help import command, option
from hf_toedit.cli.jobs import JOBS, group_of, hub_place, job_facts, jobs_of, missing_shards, namespace_option, work
from hf_toedit.cli.libraries import quiet_hub, quiet_libraries
from hf_toedit.cli.options import (
    Command,
    config_option,
    edit_options,
    json_option,
    quiet_option,
    source_argument,
    source_options,
    together,
)
from hf_toedit.cli.plan import edit_asked, shape_options
from hf_toedit.cli.push import push_to_options
from hf_toedit.errors import HubError, UsageError, kept
from hf_toedit.program import command_line
from hf_toedit.version import __version__

if TYPE_CHECKING:
    from huggingface_hub import JobInfo

    from hf_toedit.hub.hardware import Hardware
    from hf_toedit.hub.jobs import JobRequest, Jobs
    from hf_toedit.runs.plan import Plan

_TOKEN = "HF_TOKEN"  # noqa: S105


def job_options(command: Command) -> Command:
    """Hardware, limits and packages of jobs."""
    return together(
        option("--flavor", group=JOBS, required=True, metavar="NAME",
               help="Hardware, such as l4x1; `hf jobs hardware` lists it."),
        option("--num-jobs", group=JOBS, type=click.IntRange(min=1), default=1, show_default=True, metavar="N",
               help="Number of jobs."),
        option("--timeout", group=JOBS, default="12h", show_default=True, metavar="TIME",
               help="Time limit per job: 90m, 12h, 2d, …"),
        option("--attempts", group=JOBS, rare=True, type=click.IntRange(min=1), default=3, show_default=True,
               metavar="N", help="Maximum number of starts of a failing job."),
        option("--secrets", group=JOBS, rare=True, multiple=True, metavar="NAME",
               help="Environment variable to pass as a secret, beside HF_TOKEN. Repeatable."),
        option("--package", group=JOBS, rare=True, metavar="REQUIREMENT",
               help="Requirement that `uv` installs: a version, the URL of a wheel, `hf-toedit @ git+https://…`.  "
               "[default: this version]"),
        option("--image", group=JOBS, rare=True, metavar="NAME",
               help="Container image with `uv`.  [default: that of `hf jobs uv`]"),
        namespace_option,
    )(command)  # fmt: skip


@command(short_help="Plan a run and submit its jobs.")
@source_argument
@source_options
@edit_options
@job_options
@option("--dry-run", group=JOBS, is_flag=True, help="Submit nothing; report the jobs and their price.")
@workers_option
@shape_options
@push_to_options
@config_option
@json_option
@quiet_option
def submit(source: str, **options: Any) -> None:
    """Edit SOURCE, or process the run folder SOURCE, on Hugging Face Jobs.

    Each job commits a group of shards to --push-to; the last one adds the card. The same command submits failed jobs
    again.

    \b
    Examples:
      hf-toedit jobs submit org/web --push-to org/edited --flavor l4x1 --dry-run
    """  # noqa: D301
    place = hub_place(options["push_to"], options["push_revision"], options["push_prefix"])
    secrets = _secrets(options)
    package = _package(options)
    if not re.fullmatch(r"(?=.*[1-9])\d+(\.\d+)?[smhd]?", options["timeout"]):
        raise UsageError(f"timeout {options['timeout']!r} is not a duration. Write it as 90m, 12h or 2d.")
    is_silent = options["quiet"] or options["as_json"]
    from hf_toedit.runs.store import is_run

    asked = None if is_run(source) else edit_asked(source, options)
    quiet_libraries(show_progress=not is_silent, quiet=is_silent)
    quiet_hub()
    from hf_toedit.hub.jobs import IMAGE
    from hf_toedit.launch.jobs import check_reach, finish_there, job_request, run_labels
    from hf_toedit.runs.store import RunFolder

    service = jobs_of(options["namespace"])
    hardware = service.hardware(options["flavor"])

    if asked is None:
        planned = RunFolder(source).plan()
    else:
        planned = asked.plan(partial(asked.task.resolved, "cuda" if hardware.has_gpu else "cpu"))
        asked.request.warn_of_toy()
    check_reach(planned)
    count = options["num_jobs"]
    if count > len(planned.shards):
        raise UsageError(
            f"--num-jobs {count} is more than the {len(planned.shards)} shards of the plan. Name fewer jobs, or cut "
            f"more shards: --num-shards {count}."
        )
    plan, run = place.pushed(planned)
    with TemporaryDirectory(prefix="hf-toedit-") as scratch:
        sending = place.push(plan, RunFolder(scratch), options["public"])
        sending.check()
        groups = [f"{number}/{count}" for number in range(count)]
        missing = [group for group in groups if missing_shards(plan, run, group)]
        wanted = [
            job_request(
                place,
                plan,
                group,
                package=package,
                options=_words(options),
                image=options["image"] or IMAGE,
                flavor=hardware.flavor,
                timeout=options["timeout"],
                attempts=options["attempts"],
                secrets=secrets,
            )
            for group in missing
        ]
        if options["dry_run"]:
            _tell_planned(plan, wanted, hardware, options)
            return
        if missing:
            _check_count(service.find(run_labels(place, plan)), count)
            with kept():
                sending.begin()
    if missing:
        _tell_submitted(_submitted(service, wanted), wanted, plan, hardware, options)
        return
    with kept():
        pushed = finish_there(place)
    assert pushed is not None  # nothing is missing
    if options["as_json"]:
        click.echo(json.dumps({"repo": place.repo_id, "jobs": [], "push": asdict(pushed)}, indent=2))
    elif not options["quiet"]:
        click.echo(f"All {len(plan.shards)} shards and the card are on the Hub. {pushed.url}")


def _secrets(options: Mapping[str, Any]) -> dict[str, str]:
    """Values of the environment variables that jobs receive, and the token.

    Raises:
        UsageError: one is not set.
        HubError: nobody is logged in.
    """
    from hf_toedit.hub.jobs import own_token

    values = {_TOKEN: ""}
    if not options["dry_run"]:
        values[_TOKEN] = own_token()
    for name in options["secrets"]:
        if "=" in name:
            raise UsageError("--secrets takes the name of an environment variable, without its value.")
        if name not in os.environ:
            raise UsageError(f"environment variable {name!r}, which --secrets names, is not set.")
        values[name] = os.environ[name]
    return values


def _package(options: Mapping[str, Any]) -> str:
    """The requirement to install.

    Raises:
        UsageError: a password is in it.
    """
    from hf_toedit.runs.provenance import holds_secret

    extra = "[vllm]" if options["backend"] == "vllm" else ""
    package = str(options["package"] or f"hf-toedit{extra}=={__version__}")
    if holds_secret(package.replace("://git@", "://")):
        raise UsageError("--package holds a password or a token, which everyone who can see the job can read.")
    return package


def _words(options: Mapping[str, Any]) -> list[str]:
    """The options of `work` whose values differ from their defaults."""
    words: list[str] = []
    for param in work.params:
        value = options.get(str(param.name))
        if isinstance(param, click.Option) and param.is_flag:
            words += [param.opts[0]] * bool(value)
        elif value not in (None, "", param.default):
            words += [param.opts[0], str(value)]
    return words


def _check_count(found: list[JobInfo], count: int) -> None:
    """Refuse a number of jobs that differs from that of running jobs.

    Raises:
        UsageError: Such jobs are running.
    """
    from hf_toedit.hub.jobs import is_alive

    counts = {group.partition("/")[2] for job in found if is_alive(job) and (group := group_of(job))}
    if others := counts - {str(count)}:
        raise UsageError(
            f"jobs of this run are still running, with --num-jobs {min(others)}. Use the same number, or cancel them: "
            f"hf-toedit jobs cancel."
        )


def _submitted(service: Jobs, wanted: list[JobRequest]) -> list[JobInfo]:
    """Submit jobs, unless they are waiting or running already.

    Raises:
        HubError: the Hub does not answer, or refuses; jobs that were submitted before stay.
    """
    submitted: list[JobInfo] = []
    for request in wanted:
        try:
            with kept():
                submitted.append(service.submit(request))
        except HubError as error:
            raise HubError(f"{len(submitted)} of {len(wanted)} jobs are submitted. {error}") from None
    return submitted


def _tell_planned(plan: Plan, wanted: list[JobRequest], hardware: Hardware, options: Mapping[str, Any]) -> None:
    """Report what would be submitted."""
    from hf_toedit.cli.output import counted

    if options["as_json"]:
        facts = _submission(plan, wanted, hardware, options)
        commands = [{"command": list(request.command), "labels": dict(request.labels)} for request in wanted]
        click.echo(json.dumps({**facts, "jobs": commands}, indent=2))
    elif not options["quiet"]:
        click.echo(f"{counted(len(plan.shards), 'shard')}, {plan.task.model_words}")
        if wanted:
            first = wanted[0]
            secrets = ", ".join(first.secrets)
            click.echo(
                f"{first.image}, at most {first.timeout}, {counted(first.attempts, 'attempt')}, secrets: {secrets}"
            )
        for request in wanted:
            click.echo(f"Would submit: {shlex.join(request.command)}")
        click.echo(_price_words(len(wanted), hardware))


def _tell_submitted(
    submitted: list[JobInfo], wanted: list[JobRequest], plan: Plan, hardware: Hardware, options: Mapping[str, Any]
) -> None:
    """Report what was submitted."""
    if options["as_json"]:
        facts = _submission(plan, wanted, hardware, options)
        click.echo(json.dumps({**facts, "jobs": [job_facts(job) for job in submitted]}, indent=2))
    elif not options["quiet"]:
        for job in submitted:
            click.echo(f"{group_of(job)}: {job.url}")
        click.echo(_price_words(len(submitted), hardware))
        place = {"revision": options["push_revision"], "prefix": options["push_prefix"]}
        status = command_line("jobs", "status", options["push_to"], **place, namespace=options["namespace"])
        click.echo(f"Next: {status}")


def _submission(plan: Plan, wanted: list[JobRequest], hardware: Hardware, options: Mapping[str, Any]) -> dict[str, Any]:
    price = hardware.price_per_hour
    return {
        "repo": options["push_to"],
        "hash": plan.content_hash,
        "num_shards": len(plan.shards),
        "flavor": hardware.flavor,
        "timeout": options["timeout"],
        "attempts": options["attempts"],
        "secrets": list(dict.fromkeys([_TOKEN, *options["secrets"]])),
        "price_per_hour": None if price is None else round(price * len(wanted), 6),
    }


def _price_words(num_jobs: int, hardware: Hardware) -> str:
    from hf_toedit.cli.output import counted

    parts = f"{counted(num_jobs, 'job')} of {hardware.flavor} ({hardware.words})"
    if hardware.price_per_hour is None:
        return f"{parts}; the Hub does not report the price per hour."
    each = hardware.price_per_hour
    return f"{parts}: ${each:,.2f} an hour each, ${each * num_jobs:,.2f} an hour together, while they run."
