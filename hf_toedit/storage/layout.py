"""Paths in a run folder, which has the layout of its repository on the Hub."""

from __future__ import annotations

from pathlib import Path

PLAN = Path("toedit/plan.json")
"""Path of the plan in a run folder."""

REPORTS = {"compare": ".toedit/compare", "probe": ".toedit/probe"}
"""Folders of reports in a repository, by command; `datasets` ignores folders whose names begin with a dot."""

STEPS = Path("toedit/steps")
"""Folder of preceding runs in a run folder, such as the scores that rows were selected by; it may be deleted."""
