"""The Space on the Hub: the files that it is made of, and how they get there. No Gradio.

What runs there is `hf_toedit.space.app`, installed from the package index; the files only say with which settings.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from hf_toedit.cards.readme import merged
from hf_toedit.errors import HubError, UsageError
from hf_toedit.hub.repository import Repository
from hf_toedit.hub.spaces import FREE, SpaceMachine
from hf_toedit.hub.uploads import BranchHead, Upload
from hf_toedit.space.settings import SpaceSettings
from hf_toedit.version import __version__

if TYPE_CHECKING:
    from hf_toedit.hub.hardware import Hardware

GRADIO = "6.31.0"
"""The version that the tests run with, of which `constraints.txt` sees to it."""

APP = "app.py"
README = "README.md"
REQUIREMENTS = "requirements.txt"

_PYTHON = "3.12"
_MARK = "# Written by hf-toedit; `hf-toedit space push` rewrites it."
_MADE_BY_THE_HUB = {README, ".gitattributes"}
_ZERO = "zero-"
"""How the names of hardware begin that is lent to single functions, of which this app has none."""


@dataclass(frozen=True)
class SpaceOutlook:
    """What a push finds, and what is to be done about it.

    Attributes:
        url: of the Space.
        creates: whether it is to be made.
        private: whether strangers cannot see it, once it is there.
        hardware: to be asked for; None where it stays as it is.
        files: all that are ours, by path.
        changed: the paths of those that are to be sent.
    """

    url: str
    creates: bool
    private: bool
    hardware: Hardware | None
    files: dict[str, str]
    changed: tuple[str, ...]


class SpacePush:
    """Brings a Space to the Hub, or up to date there; what is there already is not sent again."""

    def __init__(
        self, repo_id: str, settings: SpaceSettings, *, private: bool = True, hardware: str | None = None
    ) -> None:
        """Nothing is asked yet.

        Args:
            repo_id: `org/name`.
            settings: with which it runs; the prior is pinned to a commit.
            private: hide it from strangers, where it is made now.
            hardware: flavor to run on; None leaves that as it is.

        Raises:
            UsageError: that is no name of a repository, or the app cannot use that hardware.
        """
        if hardware is not None and hardware.startswith(_ZERO):
            raise UsageError(
                f"{hardware!r} lends a GPU to functions that ask for it, which this app does not. Name a machine."
            )
        self._settings = settings
        self._private = private
        self._flavor = hardware
        self._repository = Repository(repo_id, repo_type="space")
        self._machine = SpaceMachine(repo_id)

    def outlook(self) -> SpaceOutlook:
        """What `__call__` would do; nothing is written.

        Raises:
            HubError: the Hub does not answer, or refuses, or something else lies there.
            UsageError: there is no such hardware.
        """
        head = self._repository.head()
        now = self._machine.flavor() if head else FREE
        hardware = None if self._flavor in (None, now) else self._machine.hardware(self._flavor)
        files = self._files(head)
        return SpaceOutlook(
            url=self._repository.url,
            creates=head is None,
            private=head.private if head else self._private,
            hardware=hardware,
            files=files,
            changed=tuple(upload.path for upload in _missing(files, head)),
        )

    def __call__(self) -> SpaceOutlook:
        """Make the Space unless it is there, ask for its hardware, and send the files that differ, in one commit.

        Returns:
            What was found before, and done about it.

        Raises:
            HubError: the Hub does not answer, or refuses, or something else lies there.
            UsageError: there is no such hardware.
        """
        found = self.outlook()
        self._repository.create(self._private, space_sdk="gradio")
        if found.hardware:
            self._machine.request(found.hardware.flavor)
        self._repository.commit(
            f"Update the demo to hf-toedit {__version__}",
            lambda head: _missing(self._files(head), head),
        )
        return found

    def _files(self, head: BranchHead | None) -> dict[str, str]:
        """What is ours, beside what people wrote into the README.

        Raises:
            HubError: what stands there is not ours to change.
        """
        return space_files(self._settings, self._readme(head))

    def _readme(self, head: BranchHead | None) -> str | None:
        """The README of our Space; None where there is none yet, or only what the Hub itself puts into a new one.

        Raises:
            HubError: what stands there is not ours to change.
        """
        if head is None or head.files.keys() <= _MADE_BY_THE_HUB:
            return None
        app = self._text(head, APP)
        if app is None or not app.startswith(_MARK):
            raise HubError(
                f"Space {self._repository.id!r} holds something that hf-toedit did not make. Name another, or delete "
                f"that one on the Hub; it was not overwritten."
            )
        return self._text(head, README)

    def _text(self, head: BranchHead, path: str) -> str | None:
        file = self._repository.file(head, path)
        return None if file is None else file.read_text(encoding="utf-8", errors="replace")


def space_files(settings: SpaceSettings, readme: str | None = None) -> dict[str, str]:
    """The files of a Space, by path.

    Args:
        settings: with which it runs.
        readme: the one that is there; what people wrote in it stays.

    Raises:
        RunError: the README that is there cannot be understood.
    """
    prior = settings.prior
    values = {
        "mark": _MARK,
        "prior": prior.prior,
        "revision": prior.revision,
        "source": settings.source,
        "version": __version__,
    }
    section = _template(README).render(values)
    return {
        APP: _template(APP).render(values),
        README: merged(readme, _front_matter(settings), section, "", "# ToEdit"),
        REQUIREMENTS: _template(REQUIREMENTS).render(values),
    }


def _front_matter(settings: SpaceSettings) -> dict[str, Any]:
    """What the Hub is to know of the Space."""
    known: dict[str, Any] = {
        "title": "ToEdit",
        "emoji": "✏️",
        "colorFrom": "indigo",
        "colorTo": "green",
        "sdk": "gradio",
        "sdk_version": GRADIO,
        "python_version": _PYTHON,
        "app_file": APP,
        "license": "apache-2.0",
        "short_description": "See token-level editing of text datasets",
        "tags": ["hf-toedit", "toedit"],
    }
    if settings.prior.prior != "embedded":
        known["models"] = [settings.prior.prior]
    if settings.source:
        known["datasets"] = [settings.source]
    return known


def _missing(files: dict[str, str], head: BranchHead | None) -> list[Upload]:
    """The files that do not stand there as they should."""
    uploads = [Upload(path, text.encode()) for path, text in files.items()]
    return [upload for upload in uploads if not upload.is_in(head)]


@cache
def _environment() -> Environment:
    # Nothing here becomes HTML, and every value is a name that the Hub knows.
    environment = Environment(
        loader=PackageLoader("hf_toedit.space"),
        autoescape=False,
        trim_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    environment.filters["python"] = repr
    return environment


def _template(path: str) -> Template:
    return _environment().get_template(f"{path}.jinja")
