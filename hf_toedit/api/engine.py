"""The engine of this machine, by the number of its workers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from hf_toedit.config import Resources

if TYPE_CHECKING:
    from hf_toedit.engines.base import Engine
    from hf_toedit.runs.task import Task

Workers = int | Literal["auto"]
"""Processes; `auto` is one a GPU, or one on a CPU, or one a core for tasks that need no model; 0 is this process."""


@contextmanager
def local_engine(workers: Workers, task: Task, resources: Resources, *, progress: bool = True) -> Iterator[Engine]:
    """The engine of this machine.

    Args:
        workers: how many processes.
        task: what is done.
        resources: what each worker may use.
        progress: leave the bars of `transformers` be, where the model is loaded in this process.
    """
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
    """Wait for the model, see `Engine.ready`; what draws the pictures of the card is imported while workers load it."""
    from hf_toedit.engines.cores import CoresEngine
    from hf_toedit.engines.inline import InlineEngine

    if not isinstance(engine, InlineEngine | CoresEngine):
        from hf_toedit.cards.plots import load_matplotlib

        load_matplotlib()
    return engine.ready()


@contextmanager
def _bars_of_transformers(shown: bool) -> Iterator[None]:
    """Its progress bars as they were, or hidden for a while."""
    if shown:
        yield
        return
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    of_hub = not are_progress_bars_disabled()
    logging = _logging_of_transformers()
    were_shown = of_hub if logging is None else logging.is_progress_bar_enabled()  # as it does when it is imported
    disable_progress_bars()
    if logging is not None:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        if were_shown and (logging := _logging_of_transformers()) is not None:
            logging.enable_progress_bar()  # and those of `huggingface_hub`
        if of_hub:
            enable_progress_bars()
        else:
            disable_progress_bars()


def _logging_of_transformers() -> Any:
    """Its module that says whether there are bars; None as long as it is not imported, which takes long."""
    if "transformers" not in sys.modules:
        return None
    from transformers.utils import logging

    return logging
