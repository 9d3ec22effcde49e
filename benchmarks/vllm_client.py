"""Starts vLLM in its own Python environment and sends it requests; it sleeps while other columns run."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import torch

from hf_toedit.priors.allocator import KEPT_BYTES, LARGEST_KEPT_BYTES

KV_CACHE_GB = 4
WORKER = Path(__file__).with_name("vllm_worker.py")
HEAD_SIZES = (32, 64, 80, 96, 112, 128, 160, 192, 224, 256, 512)
"""Head sizes that vLLM's attention supports on CPU."""


class VllmClient:
    """A process with a loaded model and documents.

    Attributes:
        version: Version of vLLM.
    """

    def __init__(self, python: str, log: Path, **load: Any) -> None:
        """Start the process, and wait until it has loaded the model.

        Args:
            python: Python with vLLM installed.
            log: File for vLLM's output.
            **load: Arguments of `vllm_worker.Reader`.
        """
        cores = ",".join(map(str, sorted(os.sched_getaffinity(0))[: torch.get_num_threads()]))
        environment = os.environ | {
            "PYTHONPATH": str(WORKER.parents[1]),
            "VLLM_CPU_KVCACHE_SPACE": str(KV_CACHE_GB),
            "VLLM_CPU_OMP_THREADS_BIND": cores,
            "VLLM_NO_USAGE_STATS": "1",
            "HF_HUB_OFFLINE": "1",
            # Waiting threads must not take cores from the other columns.
            "OMP_WAIT_POLICY": "passive",
            "KMP_BLOCKTIME": "0",
            # The other columns profit from these settings, so vLLM gets them as well.
            "MALLOC_TRIM_THRESHOLD_": str(KEPT_BYTES),
            "MALLOC_MMAP_THRESHOLD_": str(LARGEST_KEPT_BYTES),
        }
        environment.pop("OMP_NUM_THREADS", None)
        self._log = log.open("a", encoding="utf-8")
        with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as request:
            json.dump(load, request)
            request.flush()
            self._process = subprocess.Popen(
                [python, str(WORKER), request.name],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                encoding="utf-8",
            )
            self.version = self._answer()["version"]

    def read(self, column: str, num_documents: int, top_k: int = 8, selected: bool = False) -> dict[str, Any]:
        """Read the first documents; return the seconds within the process and, on request, the selected tokens."""
        request = {"column": column, "num_documents": num_documents, "top_k": top_k, "selected": selected}
        print(json.dumps(request), file=self._process.stdin, flush=True)
        return self._answer()

    def close(self) -> None:
        """Stop the process."""
        self._process.stdin.close()
        self._process.wait()
        self._log.close()

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"vLLM ended with code {self._process.wait()}; see {self._log.name}")
        return json.loads(line)
