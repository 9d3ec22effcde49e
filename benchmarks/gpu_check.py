"""Check whether everything works on this machine's GPU, and how fast; writes a self-contained report.

python benchmarks/gpu_check.py --output gpu-check

Needs torch, transformers, pytest, msgspec and xxhash, for the part edit also the other dependencies of hf-toedit, and
no `make` or network. Packages that the machine lacks can be brought along from one with the same version of Python:

    pip install --no-deps --target carried msgspec xxhash
    PYTHONPATH=carried python benchmarks/gpu_check.py

Of files outside the repository it needs only these, named by environment variables:

- HF_TOEDIT_SHARED: a folder with data/synthetic_tinystories_500.jsonl, rows of JSON with a `text` (parts tests, edit);
- HF_TOEDIT_PRIOR: the folder of a prior, such as SmolLM2-135M (part edit).

Each part runs in its own process with a time limit, and is written as soon as it is done. A part fails if a requirement
is missing; the other parts still run.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("torch", "transformers", "tokenizers", "triton", "flash-attn", "datasets", "msgspec", "numpy", "pyarrow")
NEEDED = ("torch", "transformers", "msgspec", "xxhash")
MORE = {"tests": ("pytest",), "edit": ("datasets", "matplotlib")}
"""Packages that all parts import besides the dependencies of torch and transformers, and those of single parts."""

GPU = "benchmarks/gpu.py"
PARTS: dict[str, tuple[int, list[list[str]]]] = {
    "tests": (
        300,
        [["-m", "pytest", "-q", "--noconftest", "-p", "no:cacheprovider", "tests/priors/test_cuda.py",
          "tests/priors/test_varlen.py"]],
    ),
    "small": (240, [[GPU, "--size", "small", "--tokens", "200000", "--rounds", "1"]]),
    "8b": (480, [[GPU, "--size", "8b", "--tokens", "200000", "--rounds", "2"]]),
    "budgets": (
        480,
        [[GPU, "--size", "8b", "--tokens", "200000", "--rounds", "1", "--no-compile", "--columns", "score, threads",
          "--token-budget", str(budget)] for budget in (4096, 8192, 16_384)],
    ),
    "edit": (480, [["benchmarks/gpu_edit.py"]]),
}  # fmt: skip
"""Time limit in seconds and commands of each part."""

_PATIENCE_S = 120
_FOLDERS = ("HF_TOEDIT_SHARED", "HF_TOEDIT_PRIOR")

_MACHINE = """
import json, torch
torch.zeros(1, device="cuda")  # says why it does not work
properties = torch.cuda.get_device_properties(0)
print(json.dumps({
    "device": properties.name,
    "number": torch.cuda.device_count(),
    "memory_gb": round(properties.total_memory / 1e9, 1),
    "capability": f"{properties.major}.{properties.minor}",
    "cuda": torch.version.cuda,
}))
"""


def main() -> None:
    """Run the parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--output", type=Path, default=Path("gpu-check"), help="folder of the report")
    parser.add_argument("--device", default="cuda", help="cpu shows that the script runs through")
    parser.add_argument("--size", help="instead of the sizes of the parts: tiny, with --device cpu")
    options = parser.parse_args()
    options.output = options.output.resolve()  # the parts run in another folder
    options.output.mkdir(parents=True, exist_ok=True)
    if missing := _missing(NEEDED):
        sys.exit(f"gpu_check.py needs {missing}. Install them: pip install {missing.replace(',', '')}")
    machine = _machine()
    report: dict[str, object] = {"machine": machine, "packages": {name: _version(name) for name in PACKAGES}}
    _say(options.output, report)
    if options.device.startswith("cuda") and "failed" in machine:
        sys.exit("gpu_check.py needs a CUDA GPU, and torch finds none; --device cpu --size tiny runs it without one.")
    codes = {}
    for part in options.parts:
        limit, commands = PARTS[part]
        until = time.monotonic() + limit
        for number, command in enumerate(commands):
            name = f"{part}-{number}" if len(commands) > 1 else part
            if missing := _missing(MORE.get(part, ())):
                print(f"\n== {name}: needs {missing}", flush=True)
                codes[name] = 1
            else:
                codes[name] = _run(name, _adapted(command, name, options), until, options.output)
            report["exit codes"] = codes
            _say(options.output, report)
    sys.exit(any(codes.values()))


def _missing(names: tuple[str, ...]) -> str:
    """Return the packages that cannot be imported, separated by commas."""
    return ", ".join(name for name in names if find_spec(name) is None)


def _adapted(command: list[str], name: str, options: argparse.Namespace) -> list[str]:
    """Return a command with its device, size and output."""
    if command[0] == "-m":
        return command
    if command[0] != GPU:
        return [*command, "--device", options.device, "--output", str(options.output)]
    found = [*command, "--device", options.device, "--output", str(options.output / f"{name}.json")]
    return [*found, "--size", options.size, "--tokens", "4000"] if options.size else found


def _run(name: str, command: list[str], until: float, folder: Path) -> int:
    """Run a part; its output goes to a file as it arrives, and the end of it to the screen."""
    print(f"\n== {name}: {' '.join(command)}", flush=True)
    begun = time.monotonic()
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=_environment(),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that the processes that it starts end with it, and leave the GPU
        )
        try:
            code = process.wait(max(until - time.monotonic(), 1))
        except subprocess.TimeoutExpired:
            code = 124
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    print((folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")[-6000:])
    print(f"== {name}: exit code {code}, {time.monotonic() - begun:.0f} s", flush=True)
    return code


def _environment() -> dict[str, str]:
    """Return the environment of a part, which runs in another folder than this script."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "HF_HUB_OFFLINE": "1", "HF_TOEDIT_REQUIRE_SHARED": "1"}
    environment |= {name: os.path.abspath(os.environ[name]) for name in _FOLDERS if os.environ.get(name)}
    paths = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    return environment | {"PYTHONPATH": os.pathsep.join([str(ROOT), *map(os.path.abspath, paths)])}


def _say(folder: Path, report: dict[str, object]) -> None:
    text = json.dumps(report, indent=2)
    (folder / "report.json").write_text(text + "\n", encoding="utf-8")
    print(text, flush=True)


def _machine() -> dict[str, object]:
    """Describe the GPU, from a process of its own: a CUDA context here would use memory that the parts measure."""
    try:
        done = _asked([sys.executable, "-c", _MACHINE])
    except subprocess.TimeoutExpired as error:
        return {"device": "cpu", "failed": str(error)}
    if done.returncode:
        return {"device": "cpu", "failed": done.stderr.strip()[-500:]}
    try:
        driver = _asked(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]).stdout.split()[:1]
    except (OSError, subprocess.TimeoutExpired):  # a container may lack the program
        driver = []
    return {**json.loads(done.stdout.splitlines()[-1]), "driver": driver}


def _asked(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, env=_environment(), timeout=_PATIENCE_S)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
