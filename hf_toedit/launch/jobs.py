"""Hugging Face Jobs: what each job is told, and what it does of a run that lies in a dataset repository.

The plan lies there before any job begins. A job edits the shards of its group that are not there yet, verifies each,
and commits them a few times. Whichever job then finds all shards there writes the card; the one that commits last
always does. So no job waits for another, none brings data of another to its machine, and one that died is begun anew,
by the Hub or by hand, and goes on behind its last commit.
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
"""The label that names a job's group, as `0-of-8`: the Hub takes no slash in it."""

_REPOSITORY, _RUN = "hf-toedit", "hf-toedit-run"
_SLUG = 64
"""Characters of a repository's name in a label; a label has 100 at most, and the group's number is behind it."""

_LONGEST_S = 3600.0
"""Between two commits of a job, however many there are."""

Say = Callable[[str], object]


@dataclass(frozen=True)
class RunLocation:
    """Where a run lies on the Hub.

    Attributes:
        repo_id: `org/name`.
        revision: branch; None is the default one.
        prefix: folder of the repository; none is its root.
    """

    repo_id: str
    revision: str | None = None
    prefix: str = ""

    @property
    def labels(self) -> dict[str, str]:
        """Of all jobs that work for this repository."""
        slug = re.sub(r"[^a-zA-Z0-9_-]", "-", self.repo_id)[:_SLUG]
        return {_REPOSITORY: f"{slug}-{hashlib.sha256(self.repo_id.encode()).hexdigest()[:8]}"}

    def run(self) -> HubRun:
        """The run, as it lies there now.

        Raises:
            SourceError: there is none, or its files cannot be listed.
            HubError: the Hub does not answer, or refuses.
        """
        return HubRun(self.repo_id, newest_sha(self.repo_id, self.revision), self.prefix)

    def standing(self, plan: Plan) -> tuple[Plan, HubRun | None]:
        """A plan as it was pushed at first, with the command that was typed then, and the run that is there.

        Returns:
            The plan as it is, and None, where another run is there or none.
        """
        try:
            run = self.run()
            there = run.plan()
        except ToEditError:  # none, or none that can be read: pushing the plan tells more
            return plan, None
        if there.content_hash != plan.content_hash:
            return plan, None
        return plan if there.differences(plan) else there, run

    def push(self, plan: Plan, folder: RunFolder, public: bool = False) -> Push:
        """What pushes a run there."""
        return Push(plan, folder, self.repo_id, revision=self.revision, prefix=self.prefix, public=public)


def run_labels(place: RunLocation, plan: Plan) -> dict[str, str]:
    """Labels of all jobs of one run in one place: the same run may be made in another branch or folder as well."""
    where = f"{plan.content_hash} {place.revision or ''} {PurePosixPath(place.prefix)}"
    return {**place.labels, _RUN: hashlib.sha256(where.encode()).hexdigest()[:16]}


def check_reach(plan: Plan) -> None:
    """Refuse what machines elsewhere cannot read.

    Raises:
        UsageError: source, prior, rule or sampler lies on this machine only.
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
    """The job that works on a group.

    Args:
        place: of the run.
        plan: of the run.
        group: `0/8`.
        package: what `uv` installs.
        options: more words for `hf-toedit jobs work`.
        image: container image.
        flavor: of the machine.
        timeout: as of `JobRequest`.
        attempts: how often it is begun, at most.
        secrets: as of `JobRequest`.
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
    """Edit shards here and commit them there.

    Args:
        place: of the run.
        plan: of the run, its source located.
        folder: here, which holds the plan.
        workers: edit them.
        indices: of the shards.
        num_jobs: that commit to this repository; together they do so once a minute.
        say: told what is done.
        unverified: do not verify what is sent.

    Returns:
        Those that failed at every try; the others are there.

    Raises:
        RunError: a shard is not sound, or somebody else pushed another run there.
        HubError: the Hub does not answer, or refuses.
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
        if along.error:  # what is edited after it would be lost
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
    """Bring the plan of a run here.

    Returns:
        The plan, its source located, and the run as it lies there now.

    Raises:
        SourceError: there is none, or its source cannot be read here.
        RunError: it cannot be read.
        HubError: the Hub does not answer, or refuses.
    """
    run = place.run()
    plan = located(run.plan())
    folder.replan(plan)
    return plan, run


def finish_there(place: RunLocation) -> Pushed | None:
    """Write the card of a run all of whose shards are there, from statistics and a few rows.

    Returns:
        What was done; None where shards are missing.

    Raises:
        RunError: what is there is damaged, or no text of it could be read.
        HubError: the Hub does not answer, or refuses.
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
