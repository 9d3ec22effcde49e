"""HTML views of results in notebooks, registered here for classes that may not import `picture/`; see `display.py`.

The package imports this module, so that every result can be shown; `picture/` is imported when a result is shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hf_toedit.display import shows

if TYPE_CHECKING:
    from hf_toedit.api.run import Run
    from hf_toedit.editing.result import EditResult
    from hf_toedit.stats import EditStats


@shows("EditResult")
def _result(result: EditResult) -> str:
    from hf_toedit.picture.output import result_html

    return result_html(result)


@shows("EditStats")
def _stats(stats: EditStats) -> str:
    from hf_toedit.picture.output import stats_html

    return stats_html([stats])


@shows("Run")
def _run(run: Run) -> str:
    from hf_toedit.picture.output import run_html
    from hf_toedit.stats import EditStats

    status = run.status()
    generations = [stats for stats in status.statistics if isinstance(stats, EditStats)]
    shards = f"{status.num_done:,} of {status.num_shards:,} shards done, {len(status.failed)} failed"
    return run_html(f"{run!r}: {shards}", generations)
