"""Which row of which run is looked at, and its way into the fragment of an address and back. No Gradio.

As with the links of `permalink`, a link may come from anybody: it cannot name anything of a machine, and what it holds
is looked up like what is typed.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from hf_toedit.errors import UsageError

PREFIX = "#te1-row?"
"""Begins a fragment, and says how the rest is to be read."""


@dataclass(frozen=True)
class RowAddress:
    """A row in one generation.

    Attributes:
        run: name that opens the run, see `opening.OpenRun`.
        generation: that is looked at.
        split: of the row.
        row: its number in the split.
    """

    run: str
    generation: int
    split: str
    row: int

    def to_fragment(self) -> str:
        """The place as the fragment of an address."""
        values = {"dataset": self.run, "generation": self.generation, "split": self.split, "row": self.row}
        return PREFIX + urlencode(values)

    @classmethod
    def from_fragment(cls, fragment: str) -> RowAddress:
        """Read the fragment of an address.

        Raises:
            UsageError: it is damaged, or was not made here.
        """
        values = dict(parse_qsl(fragment.removeprefix(PREFIX)))
        try:
            return cls(values["dataset"], int(values["generation"]), values["split"], int(values["row"]))
        except (KeyError, ValueError) as error:
            raise UsageError("This link is damaged, or was not made here. Ask for it again.") from error
