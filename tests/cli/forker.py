"""A process with loaded libraries that forks itself for each command, script or piece of code; see `Forker`.

Run it as a separate module: it does not import the tests, because their settings differ from those of the command.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import pkgutil
import runpy
import signal
import sys
import traceback
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

PATIENCE_S = 300


def serve(load: Callable[[], object], questions: TextIO, answers: TextIO) -> None:
    """Load the libraries, and fork for each job until the input ends."""
    gc.disable()  # loaded objects stay; collecting garbage among them takes a third of the time
    load()
    gc.enable()
    gc.freeze()  # otherwise each process would scan, and thereby copy, all of these objects
    for line in questions:
        job = json.loads(line)
        if isinstance(job, int):
            answer = os.waitstatus_to_exitcode(os.waitpid(job, 0)[1])
        else:
            answer = os.fork() or _do(job)
        answers.write(f"{answer}\n")
        answers.flush()


def everything() -> None:
    """Load everything that commands load."""
    import datasets  # noqa: F401
    import torch  # noqa: F401
    import transformers

    import hf_toedit.cli

    commands = [module.name for module in pkgutil.iter_modules(hf_toedit.cli.__path__)]
    for name in (*(f"cli.{name}" for name in commands), "api.run", "cards.card", "priors.transformers"):
        importlib.import_module(f"hf_toedit.{name}")
    _ = transformers.AutoTokenizer, transformers.LlamaForCausalLM  # imported lazily otherwise
    # Pay the costs of the first model of a process: tables of names, and their regular expressions.
    transformers.utils.logging.disable_progress_bar()  # starts a thread, which a fork would lose
    transformers.AutoModelForCausalLM.from_pretrained(Path(hf_toedit.__file__).parent / "priors" / "embedded")
    transformers.utils.logging.enable_progress_bar()


def foreign() -> None:
    """Load dependencies of `datasets`, `transformers` and cards; the former two read the environment and load later.

    Some of them are dependencies of only some versions, or of optional packages; a missing one is skipped.
    """
    torch = "torch", "torch._dynamo", "torch.distributed.tensor", "torch.export", "sympy"
    others = "aiohttp", "dill", "fsspec", "httpx", "httpx2", "multiprocess", "pandas", "requests", "xxhash", "yaml"
    more = "jinja2.sandbox", "regex", "rich.console", "safetensors.torch", "scipy.optimize", "tokenizers", "trio"
    drawing = "matplotlib.backends.backend_agg", "matplotlib.figure"
    for name in (*torch, *others, *more, *drawing, "pyarrow.dataset", "pyarrow.parquet"):
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module(name)


def _do(job: dict[str, Any]) -> int:
    code = 1
    try:
        if job.get("env") is not None:
            os.environ.clear()
            os.environ.update(job["env"])
            sys.path[1:1] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
        if job.get("pipes"):
            questions, answers = job["pipes"]
            serve(everything, open(questions, encoding="utf-8"), open(answers, "w", encoding="utf-8"))
            os._exit(0)
        os.chdir(job["cwd"])
        for number, path in enumerate((os.devnull, f"{job['files']}.out", f"{job['files']}.err")):
            os.dup2(os.open(path, os.O_CREAT | os.O_TRUNC | os.O_RDWR), number)
        signal.alarm(job.get("patience_s", PATIENCE_S))
        if job.get("script"):
            sys.argv = [job["script"], *job["args"]]
            runpy.run_path(job["script"], run_name="__main__")
        elif job.get("code"):
            _run(job["code"], job["args"])
        else:
            from hf_toedit.cli.main import cli

            cli(job["args"], prog_name="hf-toedit")
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _run(code: str, args: list[str]) -> None:
    """Run code like `python -c`."""
    sys.argv = ["-c", *args]
    sys.path[0] = ""
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    exec(compile(code, "<string>", "exec"), main.__dict__)


if __name__ == "__main__":
    serve(foreign, sys.stdin, sys.stdout)
