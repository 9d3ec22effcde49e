"""hf-toedit: edit the text datasets of the Hugging Face Hub token by token (ToEdit, arXiv 2412.14689).

Importing this package has one side effect: it wraps the function with which `datasets` finds a builder, so that
`datasets.load_dataset("toedit", source=…)` works (see `register`). Set `HF_TOEDIT_NO_REGISTER=1` before the import to
leave `datasets` unchanged, and call `hf_toedit.register()` where you need the name.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from hf_toedit import notebook as _notebook  # noqa: F401 - registers how notebooks show results
from hf_toedit.datasets_api.registration import register as register
from hf_toedit.version import __version__ as __version__

if TYPE_CHECKING:  # for type checkers and editors; a test compares this list with `_EXPORTS`
    from hf_toedit.api.compare import compare as compare
    from hf_toedit.api.editor import ToEditor as ToEditor
    from hf_toedit.api.edits import edit as edit
    from hf_toedit.api.edits import plan as plan
    from hf_toedit.api.generated import generate as generate
    from hf_toedit.api.mix import mix as mix
    from hf_toedit.api.own_task import run_task as run_task
    from hf_toedit.api.probe import probe as probe
    from hf_toedit.api.run import Run as Run
    from hf_toedit.api.scores import score as score
    from hf_toedit.api.select import select as select
    from hf_toedit.config import EditConfig as EditConfig
    from hf_toedit.config import PriorConfig as PriorConfig
    from hf_toedit.config import Resources as Resources
    from hf_toedit.config import RunConfig as RunConfig
    from hf_toedit.config import SourceConfig as SourceConfig
    from hf_toedit.config import TextConfig as TextConfig
    from hf_toedit.datasets_api.builder import LoadError as LoadError
    from hf_toedit.datasets_api.loading import load_dataset as load_dataset
    from hf_toedit.datasets_api.processor import ToEditProcessor as ToEditProcessor
    from hf_toedit.datasets_api.revert import revert as revert
    from hf_toedit.editing.passage import Passage as Passage
    from hf_toedit.editing.piece_table import PieceTable as PieceTable
    from hf_toedit.editing.prior import DocumentScores as DocumentScores
    from hf_toedit.editing.prior import Prior as Prior
    from hf_toedit.editing.result import EditResult as EditResult
    from hf_toedit.errors import HubError as HubError
    from hf_toedit.errors import Interrupted as Interrupted
    from hf_toedit.errors import NoAnswer as NoAnswer
    from hf_toedit.errors import OutOfMemory as OutOfMemory
    from hf_toedit.errors import PriorError as PriorError
    from hf_toedit.errors import RunError as RunError
    from hf_toedit.errors import SourceError as SourceError
    from hf_toedit.errors import ToEditError as ToEditError
    from hf_toedit.errors import UsageError as UsageError
    from hf_toedit.mergeable import Statistics as Statistics
    from hf_toedit.priors.registry import load_prior as load_prior
    from hf_toedit.runs.task import LoadedTask as LoadedTask
    from hf_toedit.runs.task import Task as Task
    from hf_toedit.scorers.statistics import ScoreStats as ScoreStats
    from hf_toedit.stats import EditStats as EditStats
    from hf_toedit.tasks.generate_stats import GenerateStats as GenerateStats

_EXPORTS = {
    "compare": "hf_toedit.api.compare",
    "edit": "hf_toedit.api.edits",
    "plan": "hf_toedit.api.edits",
    "generate": "hf_toedit.api.generated",
    "mix": "hf_toedit.api.mix",
    "probe": "hf_toedit.api.probe",
    "run_task": "hf_toedit.api.own_task",
    "score": "hf_toedit.api.scores",
    "select": "hf_toedit.api.select",
    "ToEditor": "hf_toedit.api.editor",
    "Run": "hf_toedit.api.run",
    "EditConfig": "hf_toedit.config",
    "PriorConfig": "hf_toedit.config",
    "Resources": "hf_toedit.config",
    "RunConfig": "hf_toedit.config",
    "SourceConfig": "hf_toedit.config",
    "TextConfig": "hf_toedit.config",
    "LoadError": "hf_toedit.datasets_api.builder",
    "load_dataset": "hf_toedit.datasets_api.loading",
    "ToEditProcessor": "hf_toedit.datasets_api.processor",
    "revert": "hf_toedit.datasets_api.revert",
    "Passage": "hf_toedit.editing.passage",
    "PieceTable": "hf_toedit.editing.piece_table",
    "DocumentScores": "hf_toedit.editing.prior",
    "Prior": "hf_toedit.editing.prior",
    "EditResult": "hf_toedit.editing.result",
    "HubError": "hf_toedit.errors",
    "Interrupted": "hf_toedit.errors",
    "NoAnswer": "hf_toedit.errors",
    "OutOfMemory": "hf_toedit.errors",
    "PriorError": "hf_toedit.errors",
    "RunError": "hf_toedit.errors",
    "SourceError": "hf_toedit.errors",
    "ToEditError": "hf_toedit.errors",
    "UsageError": "hf_toedit.errors",
    "load_prior": "hf_toedit.priors.registry",
    "LoadedTask": "hf_toedit.runs.task",
    "Task": "hf_toedit.runs.task",
    "ScoreStats": "hf_toedit.scorers.statistics",
    "EditStats": "hf_toedit.stats",
    "GenerateStats": "hf_toedit.tasks.generate_stats",
    "Statistics": "hf_toedit.mergeable",
}

__all__ = [
    "DocumentScores",
    "EditConfig",
    "EditResult",
    "EditStats",
    "GenerateStats",
    "HubError",
    "Interrupted",
    "LoadError",
    "LoadedTask",
    "NoAnswer",
    "OutOfMemory",
    "Passage",
    "PieceTable",
    "Prior",
    "PriorConfig",
    "PriorError",
    "Resources",
    "Run",
    "RunConfig",
    "RunError",
    "ScoreStats",
    "SourceConfig",
    "SourceError",
    "Statistics",
    "Task",
    "TextConfig",
    "ToEditError",
    "ToEditProcessor",
    "ToEditor",
    "UsageError",
    "__version__",
    "compare",
    "edit",
    "generate",
    "load_dataset",
    "load_prior",
    "mix",
    "plan",
    "probe",
    "register",
    "revert",
    "run_task",
    "score",
    "select",
]


if not TYPE_CHECKING:  # with `__getattr__` visible, a type checker would accept any name

    def __getattr__(name: str) -> Any:
        """Import public names on first use: `import hf_toedit` alone loads neither torch nor datasets."""
        if name not in _EXPORTS:
            raise AttributeError(f"module 'hf_toedit' has no attribute {name!r}")
        return getattr(import_module(_EXPORTS[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)


if os.environ.get("HF_TOEDIT_NO_REGISTER", "0") in ("", "0"):
    register()
