"""A process that has the libraries loaded and forks itself for each command or script; see `HfToEdit`.

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
from typing import Any

PATIENCE_S = 300


def _serve() -> None:
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
    gc.freeze()  # or each command would search all of the above for garbage, and so copy it
    pid = 0
    for line in sys.stdin:
        job = json.loads(line)
        if job == "wait":
            answer = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        else:
            answer = pid = os.fork() or _command(job)
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


def _command(job: dict[str, Any]) -> int:
    from hf_toedit.cli.main import cli

    code = 1
    try:
        os.chdir(job["cwd"])
        for number, path in enumerate((os.devnull, f"{job['files']}.out", f"{job['files']}.err")):
            os.dup2(os.open(path, os.O_CREAT | os.O_TRUNC | os.O_RDWR), number)
        signal.alarm(PATIENCE_S)
        if job["script"]:
            sys.argv = [job["script"], *job["args"]]
            runpy.run_path(job["script"], run_name="__main__")
        cli(job["args"], prog_name="hf-toedit")
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()
