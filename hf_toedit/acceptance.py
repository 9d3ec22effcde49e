"""Rules that decide which edits are kept after the edited text is scored (the `accept` setting)."""

from __future__ import annotations

import re
from typing import NamedTuple

from hf_toedit.checked import shown
from hf_toedit.errors import UsageError

_ACCEPTANCE = re.compile(r"likelihood(?::(?P<tau>[0-9.]+(?:e[+-]?[0-9]+)?|inf)(?::(?P<window>[0-9]+))?)?")


class Acceptance(NamedTuple):
    """Which edits are kept after the edited text is scored; see `EditConfig.accept`.

    Attributes:
        tau: Nats by which the log-likelihood of the tokens after an edit may fall, at least 0;
            infinity keeps every edit.
        window: Number of tokens after an edit to compare, at least 1.
    """

    tau: float = 0.0
    window: int = 16

    @classmethod
    def of(cls, rule: str) -> Acceptance:
        """Parse a rule in the format of `EditConfig.accept`.

        Raises:
            UsageError: The rule is not valid.
        """
        found = _ACCEPTANCE.fullmatch(rule)
        try:
            given = {name: text for name, text in (found.groupdict() if found else {}).items() if text is not None}
            made = cls(float(given.get("tau", cls().tau)), int(given.get("window", cls().window)))
        except ValueError:  # a number with several decimal points, or with thousands of digits
            found = None
        if found is None or not 1 <= made.window <= 1_000_000:
            raise UsageError(
                f"accept {shown(rule)} is not likelihood, likelihood:TAU or likelihood:TAU:M, where TAU is a number "
                f"of nats (0 or more) and M a number of tokens (1 to 1000000)."
            )
        return made

    def __str__(self) -> str:
        """Return the shortest rule that parses to this object, so that equal rules hash alike."""
        tau = repr(self.tau).removesuffix(".0")
        if self.window != Acceptance().window:
            return f"likelihood:{tau}:{self.window}"
        return "likelihood" if self.tau == Acceptance().tau else f"likelihood:{tau}"
