"""Check whether everything works on this machine's GPU, and how fast; writes a self-contained report.

python benchmarks/gpu_check.py --output gpu-check

Needs no `make`, network or `datasets`, and only these files outside the repository, named by environment variables:

- HF_TOEDIT_SHARED: a folder with data/synthetic_tinystories_500.jsonl, rows of JSON with a `text` (parts tests, edit);
- HF_TOEDIT_PRIOR: the folder of a prior, such as SmolLM2-135M (part edit, which needs `datasets` as well).

Each part runs in its own process with a time limit, and is written as soon as it is done. A part fails if a requirement
is missing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("torch", "transformers", "tokenizers", "triton", "flash-attn", "datasets", "msgspec", "numpy", "pyarrow")
NEEDED = ("torch", "transformers", "tokenizers", "msgspec", "numpy", "regex", "pyarrow", "safetensors", "pytest")

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


def main() -> None:
    """Run the parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--output", type=Path, default=Path("gpu-check"), help="folder of the report")
    parser.add_argument("--device", default="cuda", help="cpu shows that the script runs through")
    parser.add_argument("--size", help="instead of the sizes of the parts: tiny, with --device cpu")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    if missing := [name for name in NEEDED if _version(name) is None]:
        sys.exit(f"gpu_check.py needs {', '.join(missing)}. Install them: pip install {' '.join(missing)}")
    report: dict[str, object] = {"machine": _machine(), "packages": {name: _version(name) for name in PACKAGES}}
    _say(options.output, report)
    codes = {}
    for part in options.parts:
        limit, commands = PARTS[part]
        until = time.monotonic() + limit
        for number, command in enumerate(commands):
            name = f"{part}-{number}" if len(commands) > 1 else part
            codes[name] = _run(name, _adapted(command, name, options), until, options.output)
            report["exit codes"] = codes
            _say(options.output, report)
    sys.exit(any(codes.values()))


def _adapted(command: list[str], name: str, options: argparse.Namespace) -> list[str]:
    """Return a command with its device, size and output."""
    if command[0] == "-m":
        return command
    if command[0] != GPU:
        return [*command, "--device", options.device, "--output", str(options.output)]
    found = [*command, "--device", options.device, "--output", str(options.output / f"{name}.json")]
    return [*found, "--size", options.size, "--tokens", "4000"] if options.size else found


def _run(name: str, command: list[str], until: float, folder: Path) -> int:
    """Run a part; its output goes to a file and to the screen as it arrives."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "HF_HUB_OFFLINE": "1", "HF_TOEDIT_REQUIRE_SHARED": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    print(f"\n== {name}: {' '.join(command)}", flush=True)
    begun = time.monotonic()
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            code = process.wait(max(until - time.monotonic(), 1))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            code = 124
    print((folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")[-6000:])
    print(f"== {name}: exit code {code}, {time.monotonic() - begun:.0f} s", flush=True)
    return code


def _say(folder: Path, report: dict[str, object]) -> None:
    text = json.dumps(report, indent=2)
    (folder / "report.json").write_text(text + "\n", encoding="utf-8")
    print(text, flush=True)


def _machine() -> dict[str, object]:
    import torch

    if not torch.cuda.is_available():
        return {"device": "cpu"}
    properties = torch.cuda.get_device_properties(0)
    driver = subprocess.run(
        ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"], capture_output=True, text=True
    )
    return {
        "device": properties.name,
        "number": torch.cuda.device_count(),
        "memory_gb": round(properties.total_memory / 1e9, 1),
        "capability": f"{properties.major}.{properties.minor}",
        "cuda": torch.version.cuda,
        "driver": driver.stdout.strip().splitlines()[:1],
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
