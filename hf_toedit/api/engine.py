"""The engine of this machine, by number of workers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta

from hf_toedit.checked import checked
from hf_toedit.config import Resources

if TYPE_CHECKING:
    from hf_toedit.engines.base import Engine
    from hf_toedit.runs.task import Task

Workers = Annotated[int, Meta(ge=0)] | Literal["auto"]
"""Number of worker processes; `auto` is one per GPU, or one on a CPU, or one per core for tasks without a model; 0 is
this process."""


@contextmanager
def local_engine(workers: Workers, task: Task, resources: Resources, *, progress: bool = True) -> Iterator[Engine]:
    """Create the engine of this machine.

    Args:
        workers: Number of worker processes.
        task: The task.
        resources: Resources of each worker.
        progress: Keep the progress bars of `transformers` when the model is loaded in this process.

    Raises:
        UsageError: The number of workers is neither a whole number from 0 nor `auto`.
    """
    workers = checked(workers, Workers, "workers")
    if workers == 0:
        from hf_toedit.engines.inline import InlineEngine

        with _bars_of_transformers(progress), InlineEngine(task, resources) as inline:
            yield inline
    elif workers == "auto" and task.is_light:
        from hf_toedit.engines.cores import CoresEngine

        with CoresEngine(task, resources) as cores:
            yield cores
    else:
        from hf_toedit.engines.local import LocalEngine

        with LocalEngine(task, resources, None if workers == "auto" else workers) as local:
            yield local


def ready(engine: Engine) -> Task:
    """Wait for the model, see `Engine.ready`; meanwhile import the plotting code of the card."""
    from hf_toedit.engines.cores import CoresEngine
    from hf_toedit.engines.inline import InlineEngine

    if not isinstance(engine, InlineEngine | CoresEngine):
        from hf_toedit.cards.plots import load_matplotlib

        load_matplotlib()
    return engine.ready()


@contextmanager
def _bars_of_transformers(shown: bool) -> Iterator[None]:
    """Keep the progress bars of `transformers`, or hide them temporarily."""
    if shown:
        yield
        return
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    of_hub = not are_progress_bars_disabled()
    logging = _logging_of_transformers()
    were_shown = of_hub if logging is None else logging.is_progress_bar_enabled()  # its default at import
    disable_progress_bars()
    if logging is not None:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        if were_shown and (logging := _logging_of_transformers()) is not None:
            logging.enable_progress_bar()  # this also enables those of `huggingface_hub`
        if of_hub:
            enable_progress_bars()
        else:
            disable_progress_bars()


def _logging_of_transformers() -> Any:
    """Return the logging module of `transformers`, or None if it is not imported, since importing takes long."""
    if "transformers" not in sys.modules:
        return None
    from transformers.utils import logging

    return logging
