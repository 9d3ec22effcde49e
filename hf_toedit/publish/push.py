"""A run folder to a repository of the Hub: what is sent, in which order, and what is refused.

The plan goes first, data with their statistics after it, the card with its pictures last. In between, a guard in the
repository keeps `datasets` from taking what is there for the whole, see `publish/target.py`. Nothing is noted of how
far a push is: what the repository holds already is not sent again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from hf_toedit.errors import HubError, RunError, UsageError
from hf_toedit.hub import BranchHead, Operation, Repository, Upload
from hf_toedit.publish.outcome import Outlook, Pushed
from hf_toedit.publish.pull import CARD, GUARD
from hf_toedit.publish.target import GUARD_UPLOAD, Target
from hf_toedit.runs.plan import Plan, Shard
from hf_toedit.runs.store import RunFolder, plan_text
from hf_toedit.storage.remote import AnyPath

if TYPE_CHECKING:
    from hf_toedit.cards.data import CardData

_COMMIT_FILES = 96
"""Of shards, at most, unless a single one has more; with the guard they are under 100."""


class Push:
    """Sends a run; the same calls again send what is missing."""

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
        """Nothing is asked yet.

        Args:
            plan: of the run.
            folder: of the run.
            repo_id: `org/name`.
            revision: branch; None is the default one.
            prefix: folder in the repository; none is its root.
            public: whether strangers may read the repository, should it be made now.
            create_pr: open a pull request, or go on with that of the same run.
            overwrite: delete what another tool or run left there.
            progress: called, from any thread, with the bytes of each file once it is there.

        Raises:
            UsageError: no such name or prefix is possible.
        """
        if create_pr and revision:
            raise UsageError("a pull request goes to the default branch; leave out the revision.")
        self.repository = Repository(repo_id, revision)
        self._target = Target(self.repository, prefix, plan, folder)
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
        """Look whether the run may be pushed there.

        Returns:
            What stands in the repository; None where there is none.

        Raises:
            RunError: the repository holds something else.
            HubError: the Hub does not answer, or refuses.
        """
        head = self.repository.head()
        if head and self._create_pr:
            self._pull_request = self.repository.find_pull_request(self._title)
            head = self.repository.head()
        if head and not self._overwrite:
            self._target.check(head)
        return head

    def outlook(self) -> Outlook:
        """What `begin`, `send` and `finish` would do, without doing it.

        Raises:
            RunError, HubError: as of `check`.
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
        """Make the repository where there is none, and put the plan there.

        Raises:
            RunError: somebody else began to push another run there.
            HubError: the Hub does not answer, or refuses.
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
        """Send the finished shards among some, as far as they are not there, each in one commit.

        Raises:
            HubError: the Hub does not answer, or refuses.
            RunError: a file is damaged, or somebody else pushed another run there.
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
        """Send the data of finished shards ahead of the commit that `send` makes of them.

        Raises:
            HubError: the Hub does not answer, or refuses.
            RunError: a file is damaged.
        """
        self.repository.upload(list(self._uploads(shards)))

    def finish(self) -> Pushed:
        """Put the card there, once all else is, and take the guard away.

        Raises:
            HubError: the Hub does not answer, or refuses.
            RunError: the run is not finished, or somebody else pushed another one there.
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
        self._last_uploads(self.repository.head())  # a card that cannot be merged is found out before all is sent
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
        """Commit what is missing of some files; unless they may replace another run, only where there is none."""
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
        """Refuse to mix this run with one that somebody else began to push since it was looked at last."""
        if not self._plan_upload.is_in(head):
            self._target.check_plan(head)

    def _count(self, uploads: Sequence[Upload], missing: Sequence[Upload]) -> None:
        """Note which files were there when they were first looked for, and which were not."""
        new = [upload for upload in missing if upload.path not in self._counted]
        known = [upload for upload in uploads if upload.path in self._counted]
        self._counts["num_files_sent"] += len(new)
        self._counts["num_bytes_sent"] += sum(upload.size for upload in new)
        self._counts["num_files_skipped"] += len(uploads) - len(known) - len(new)
        self._counted.update(upload.path for upload in uploads)

    def _guard(self, head: BranchHead, uploads: Iterable[Upload]) -> list[Upload]:
        """The guard, where these files would otherwise make something loadable that is not whole, or of another run."""
        if GUARD_UPLOAD.is_in(head):
            return []
        is_needed = self._target.would_load(head, [file.path for file in uploads])
        if not is_needed and not self._plan_upload.is_in(head):
            is_needed = self._target.holds_another(head)
        return [GUARD_UPLOAD] if is_needed else []

    @cached_property
    def _plan_upload(self) -> Upload:
        """The plan, without where the source is on this machine."""
        plan = replace(self._plan, reading=self._plan.reading.without_places)
        return Upload(self._target.plan_path, plan_text(plan).encode())

    def _uploads(self, shards: Sequence[Shard]) -> Iterator[Upload]:
        """Data and statistics of shards, as far as they are done."""
        for pass_ in self._plan.passes:
            for shard, record, content in self._folder.records(pass_, shards):
                if record["plan"] == self._plan.content_hash:
                    if pass_.writes_rows:
                        path = self._folder.data_path(pass_, shard)
                        yield Upload(self._target.path(path), path, record["sha256"], record["num_bytes"])
                    yield Upload(self._target.path(self._folder.stats_path(pass_, shard)), content)

    def _last_uploads(self, head: BranchHead | None) -> list[Upload]:
        """The card, which keeps what others wrote into the one that is there, and its pictures."""
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
        """What the card tells; the card in the run folder is brought up to date first, as its pictures are sent."""
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
        """What the last commit deletes."""
        strange = self._target.strange(head) if self._overwrite else []
        return [*([GUARD] if GUARD in head.files else []), *(path for path in strange if path != GUARD)]

    @property
    def _title(self) -> str:
        """Of the pull request, by which it is found again."""
        where = f" in {self._target.prefix}" if self._target.prefix else ""
        return f"Add run {self._plan.content_hash[:12]} of hf-toedit{where}"


def card_text(card: AnyPath) -> str:
    """The content of a README.

    Raises:
        RunError: It is not UTF-8.
    """
    try:
        return card.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise RunError(f"the {card.name} in the repository is not UTF-8, and cannot be kept. Fix it.") from error
