"""What starts without the heavy libraries, so that plans, cards and `--help` are there at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

HEAVY = {"torch", "transformers", "matplotlib", "datasets", "pyarrow", "vllm"}
LIGHT = {
    "hf_toedit": HEAVY,
    "hf_toedit.config": HEAVY | {"yaml"},
    "hf_toedit.errors": HEAVY,
    "hf_toedit.stats": HEAVY,
    "hf_toedit.hub": HEAVY,
    "hf_toedit.runs.plan": HEAVY,
    "hf_toedit.cards.card": HEAVY,
    "hf_toedit.cards.edit_plots": HEAVY,
    "hf_toedit.cli.main": HEAVY,
    "hf_toedit.scripts": HEAVY,
    "hf_toedit.analysis.report": HEAVY | {"sklearn", "scipy"},
    "hf_toedit.api.compare": HEAVY - {"pyarrow"},
    "hf_toedit.features.text_stats": HEAVY | {"sklearn", "scipy"},
    "hf_toedit.features.importance": HEAVY | {"sklearn", "scipy"},
    "hf_toedit.editing.editor": HEAVY,
    "hf_toedit.picture.html": HEAVY | {"rich", "gradio"},
    "hf_toedit.picture.terminal": HEAVY | {"gradio"},
    "hf_toedit.runs.store": HEAVY - {"datasets", "pyarrow"},
    "hf_toedit.runs.planning": HEAVY,
    "hf_toedit.datasets_api.registration": HEAVY,
    "hf_toedit.runs.monitor": HEAVY - {"datasets", "pyarrow"},
    "hf_toedit.runs.status": HEAVY - {"datasets", "pyarrow"},
    "hf_toedit.engines.local": HEAVY - {"datasets", "pyarrow"},
    "hf_toedit.launch.slurm": HEAVY,
    "hf_toedit.sources.source": {"matplotlib", "transformers"},
    "hf_toedit.space.permalink": HEAVY,
    "hf_toedit.space.settings": HEAVY,
}
REPORT = "; import sys; print(*{name.partition('.')[0] for name in sys.modules})"


def _loaded_by(code: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", code + REPORT], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("module", LIGHT)
def test_a_light_module_loads_no_heavy_library(module: str) -> None:
    assert _loaded_by(f"import {module}") & LIGHT[module] == set()


@pytest.mark.parametrize(
    "args",
    [
        ["--help"],
        ["--version"],
        ["compare", "--help"],
        ["edit", "--help"],
        ["revert", "--help"],
        ["run", "--help"],
        ["slurm", "--help"],
        ["status", "--help"],
        ["card", "--help"],
        ["preview", "--help"],
        ["jobs", "submit", "--help"],
        ["space", "run", "--help"],
    ],
)
def test_help_loads_no_heavy_library(args: list[str]) -> None:
    code = f"from hf_toedit.cli.main import cli; cli({args}, standalone_mode=False)"
    assert _loaded_by(code) & HEAVY == set()


def test_every_public_name_is_there() -> None:
    import hf_toedit

    assert all(getattr(hf_toedit, name) is not None for name in hf_toedit.__all__)
    assert dir(hf_toedit) == sorted(hf_toedit.__all__)
    with pytest.raises(AttributeError, match="no attribute 'ToEdit'"):
        _ = hf_toedit.ToEdit


NEEDLESS = {"transformers", "sympy", "gradio", "vllm", "torch._dynamo", "torch._inductor", "torch.distributed.tensor"}
"""What the embedded prior does without: together they take longer to import than all that it needs."""
WATCHED = """
import sys
started = []
sys.addaudithook(lambda event, args: event == "subprocess.Popen" and args[0] == sys.executable and started.append(1))
from hf_toedit.cli.main import cli
cli({args}, standalone_mode=False)
print(len(started), *sys.modules)
"""


@pytest.mark.parametrize(
    "args, num_processes, unwanted",
    [
        (["preview", "sample", "-n", "1"], 0, NEEDLESS | {"matplotlib"}),
        (["edit", "sample", "--limit", "2", "-o", "run", "--workers", "0"], 0, NEEDLESS),
        (["edit", "sample", "--limit", "2", "-o", "run"], 1, NEEDLESS | {"torch"}),
    ],
)
def test_a_first_result_loads_what_it_needs(
    args: list[str], num_processes: int, unwanted: set[str], tmp_path: Path
) -> None:
    code = WATCHED.format(args=args)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    count, *loaded = done.stdout.splitlines()[-1].split()
    assert int(count) == num_processes
    assert unwanted & set(loaded) == set()


def test_what_draws_the_card_is_loaded_while_workers_load_the_model() -> None:
    code = """
        import sys
        from hf_toedit.api.engine import ready

        class Engine:
            def ready(self):
                return {"matplotlib.backends.backend_agg", "matplotlib.figure", "PIL.Image"} <= sys.modules.keys()

        assert ready(Engine())
    """
    assert not _loaded_by(dedent(code).strip()) & {"torch", "transformers", "datasets"}
