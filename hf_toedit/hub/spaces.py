"""The hardware of a Space. The files of a Space are those of a `Repository`."""

from __future__ import annotations

import huggingface_hub
from huggingface_hub import HfApi

from hf_toedit.errors import HubError
from hf_toedit.hub.hardware import Hardware, named
from hf_toedit.hub.patience import patiently

FREE = "cpu-basic"
"""Default hardware of a Space."""


class SpaceMachine:
    """The hardware of one Space."""

    def __init__(self, repo_id: str) -> None:
        """Store the name; no request is sent yet.

        Args:
            repo_id: Repository, `org/name`.

        Raises:
            HubError: This version of `huggingface_hub` does not support Spaces sufficiently.
        """
        if not hasattr(HfApi, "list_spaces_hardware"):
            raise HubError(
                f"huggingface_hub {huggingface_hub.__version__} is too old for Spaces. Upgrade it: "
                f"pip install --upgrade huggingface_hub"
            )
        self._id = repo_id
        self._api = HfApi()

    def hardware(self, flavor: str) -> Hardware:
        """Return the machine of a name.

        Raises:
            UsageError: There is no such machine.
            HubError: The Hub does not answer.
        """
        return named(flavor, patiently(self._api.list_spaces_hardware, "list the hardware of Spaces"))

    def flavor(self) -> str:
        """Return the current or requested hardware of an existing Space.

        Raises:
            HubError: The Hub does not answer, or refuses.
        """
        runtime = patiently(lambda: self._api.get_space_runtime(self._id), f"look at the hardware of {self._id!r}")
        return str(runtime.requested_hardware or runtime.hardware or FREE)

    def request(self, flavor: str) -> None:
        """Request other hardware.

        Raises:
            HubError: The Hub does not answer, or refuses.
        """
        ask = self._api.request_space_hardware
        patiently(lambda: ask(self._id, flavor), f"ask for the hardware {flavor!r} of {self._id!r}")  # type: ignore[arg-type]
