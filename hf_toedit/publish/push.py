"""Push of a run folder to a Hub repository: what is sent, in which order, and what is refused.

The plan is sent first, then data with their statistics, and finally the card with its pictures. Until then, a guard
file in the repository prevents `datasets` from loading incomplete data, see `publish/target.py`. The progress of a push
is not recorded: files that the repository already contains are not sent again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from hf_toedit.errors import HubError, RunError, UsageError
from hf_toedit.hub import BranchHead, Operation, Repository, Upload
from hf_toedit.program import command_line
from hf_toedit.publish.outcome import Outlook, Pushed
from hf_toedit.publish.pull import CARD, GUARD
from hf_toedit.publish.target import GUARD_UPLOAD, Target
from hf_toedit.runs.plan import Plan, Shard
from hf_toedit.runs.store import RunFolder, plan_text
from hf_toedit.storage.remote import AnyPath

if TYPE_CHECKING:
    from hf_toedit.cards.data import CardData

_COMMIT_FILES = 96
"""Maximum number of shard files per commit, unless one shard has more; with the guard they are under 100."""


class Push:
    """Pushes a run; repeating the same calls sends what is missing.

    Attributes:
        repository: The repository.
        command: The command that pushes the run to the same place.
    """

    def __init__(
        self,
        plan: Plan,
        folder: RunFolder,
        repo_id: str,
        *,
        revision: str | None = None,
        prefix: str = "",
        public: bool = False,
        create_pr: bool = False,
        overwrite: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        """Store the settings; no request is sent yet.

        Args:
            plan: The run's plan.
            folder: The run folder.
            repo_id: Repository, `org/name`.
            revision: Branch; None means the default branch.
            prefix: Folder in the repository; empty means its root.
            public: Whether a new repository is public.
            create_pr: Whether to open a pull request, or continue that of the same run.
            overwrite: Whether to delete files of another tool or run.
            progress: Callback; called with the size of each file once it is in the repository, from any thread.

        Raises:
            UsageError: The name or the prefix is invalid.
        """
        if create_pr and revision:
            raise UsageError("a pull request goes to the default branch; leave out the revision.")
        self.repository = Repository(repo_id, revision)
        self._target = Target(self.repository, prefix, plan, folder)
        self.command = command_line("push", folder.root, repo_id, revision=revision, prefix=prefix)
        self._plan = plan
        self._folder = folder
        self._public = public
        self._create_pr = create_pr
        self._overwrite = overwrite
        self._progress = progress
        self._pull_request: int | None = None
        self._counted: set[str] = set()
        self._counts = {"num_files_sent": 0, "num_bytes_sent": 0, "num_files_skipped": 0}

    def check(self) -> BranchHead | None:
        """Check whether the run may be pushed to the repository.

        Returns:
            The current state of the repository; None if it does not exist.

        Raises:
            RunError: The repository contains something else.
            HubError: The Hub does not answer, or refuses.
        """
        head = self.repository.head()
        if head and self._create_pr:
            self._pull_request = self.repository.find_pull_request(self._title)
            head = self.repository.head()
        if head and not self._overwrite:
            self._target.check(head)
        return head

    def outlook(self) -> Outlook:
        """Return what `begin`, `send` and `finish` would do, without doing it.

        Raises:
            RunError, HubError: See `check`.
        """
        head = self.check()
        uploads = [self._plan_upload, *self._uploads(self._plan.shards), *self._last_uploads(head)]
        missing = [upload for upload in uploads if not upload.is_in(head)]
        made = {
            "repository": head is None,
            "branch": self.repository.revision is not None and not (head and head.is_branch),
            "pull request": self._create_pr and self._pull_request is None,
        }
        return Outlook(
            creates=tuple(name for name, is_made in made.items() if is_made),
            private=head.private if head else not self._public,
            num_files_sent=len(missing),
            num_bytes_sent=sum(upload.size for upload in missing),
            num_files_skipped=len(uploads) - len(missing),
            deleted=tuple(self._deleted(head)) if head else (),
        )

    def begin(self) -> None:
        """Create the repository if it does not exist, and commit the plan.

        Raises:
            RunError: Another run is being pushed to it.
            HubError: The Hub does not answer, or refuses.
        """
        self.repository.create(private=not self._public)
        if self._create_pr:
            self._pull_request = self.repository.open_pull_request(
                self._title,
                f"Run `{self._plan.content_hash}` of [hf-toedit](https://pypi.org/project/hf-toedit/). The card comes "
                f"with the last commit; then this is marked as ready.",
            )
        self._send("Add the plan of a run of hf-toedit", [self._plan_upload], may_replace=self._overwrite)

    def send(self, shards: Sequence[Shard]) -> None:
        """Commit the finished ones of some shards, unless they are already there, each in one commit.

        Raises:
            HubError: The Hub does not answer, or refuses.
            RunError: A file is damaged, or another run was pushed to the repository.
        """
        batch: list[Upload] = []
        for shard in shards:
            uploads = list(self._uploads([shard]))
            if batch and len(batch) + len(uploads) > _COMMIT_FILES:
                self._send("Add shards", batch)
                batch = []
            batch += uploads
        if batch:
            self._send("Add shards", batch)

    def upload(self, shards: Sequence[Shard]) -> None:
        """Upload the data of finished shards ahead of the commit that `send` makes.

        Raises:
            HubError: The Hub does not answer, or refuses.
            RunError: A file is damaged.
        """
        self.repository.upload(list(self._uploads(shards)))

    def finish(self) -> Pushed:
        """Commit the card after everything else, and remove the guard.

        Raises:
            HubError: The Hub does not answer, or refuses.
            RunError: The run is not finished, or another run was pushed to the repository.
        """

        def change(head: BranchHead) -> list[Operation]:
            self._check_plan(head)
            absent = next((upload for upload in self._uploads(self._plan.shards) if not upload.is_in(head)), None)
            if absent is not None:
                raise HubError(
                    f"{absent.path} was sent and is not in {self._target}. Does its .gitignore name it? Fix it, "
                    f"then push again."
                )
            uploads = self._last_uploads(head)
            missing = [upload for upload in uploads if not upload.is_in(head)]
            self._count(uploads, missing)
            return [*missing, *self._deleted(head)]

        self.repository.forget()
        head = self.repository.commit("Add the card of a run of hf-toedit", change)
        if self._pull_request is not None:
            self.repository.publish(self._pull_request)
        return self._pushed(head)

    def __call__(self) -> Pushed:
        """Push a finished run from beginning to end."""
        if self._create_pr:
            outlook = self.outlook()
            if not (outlook.num_files_sent or outlook.deleted or self._pull_request):
                head = self.repository.head()
                assert head is not None
                self._counts["num_files_skipped"] = outlook.num_files_skipped
                return self._pushed(head)
        self._last_uploads(self.repository.head())  # detect a card that cannot be merged before everything is sent
        self.begin()
        self.send(self._plan.shards)
        return self.finish()

    def _pushed(self, head: BranchHead) -> Pushed:
        number = self._pull_request
        return Pushed(
            url=self.repository.url,
            revision=self.repository.revision,
            commit=head.sha,
            private=head.private,
            pull_request=None if number is None else self.repository.pull_request_url(number),
            **self._counts,
        )

    def _send(self, message: str, uploads: Sequence[Upload], may_replace: bool = False) -> None:
        """Commit the missing ones of some files; if another run is there, only if `may_replace`."""
        through: set[str] = set()

        def change(head: BranchHead) -> list[Operation]:
            if not may_replace:
                self._check_plan(head)
            missing = [upload for upload in uploads if not upload.is_in(head)]
            self._count(uploads, missing)
            return [*self._guard(head, missing), *missing] if missing else []

        def tell(upload: Upload) -> None:
            if self._progress and upload.path not in through:
                through.add(upload.path)
                self._progress(upload.size)

        self.repository.commit(message, change, tell)
        for upload in uploads:
            tell(upload)

    def _check_plan(self, head: BranchHead) -> None:
        """Refuse to mix this run with a different run that was pushed since the last check."""
        if not self._plan_upload.is_in(head):
            self._target.check_plan(head)

    def _count(self, uploads: Sequence[Upload], missing: Sequence[Upload]) -> None:
        """Count files as sent or skipped, by their state when they were first checked."""
        new = [upload for upload in missing if upload.path not in self._counted]
        known = [upload for upload in uploads if upload.path in self._counted]
        self._counts["num_files_sent"] += len(new)
        self._counts["num_bytes_sent"] += sum(upload.size for upload in new)
        self._counts["num_files_skipped"] += len(uploads) - len(known) - len(new)
        self._counted.update(upload.path for upload in uploads)

    def _guard(self, head: BranchHead, uploads: Iterable[Upload]) -> list[Upload]:
        """Return the guard if these files would make incomplete data, or data of another run, loadable."""
        if GUARD_UPLOAD.is_in(head):
            return []
        is_needed = self._target.would_load(head, [file.path for file in uploads])
        if not is_needed and not self._plan_upload.is_in(head):
            is_needed = self._target.holds_another(head)
        return [GUARD_UPLOAD] if is_needed else []

    @cached_property
    def _plan_upload(self) -> Upload:
        """The plan, without the local paths of the source."""
        plan = replace(self._plan, reading=self._plan.reading.without_places)
        return Upload(self._target.plan_path, plan_text(plan).encode())

    def _uploads(self, shards: Sequence[Shard]) -> Iterator[Upload]:
        """Yield the data and statistics of the finished ones of some shards."""
        for pass_ in self._plan.passes:
            for shard, record, content in self._folder.records(pass_, shards):
                if record["plan"] == self._plan.content_hash:
                    if pass_.writes_rows:
                        path = self._folder.data_path(pass_, shard)
                        yield Upload(self._target.path(path), path, record["sha256"], record["num_bytes"])
                    yield Upload(self._target.path(self._folder.stats_path(pass_, shard)), content)

    def _last_uploads(self, head: BranchHead | None) -> list[Upload]:
        """Return the pictures and the card, which keeps what others wrote into the existing card."""
        from hf_toedit.cards.card import render_card
        from hf_toedit.cards.reports import with_reports

        data = self._card_data
        existing: AnyPath | None = self.repository.file(head, CARD) if head else None
        if existing is None and not self._target.prefix:
            existing = self._folder.root / CARD
        card = render_card(data, card_text(existing) if existing else None)
        card = with_reports(card, head.files if head else ())
        pictures = (Upload(self._target.path(path), path.read_bytes()) for path in self._target.pictures)
        return [*pictures, Upload(CARD, card.encode())]

    @cached_property
    def _card_data(self) -> CardData:
        """Content of the card; the card in the run folder is updated first, because its pictures are sent."""
        from hf_toedit.cards.card import card_data, render_card, write_card

        here = self._folder.root / CARD
        card = card_text(here) if here.exists() else None
        data = card_data(self._plan, self._folder)
        if card is None or card != render_card(data, card):
            write_card(self._plan, self._folder)
        if not self._target.prefix:
            return replace(data, repo_id=self.repository.id)
        return card_data(self._plan, self._folder, repo_id=self.repository.id, prefix=self._target.prefix)

    def _deleted(self, head: BranchHead) -> list[str]:
        """Return the files that the last commit deletes."""
        strange = self._target.strange(head) if self._overwrite else []
        return [*([GUARD] if GUARD in head.files else []), *(path for path in strange if path != GUARD)]

    @property
    def _title(self) -> str:
        """Title of the pull request, by which it is found again."""
        where = f" in {self._target.prefix}" if self._target.prefix else ""
        return f"Add run {self._plan.content_hash[:12]} of hf-toedit{where}"


def card_text(card: AnyPath) -> str:
    """Return the content of a README.

    Raises:
        RunError: It is not UTF-8.
    """
    try:
        return card.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise RunError(f"the {card.name} in the repository is not UTF-8, and cannot be kept. Fix it.") from error
