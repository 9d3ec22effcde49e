"""Hugging Face Jobs: the request for each job, and its work on a run in a dataset repository.

The plan is in the repository before any job begins. A job edits the shards of its group that are not there yet,
verifies each, and commits them a few times. Any job that then finds all shards there writes the card; the job that
commits last always does. So no job waits for another, and none downloads data of another. A job that died is restarted,
by the Hub or by hand, and continues after its last commit.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hf_toedit import sample
from hf_toedit.engines.base import Engine
from hf_toedit.errors import RunError, ToEditError, UsageError
from hf_toedit.hub import newest_sha
from hf_toedit.hub.jobs import JobRequest
from hf_toedit.publish.outcome import Pushed
from hf_toedit.publish.pull import HubRun
from hf_toedit.publish.push import Push
from hf_toedit.publish.push_along import EVERY_S, PushAlong
from hf_toedit.runs.located import located
from hf_toedit.runs.monitor import Failure, Monitor, check_read
from hf_toedit.runs.plan import Plan, Shard
from hf_toedit.runs.store import RunFolder
from hf_toedit.runs.verify import verify_run

GROUP = "hf-toedit-group"
"""Label with a job's group, as `0-of-8`: the Hub allows no slash in it."""

_REPOSITORY, _RUN = "hf-toedit", "hf-toedit-run"
_SLUG = 64
"""Characters of a repository's name in a label; a label has at most 100, including the group's number at the end."""

_LONGEST_S = 3600.0
"""Maximum time between two commits of a job, however many jobs there are."""

Say = Callable[[str], object]


@dataclass(frozen=True)
class RunLocation:
    """Location of a run on the Hub.

    Attributes:
        repo_id: `org/name`.
        revision: Branch; None is the default one.
        prefix: Folder of the repository; empty for its root.
    """

    repo_id: str
    revision: str | None = None
    prefix: str = ""

    @property
    def labels(self) -> dict[str, str]:
        """Labels of all jobs that work for this repository."""
        slug = re.sub(r"[^a-zA-Z0-9_-]", "-", self.repo_id)[:_SLUG]
        return {_REPOSITORY: f"{slug}-{hashlib.sha256(self.repo_id.encode()).hexdigest()[:8]}"}

    def run(self) -> HubRun:
        """Return the run in its current state on the Hub.

        Raises:
            SourceError: There is no run, or its files cannot be listed.
            HubError: The Hub does not answer, or refuses.
        """
        return HubRun(self.repo_id, newest_sha(self.repo_id, self.revision), self.prefix)

    def pushed(self, plan: Plan) -> tuple[Plan, HubRun | None]:
        """Return the plan as first pushed, with the command typed then, and the run that is there.

        Returns:
            The plan that was given, and None, if there is another run or none.
        """
        try:
            run = self.run()
            there = run.plan()
        except ToEditError:  # there is no readable run: pushing the plan gives a better error
            return plan, None
        if there.content_hash != plan.content_hash:
            return plan, None
        return plan if there.differences(plan) else there, run

    def push(self, plan: Plan, folder: RunFolder, public: bool = False) -> Push:
        """Return the object that pushes a run to this location."""
        return Push(plan, folder, self.repo_id, revision=self.revision, prefix=self.prefix, public=public)


def run_labels(place: RunLocation, plan: Plan) -> dict[str, str]:
    """Return labels of all jobs of one run in one place; the same run may also exist in another branch or folder."""
    where = f"{plan.content_hash} {place.revision or ''} {PurePosixPath(place.prefix)}"
    return {**place.labels, _RUN: hashlib.sha256(where.encode()).hexdigest()[:16]}


def check_reach(plan: Plan) -> None:
    """Refuse a plan that other machines cannot read.

    Raises:
        UsageError: The source, prior, rule or sampler exists only on this machine.
    """
    if plan.reading.root is not None and Path(plan.reading.root) != sample.path().parent:
        raise UsageError(
            f"the source {plan.source.source!r} is on this machine, where a job cannot read it. Push it to the Hub "
            f"and name it as org/name, or name an address."
        )
    if own := plan.task.own_code:
        raise UsageError(
            f"{next(iter(own.values()))!r} is Python code on this machine, which a job does not have. Use "
            f"a rule and a sampler of hf-toedit."
        )
    if plan.task.model is not None and plan.task.model.is_local:
        raise UsageError(
            f"the model {plan.task.model.name!r} is on this machine, where a job cannot read it. Push it to the Hub "
            f"and name it as org/name."
        )


