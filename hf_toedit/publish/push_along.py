"""Push of shards during a run, in a thread that is separate from the editing and cannot make it fail."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

from hf_toedit.errors import NoAnswer, RunError, SourceError, kept, reason
from hf_toedit.program import command_line
from hf_toedit.publish.outcome import Pushed
from hf_toedit.publish.push import Push
from hf_toedit.runs.located import located
from hf_toedit.runs.plan import Plan, Shard
from hf_toedit.runs.store import RunFolder
from hf_toedit.runs.verify import is_verified, mark_verified, verify_run

EVERY_S = 60.0
"""Seconds between two commits: the Hub limits their rate."""

_MANY = 1000
"""Number of waiting shards at which a commit is made at once."""


class PushAlong:
    """Pushes shards in the order in which they finish, with one commit per minute, the first one immediately.

    If the Hub does not accept them, the run continues, and `finish` reports the error.
    """

    def __init__(
        self,
        push: Push,
        plan: Plan,
        folder: RunFolder,
        every: float = EVERY_S,
        check: Callable[[Shard], None] | None = None,
    ) -> None:
        """Start the thread.

        Args:
            push: A push that has begun.
            plan: The run's plan.
            folder: The run folder.
            every: Seconds between two commits; the data are uploaded ahead of them.
            check: Callback; called with each shard before it is sent. An error holds back that shard and all later
                ones.
        """
        self._every = every
        self._check = check
        self._push = push
        self._plan = plan
        self._folder = folder
        self._shards = {shard.name: shard for shard in plan.shards}
        self._ready: queue.SimpleQueue[Shard | None] = queue.SimpleQueue()
        self._error: Exception | None = None
        # A daemon thread is abandoned when the command is interrupted; what it sent is found again later.
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def add(self, shard: str) -> None:
        """Add a finished shard by name."""
        self._ready.put(self._shards[shard])

    @property
    def error(self) -> Exception | None:
        """Error that stopped the push; None if there is none."""
        return self._error

    def sent(self) -> None:
        """Send the remaining added shards, and wait until they are sent or cannot be."""
        self._ready.put(None)
        self._thread.join()

    def finish(self, unverified: bool) -> Pushed | None:
        """Send the remaining shards and, if the whole run is finished, verify it and push its card.

        Args:
            unverified: Whether to skip the verification.

        Returns:
            The result of the push; None if other shards must still be edited, elsewhere or later.

        Raises:
            RunError: A shard could not be sent, or the run is not sound.
            HubError: The card could not be sent.
        """
        self.sent()
        advice = f"Edited rows are kept; {self._push.command} continues."
        if self._error is not None:
            what = self._error.what if isinstance(self._error, NoAnswer) else reason(self._error)
            raise RunError(f"{what} {advice}")
        if self._folder.unfinished(self._plan, self._plan.shards):
            return None
        if not (unverified or is_verified(self._plan, self._folder)):
            self._verify()
        with kept(advice):
            self._push.send(self._plan.shards)
            return self._push.finish()

    def _verify(self) -> None:
        try:
            problems = verify_run(located(self._plan), self._folder).problems
        except SourceError as error:
            problems = [str(error)]
        if problems:
            raise RunError(
                f"verification failed, so the card was not pushed. {problems[0]} Once "
                f"`{command_line('verify', self._folder.root)}` passes: {self._push.command}"
            )
        mark_verified(self._plan, self._folder, with_source=True)

    def _work(self) -> None:
        try:
            self._send_until_stopped()
        except Exception as error:
            self._error = error

    def _send_until_stopped(self) -> None:
        ready: list[Shard] = []
        due = 0.0
        is_last = False
        while not is_last:
            try:
                shard = self._ready.get(timeout=max(due - time.monotonic(), 0) if ready else None)
            except queue.Empty:
                pass
            else:
                is_last = shard is None
                if shard is not None and self._is_fit(shard):
                    ready.append(shard)
                    if len(ready) < _MANY and time.monotonic() < due:
                        self._push.upload([shard])
                        continue
            if ready:
                self._push.send(ready)
            if self._error:
                return
            ready, due = [], time.monotonic() + self._every

    def _is_fit(self, shard: Shard) -> bool:
        """Whether a shard may be sent; if not, the shards before it are still sent."""
        try:
            if self._check:
                self._check(shard)
        except Exception as error:
            self._error = error
        return self._error is None
