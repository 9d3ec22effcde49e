"""A process that has libraries loaded and forks itself for each command, script or piece of code; see `Forker`.

Run as a module of its own: nothing here imports the tests, whose settings are not those of the command.
"""

from __future__ import annotations

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
from typing import Any

PATIENCE_S = 300


def _serve(load: Callable[[], object]) -> None:
    load()
    gc.freeze()  # or each process would search all of that for garbage, and so copy it
    pid = 0
    for line in sys.stdin:
        job = json.loads(line)
        if job == "wait":
            answer = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        else:
            answer = pid = os.fork() or _do(job)
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


def _all() -> None:
    """What commands load."""
    import datasets  # noqa: F401
    import matplotlib.backends.backend_agg  # noqa: F401
    import matplotlib.figure  # noqa: F401
    import torch  # noqa: F401
    import transformers

    import hf_toedit.cli

    commands = [module.name for module in pkgutil.iter_modules(hf_toedit.cli.__path__)]
    for name in (*(f"cli.{name}" for name in commands), "api.run", "cards.card", "priors.transformers"):
        importlib.import_module(f"hf_toedit.{name}")
    _ = transformers.AutoModelForCausalLM, transformers.AutoTokenizer, transformers.LlamaForCausalLM  # lazy otherwise


def _foreign() -> None:
    """What `datasets` and `transformers` load; those read the environment when they are loaded, and so come later."""
    torch = "torch", "torch._dynamo", "torch.distributed.tensor", "torch.export", "sympy"
    others = "aiohttp", "dill", "fsspec", "httpx", "multiprocess", "pandas", "requests", "xxhash", "yaml"
    for name in (*torch, *others, "pyarrow.dataset", "pyarrow.parquet"):
        importlib.import_module(name)


def _do(job: dict[str, Any]) -> int:
    code = 1
    try:
        os.chdir(job["cwd"])
        for number, path in enumerate((os.devnull, f"{job['files']}.out", f"{job['files']}.err")):
            os.dup2(os.open(path, os.O_CREAT | os.O_TRUNC | os.O_RDWR), number)
        signal.alarm(PATIENCE_S)
        if job.get("env") is not None:
            os.environ.clear()
            os.environ.update(job["env"])
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
    """As `python -c` does."""
    sys.argv = ["-c", *args]
    paths = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    sys.path[:1] = ["", *paths]
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    exec(compile(code, "<string>", "exec"), main.__dict__)


if __name__ == "__main__":
    _serve(_all if sys.argv[1] == "all" else _foreign)
