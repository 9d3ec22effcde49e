"""Keeps logs, warnings and progress bars of libraries out of the output of a command."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

_VERBOSITY = {
    "datasets": "DATASETS_VERBOSITY",
    "huggingface_hub": "HF_HUB_VERBOSITY",
    "transformers": "TRANSFORMERS_VERBOSITY",
}
"""Libraries, and the environment variables of their log levels."""


@contextmanager
def hushed_libraries() -> Iterator[None]:
    """Keep what libraries log and warn of out of a command, in this process and those that it starts.

    These messages are of no use to a user, such as that a card has no metadata, or that a font cache is built. Warnings
    of `huggingface_hub` contain upload addresses, which are secret while they are valid. Nothing is imported, so that
    this can come first. A library whose environment variable is set keeps its level. The environment and the levels of
    loggers are restored at the end.
    """
    import sys
    import warnings

    before = {variable: os.environ.get(variable) for variable in (*_VERBOSITY.values(), "PYTHONWARNINGS")}
    levels = {name: logging.getLogger(name).level for name in (*_VERBOSITY, "matplotlib", "hf_toedit")}
    for library, variable in _VERBOSITY.items():
        if not (os.environ.get(variable) or (library == "huggingface_hub" and os.environ.get("HF_DEBUG"))):
            os.environ[variable] = "error"  # for one that is imported later, here or by a worker
            logging.getLogger(library).setLevel(logging.ERROR)
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    if not sys.warnoptions:  # which hold PYTHONWARNINGS as well
        os.environ["PYTHONWARNINGS"] = "ignore"
        warnings.simplefilter("ignore")
    try:
        yield
    finally:
        for variable, value in before.items():
            if value is None:
                os.environ.pop(variable, None)
            else:
                os.environ[variable] = value
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def quiet_libraries(show_progress: bool, quiet: bool = False) -> None:
    """Silence the logs of `datasets`, and progress bars unless they are shown in a terminal.

    Args:
        show_progress: Whether to show the progress bars of `datasets` and `huggingface_hub` in a terminal.
        quiet: Whether to silence our own warnings, too.
    """
    import sys

    import datasets
    from huggingface_hub.utils import disable_progress_bars

    if quiet:
        logging.getLogger("hf_toedit").setLevel(logging.ERROR)
    datasets.logging.set_verbosity(logging.CRITICAL)  # it logs what it raises, and our message reports it
    if not (show_progress and sys.stderr.isatty()):
        datasets.disable_progress_bars()
        disable_progress_bars()


def quiet_hub() -> None:
    """Disable the progress bars of `huggingface_hub`, in favour of our own."""
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()


def quiet_transformers() -> None:
    """Disable those of `transformers`, too, for a prior that is loaded in this process.

    It is not imported: when it is imported later, it takes the setting from `huggingface_hub`.
    """
    import sys

    quiet_hub()
    if "transformers" in sys.modules:
        from transformers.utils import logging as of_transformers

        of_transformers.disable_progress_bar()
