"""What libraries log, warn of and show is kept out of what a command says."""

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
"""Libraries, and the variables of the environment that say how much they log."""


@contextmanager
def hushed_libraries() -> Iterator[None]:
    """Keep what libraries log and warn of out of a command, in this process and those that it starts.

    It is of no use to whoever reads it, such as that a card has no metadata, or a cache of fonts is built. Warnings of
    `huggingface_hub` name addresses that files are sent to, which are secrets for as long as they last. Nothing is
    imported for it, so that it is done first of all. A library goes on talking that somebody has made talk, by its
    variable in the environment. The environment and the levels of loggers are left as they were found.
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
    """Keep what `datasets` logs out of ours, and progress bars of libraries where no one looks.

    Args:
        show_progress: leave the progress bars of `datasets` and `huggingface_hub` to a terminal.
        quiet: keep our own warnings back as well.
    """
    import sys

    import datasets
    from huggingface_hub.utils import disable_progress_bars

    if quiet:
        logging.getLogger("hf_toedit").setLevel(logging.ERROR)
    datasets.logging.set_verbosity(logging.CRITICAL)  # it logs what it raises, and ours says it once
    if not (show_progress and sys.stderr.isatty()):
        datasets.disable_progress_bars()
        disable_progress_bars()


def quiet_hub() -> None:
    """Keep the progress bars of `huggingface_hub` away; there are our own."""
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()


def quiet_transformers() -> None:
    """The same for `transformers`, where a prior is loaded in this process.

    It is not imported for that: when it is, later on, it asks `huggingface_hub` whether bars are wanted.
    """
    import sys

    quiet_hub()
    if "transformers" in sys.modules:
        from transformers.utils import logging as of_transformers

        of_transformers.disable_progress_bar()
