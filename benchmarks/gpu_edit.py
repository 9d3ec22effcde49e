"""The whole command on a GPU: edits by a real prior in bfloat16, killed and resumed, compared with float32 on CPU.

A part of `gpu_check.py`, which lists the requirements.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

NUM_ROWS = 200


def main() -> None:
    """Edit, kill, resume, and compare the selections."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    prior, shared = (os.environ.get(name) for name in ("HF_TOEDIT_PRIOR", "HF_TOEDIT_SHARED"))
    if not prior or not shared:
        sys.exit("set HF_TOEDIT_PRIOR to the folder of a prior, and HF_TOEDIT_SHARED to that of the text.")
    source = Path(shared) / "data" / "synthetic_tinystories_500.jsonl"
    folder = options.output.resolve() / "edit"
    shutil.rmtree(folder, ignore_errors=True)  # runs of an earlier check would only be continued
    what = ("--prior", prior, "--limit", str(NUM_ROWS), "--num-shards", "4", "--generations", "2", "-q")
    dtype = "bfloat16" if options.device.startswith("cuda") else "float32"

    here = (*what, "--device", options.device, "--dtype", dtype)
    undisturbed = _edit(source, folder / "undisturbed", *here)
    killed = subprocess.Popen([*_COMMAND, "edit", str(source), "-o", str(folder / "killed"), *here])
    while killed.poll() is None and not list((folder / "killed" / "data").rglob("*.parquet")):
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    resumed = _edit(source, folder / "killed", *here)
    exact = _edit(source, folder / "cpu", *what, "--device", "cpu", "--dtype", "float32")
    found = {
        "tokens_per_second": undisturbed["num_tokens"] / undisturbed["wall_s"],
        "selected_rate": undisturbed["selected_rate"],
        "selected_rate_cpu": exact["selected_rate"],
        "same_after_kill": {key: undisturbed[key] == resumed[key] for key in ("num_selected", "num_changed")},
    }
    (options.output / "edit.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=2))
    if abs(found["selected_rate"] / exact["selected_rate"] - 1) > 0.05:
        sys.exit("bfloat16 selects over 5 % more or fewer tokens than float32 on a CPU.")


_COMMAND = [sys.executable, "-m", "hf_toedit"]


def _edit(source: Path, folder: Path, *options: str) -> dict[str, float]:
    """Edit, verify, and return the figures of the first generation."""
    begun = time.monotonic()
    subprocess.run([*_COMMAND, "edit", str(source), "-o", str(folder), *options], check=True)
    wall = time.monotonic() - begun
    subprocess.run([*_COMMAND, "verify", str(folder)], check=True)
    status = subprocess.run([*_COMMAND, "status", str(folder), "--json"], check=True, capture_output=True, text=True)
    return {**json.loads(status.stdout)["generations"][0], "wall_s": wall}


if __name__ == "__main__":
    main()
