"""What pushes the shards of a run while it runs: a thread that takes no part in the editing and cannot fail it."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

from hf_toedit.errors import NoAnswer, RunError, SourceError, kept, reason
from hf_toedit.publish.outcome import Pushed
from hf_toedit.publish.push import Push
from hf_toedit.runs.located import located
from hf_toedit.runs.plan import Plan, Shard
from hf_toedit.runs.store import RunFolder
from hf_toedit.runs.verify import is_verified, mark_verified, verify_run

EVERY_S = 60.0
"""Between two commits: the Hub counts them."""

_MANY = 1000
"""Shards that are not kept waiting."""


class PushAlong:
    """Sends shards in the order in which they finish, a commit a minute, the first at once.

    Where the Hub does not take them, the run goes on, and `finish` says so.
    """

    def __init__(
        self,
        push: Push,
        plan: Plan,
        folder: RunFolder,
        every: float = EVERY_S,
        check: Callable[[Shard], None] | None = None,
    ) -> None:
        """Begin.

        Args:
            push: that was begun.
            plan: of the run.
            folder: of the run.
            every: seconds between two commits; the data are sent ahead of them.
            check: called with each shard before it is sent; an error keeps back that shard and all behind it.
        """
        self._every = every
        self._check = check
        self._push = push
        self._plan = plan
        self._folder = folder
        self._shards = {shard.name: shard for shard in plan.shards}
        self._ready: queue.SimpleQueue[Shard | None] = queue.SimpleQueue()
        self._error: Exception | None = None
        # A daemon: it is left behind where the command is interrupted, and what it sent is found again.
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def add(self, shard: str) -> None:
        """A shard, by its name, is done."""
        self._ready.put(self._shards[shard])

    @property
    def error(self) -> Exception | None:
        """Why nothing more is sent; None as long as all is well."""
        return self._error

    def sent(self) -> None:
        """Send what is left of the shards that were added, and wait until it is there or cannot be."""
        self._ready.put(None)
        self._thread.join()

    def finish(self, unverified: bool) -> Pushed | None:
        """Send what is left and, where the whole run is done, verify it and send its card.

        Args:
            unverified: do not verify it.

        Returns:
            What was done; None where shards are still to be edited, elsewhere or later.

        Raises:
            RunError: a shard could not be sent, or the run is not sound.
            HubError: the card could not be sent.
        """
        self.sent()
        advice = f"Edited rows are kept; hf-toedit push {self._folder.root} {self._push.repository.id} goes on."
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
                f"verification failed, so the card was not pushed. {problems[0]} Once `hf-toedit verify "
                f"{self._folder.root}` passes: hf-toedit push {self._folder.root} {self._push.repository.id}"
            )
        mark_verified(self._plan, self._folder, with_source=True)

    def _work(self) -> None:
        try:
            self._send_until_told()
        except Exception as error:
            self._error = error

    def _send_until_told(self) -> None:
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
        """Whether a shard may be sent; where it may not, those before it still are."""
        try:
            if self._check:
                self._check(shard)
        except Exception as error:
            self._error = error
        return self._error is None
