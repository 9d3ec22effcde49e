"""Hugging Face Jobs: submit, find, read and cancel jobs."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING

import huggingface_hub
from huggingface_hub import HfApi, get_token

from hf_toedit.errors import HubError
from hf_toedit.hub.hardware import Hardware, named
from hf_toedit.hub.patience import patiently

if TYPE_CHECKING:
    from huggingface_hub import JobInfo

IMAGE = "ghcr.io/astral-sh/uv:python3.12-bookworm"
"""Container image that `hf jobs uv run` supports as well: Debian with Python and `uv`."""

_ALIVE = ("SCHEDULING", "RUNNING")


@dataclass(frozen=True)
class JobRequest:
    """A job to be submitted.

    Attributes:
        command: Command and arguments.
        image: Container image.
        flavor: Name of the machine.
        timeout: Time limit, in the format of `huggingface_hub`: `90m`, `12h`, `2d`.
        attempts: Maximum number of starts.
        name: Name for display.
        labels: Labels to find the job by.
        secrets: Secret environment variables.
    """

    command: tuple[str, ...]
    image: str
    flavor: str
    timeout: str
    attempts: int
    name: str
    labels: Mapping[str, str]
    secrets: Mapping[str, str] = field(repr=False)


class Jobs:
    """The jobs of a user or an organization."""

    def __init__(self, namespace: str | None = None) -> None:
        """Store the namespace; no request is sent yet.

        Args:
            namespace: Owner of the jobs, who pays for them; None means the logged-in user.

        Raises:
            HubError: This version of `huggingface_hub` does not support jobs sufficiently.
        """
        if "attempts" not in inspect.signature(HfApi.run_job).parameters:
            raise HubError(
                f"huggingface_hub {huggingface_hub.__version__} is too old for jobs. Upgrade it: "
                f"pip install --upgrade huggingface_hub"
            )
        self._api = HfApi()
        self._named = namespace

    @cached_property
    def namespace(self) -> str:
        """Owner of the jobs.

        Raises:
            HubError: No user is logged in.
        """
        if self._named is None:
            own_token()
        return self._named or str(patiently(self._api.whoami, "ask who is logged in")["name"])

    def hardware(self, flavor: str) -> Hardware:
        """Return the machine of a name.

        Raises:
            UsageError: There is no such machine.
            HubError: The Hub does not answer.
        """
        return named(flavor, patiently(self._api.list_jobs_hardware, "list the hardware of jobs"))

    def submit(self, request: JobRequest) -> JobInfo:
        """Submit a job, unless one with the same labels is waiting or running.

        Raises:
            HubError: The Hub does not answer, or refuses.
        """

        def find_or_run() -> JobInfo:  # an answer may be lost, and a job must not be paid for twice
            alive = [job for job in self._listed(request.labels) if is_alive(job)]
            if alive:
                return alive[0]
            return self._api.run_job(
                image=request.image,
                command=list(request.command),
                secrets=dict(request.secrets),
                flavor=request.flavor,
                timeout=request.timeout,
                attempts=request.attempts,
                name=request.name,
                labels=dict(request.labels),
                namespace=self.namespace,
            )

        return patiently(find_or_run, f"submit job {request.name!r} to {self.namespace!r}")

    def find(self, labels: Mapping[str, str]) -> list[JobInfo]:
        """Return the jobs with these labels, the newest first.

        Raises:
            HubError: The Hub does not answer, or refuses.
        """
        return patiently(lambda: self._listed(labels), f"list the jobs of {self.namespace!r}")

    def cancel(self, job: JobInfo) -> None:
        """Cancel a job.

        Raises:
            HubError: The Hub does not answer, or refuses.
        """
        cancel = partial(self._api.cancel_job, job_id=job.id, namespace=self.namespace)
        patiently(cancel, f"cancel job {job.id!r}")

    def logs(self, job: JobInfo, tail: int | None = None, follow: bool = False) -> Iterator[str]:
        """Yield the log of a job, line by line.

        Args:
            job: The job.
            tail: Number of lines at the end to read; None reads all.
            follow: Whether to continue until the job ends.

        Raises:
            HubError: The Hub does not answer, or refuses.
        """
        what = f"read the log of job {job.id!r}"

        def begin() -> tuple[Iterator[str], str | None]:
            lines = iter(self._api.fetch_job_logs(job_id=job.id, namespace=self.namespace, tail=tail, follow=follow))
            return lines, next(lines, None)

        lines, line = patiently(begin, what)
        while line is not None:
            yield line
            line = patiently(lambda: next(lines, None), what, tries=1)  # a retry would look like the end

    def _listed(self, labels: Mapping[str, str]) -> list[JobInfo]:
        found = self._api.list_jobs(labels=dict(labels), namespace=self.namespace)
        return sorted(found, key=lambda job: str(job.created_at), reverse=True)


def is_alive(job: JobInfo) -> bool:
    """Whether a job is waiting for a machine, or running."""
    return job.status.stage in _ALIVE


def own_token() -> str:
    """Return the token of the logged-in user.

    Raises:
        HubError: No user is logged in.
    """
    token = get_token()
    if token is None:
        raise HubError("you are not logged in to the Hub. Log in with `hf auth login`, or set HF_TOKEN.")
    return token
