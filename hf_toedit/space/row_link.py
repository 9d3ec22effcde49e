"""The address of a row of a run, and its encoding in the fragment of a URL. No Gradio.

As with the links of `permalink`, a link is untrusted: it cannot name anything on a machine, and its content is
validated like typed input.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from hf_toedit.errors import UsageError

PREFIX = "#te1-row?"
"""Prefix of a fragment; determines how the rest is parsed."""


@dataclass(frozen=True)
class RowAddress:
    """A row in one generation.

    Attributes:
        run: Name that opens the run, see `opening.OpenRun`.
        generation: The generation.
        split: Split of the row.
        row: Index of the row in the split.
    """

    run: str
    generation: int
    split: str
    row: int

    def to_fragment(self) -> str:
        """Encode the address as a URL fragment."""
        values = {"dataset": self.run, "generation": self.generation, "split": self.split, "row": self.row}
        return PREFIX + urlencode(values)

    @classmethod
    def from_fragment(cls, fragment: str) -> RowAddress:
        """Decode the address from a URL fragment.

        Raises:
            UsageError: The fragment is damaged, or was not made here.
        """
        values = dict(parse_qsl(fragment.removeprefix(PREFIX)))
        try:
            return cls(values["dataset"], int(values["generation"]), values["split"], int(values["row"]))
        except (KeyError, ValueError) as error:
            raise UsageError("This link is damaged, or was not made here. Ask for it again.") from error