def job_request(
    place: RunLocation,
    plan: Plan,
    group: str,
    *,
    package: str,
    options: Sequence[str],
    image: str,
    flavor: str,
    timeout: str,
    attempts: int,
    secrets: Mapping[str, str],
) -> JobRequest:
    """Return the request for the job that works on a group.

    Args:
        place: Location of the run.
        plan: The run's plan.
        group: `0/8`.
        package: Package that `uv` installs.
        options: More arguments for `hf-toedit jobs work`.
        image: Container image.
        flavor: Flavor of the machine.
        timeout: As in `JobRequest`.
        attempts: Maximum number of starts.
        secrets: As in `JobRequest`.
    """
    words = ("hf-toedit", "jobs", "work", place.repo_id, "--shard-group", group, *options)
    number = group.replace("/", "-of-")
    [slug] = place.labels.values()
    return JobRequest(
        command=("uv", "run", "--with", package, *words),
        image=image,
        flavor=flavor,
        timeout=timeout,
        attempts=attempts,
        name=f"{slug}-{number}",
        labels={**run_labels(place, plan), GROUP: number},
        secrets=secrets,
    )


def edit_there(
    place: RunLocation,
    plan: Plan,
    folder: RunFolder,
    workers: Engine,
    indices: list[int],
    num_jobs: int,
    say: Say,
    unverified: bool = False,
) -> list[Failure]:
    """Edit shards on this machine and commit them to the repository.

    Args:
        place: Location of the run.
        plan: The run's plan, with its source located.
        folder: Local run folder with the plan.
        workers: Engine that edits the shards.
        indices: Indices of the shards.
        num_jobs: Number of jobs that commit to this repository; together they do so once a minute.
        say: Callback; called with messages on progress.
        unverified: Do not verify shards before sending them.

    Returns:
        The shards that failed at every try; the others are in the repository.

    Raises:
        RunError: A shard is not sound, or another run was pushed there.
        HubError: The Hub does not answer, or refuses.
    """

    def check(shard: Shard) -> None:
        problems = [] if unverified else verify_run(plan, folder, shards=[shard]).problems
        if problems:
            raise RunError(f"a shard is not sound, and was not sent. {problems[0]}")

    sending = place.push(plan, folder)
    sending.check()
    along = PushAlong(sending, plan, folder, min(EVERY_S * num_jobs, _LONGEST_S), check)

    def done(name: str) -> None:
        say(f"{name} is {plan.task.done}")
        along.add(name)
        if along.error:  # later edits would be lost
            raise along.error

    monitor = Monitor(plan, folder, on_done=done)
    try:
        with monitor:
            workers.run(plan, folder, indices, monitor)
    finally:
        along.sent()
    if along.error:
        raise along.error
    return monitor.failures


def begin_there(place: RunLocation, folder: RunFolder) -> tuple[Plan, HubRun]:
    """Download the plan of a run.

    Returns:
        The plan, with its source located, and the run in its current state on the Hub.

    Raises:
        SourceError: There is no run, or its source cannot be read on this machine.
        RunError: The plan cannot be read.
        HubError: The Hub does not answer, or refuses.
    """
    run = place.run()
    plan = located(run.plan())
    folder.replan(plan)
    return plan, run


def finish_there(place: RunLocation) -> Pushed | None:
    """Write the card of a run whose shards are all in the repository, from statistics and a few rows.

    Returns:
        What was done; None if shards are missing.

    Raises:
        RunError: The content of the repository is damaged, or no text could be read.
        HubError: The Hub does not answer, or refuses.
    """
    run = place.run()
    plan = run.plan()
    if not all(run.holds(plan, shard) for shard in plan.shards):
        return None
    with run.records() as (plan, folder):
        damaged = next((shard for shard in plan.shards if not folder.is_done(plan, shard)), None)
        if damaged is not None:  # otherwise every job would end here
            raise RunError(
                f"data and statistics of shard {damaged.name} in dataset {place.repo_id!r} do not belong together, or "
                f"are not of this run. Delete them there; the same `hf-toedit jobs submit` makes them again."
            )
        check_read(folder.merged_stats(plan, plan.passes[0]), plan.task.done)
        return place.push(plan, folder).finish()
