"""Spaces: the machine that one runs on. Its files are those of a `Repository`."""

from __future__ import annotations

import huggingface_hub
from huggingface_hub import HfApi

from hf_toedit.errors import HubError
from hf_toedit.hub.hardware import Hardware, named
from hf_toedit.hub.patience import patiently

FREE = "cpu-basic"
"""What a Space runs on unless it asks for more."""


class SpaceMachine:
    """The machine of one Space."""

    def __init__(self, repo_id: str) -> None:
        """Nothing is asked yet.

        Args:
            repo_id: `org/name`.

        Raises:
            HubError: this `huggingface_hub` does not know enough of Spaces.
        """
        if not hasattr(HfApi, "list_spaces_hardware"):
            raise HubError(
                f"huggingface_hub {huggingface_hub.__version__} is too old for Spaces. Upgrade it: "
                f"pip install --upgrade huggingface_hub"
            )
        self._id = repo_id
        self._api = HfApi()

    def hardware(self, flavor: str) -> Hardware:
        """What is to be had under a name.

        Raises:
            UsageError: nothing.
            HubError: the Hub does not answer.
        """
        return named(flavor, patiently(self._api.list_spaces_hardware, "list the hardware of Spaces"))

    def flavor(self) -> str:
        """What a Space that is there runs on, or is about to.

        Raises:
            HubError: the Hub does not answer, or refuses.
        """
        runtime = patiently(lambda: self._api.get_space_runtime(self._id), f"look at the hardware of {self._id!r}")
        return str(runtime.requested_hardware or runtime.hardware or FREE)

    def request(self, flavor: str) -> None:
        """Ask for another.

        Raises:
            HubError: the Hub does not answer, or refuses.
        """
        ask = self._api.request_space_hardware
        patiently(lambda: ask(self._id, flavor), f"ask for the hardware {flavor!r} of {self._id!r}")  # type: ignore[arg-type]
