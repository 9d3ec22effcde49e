"""Rules by which edits are kept or put back once they have been read, as `accept` writes them."""

from __future__ import annotations

import re
from typing import NamedTuple

from hf_toedit.checked import shown
from hf_toedit.errors import UsageError

_ACCEPTANCE = re.compile(r"likelihood(?::(?P<tau>[0-9.]+(?:e[+-]?[0-9]+)?|inf)(?::(?P<window>[0-9]+))?)?")


class Acceptance(NamedTuple):
    """Which edits are kept once they have been read, see `EditConfig.accept`.

    Attributes:
        tau: nats by which the log-likelihood of what follows an edit may fall, at least 0; infinity keeps every edit.
        window: tokens after an edit that are looked at, at least 1.
    """

    tau: float = 0.0
    window: int = 16

    @classmethod
    def of(cls, rule: str) -> Acceptance:
        """Read a rule as `EditConfig.accept` has it.

        Raises:
            UsageError: it is none.
        """
        found = _ACCEPTANCE.fullmatch(rule)
        try:
            given = {name: text for name, text in (found.groupdict() if found else {}).items() if text is not None}
            made = cls(float(given.get("tau", cls().tau)), int(given.get("window", cls().window)))
        except ValueError:  # of several points in a number; of thousands of digits
            found = None
        if found is None or not 1 <= made.window <= 1_000_000:
            raise UsageError(
                f"accept {shown(rule)} is not likelihood, likelihood:TAU or likelihood:TAU:M, where TAU is a number "
                f"of nats (0 or more) and M a number of tokens (1 to 1000000)."
            )
        return made

    def __str__(self) -> str:
        """The shortest rule that is read as this, so that equal ones hash alike."""
        tau = repr(self.tau).removesuffix(".0")
        if self.window != Acceptance().window:
            return f"likelihood:{tau}:{self.window}"
        return "likelihood" if self.tau == Acceptance().tau else f"likelihood:{tau}"
