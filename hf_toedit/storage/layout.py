"""Where things lie in a run folder, which has the layout of its repository on the Hub."""

from __future__ import annotations

from pathlib import Path

PLAN = Path("toedit/plan.json")
"""Where a run folder keeps its plan."""

REPORTS = {"compare": ".toedit/compare", "probe": ".toedit/probe"}
"""Where a repository keeps reports, by the command that makes them: `datasets` ignores folders whose names begin with a
dot."""

STEPS = Path("toedit/steps")
"""Where it keeps the runs that come before it, such as the scores that rows were selected by; they may be deleted."""
