"""Plans, cards and `--help` start without heavy libraries, so that they are fast."""

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
COMMANDS = [
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
]
CODE = {f"import {module}": unwanted for module, unwanted in LIGHT.items()} | {
    f"from hf_toedit.cli.main import cli; cli({args}, standalone_mode=False)": HEAVY for args in COMMANDS
}


def _loaded_by(code: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", code + REPORT], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_light_modules_and_help_load_no_heavy_library() -> None:
    """Modules load in turn in one interpreter: if one loads nothing heavy after others, it does not alone either."""
    least_first = sorted(CODE, key=lambda code: (len(HEAVY - CODE[code]), -len(CODE[code])))
    steps = [f"{code}\nprint('loaded', *{{name.partition('.')[0] for name in sys.modules}})" for code in least_first]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(["import sys", *steps])], capture_output=True, text=True, check=True
    )
    loaded = [set(line.split()) for line in done.stdout.splitlines() if line.startswith("loaded ")]
    found = {code: CODE[code] & after for code, after in zip(least_first, loaded, strict=True)}
    assert {code: unwanted for code, unwanted in found.items() if unwanted} == {}


def test_every_public_name_is_there() -> None:
    import hf_toedit

    assert all(getattr(hf_toedit, name) is not None for name in hf_toedit.__all__)
    assert dir(hf_toedit) == sorted(hf_toedit.__all__)
    with pytest.raises(AttributeError, match="no attribute 'ToEdit'"):
        _ = hf_toedit.ToEdit


NEEDLESS = {"transformers", "sympy", "gradio", "vllm", "torch._dynamo", "torch._inductor", "torch.distributed.tensor"}
"""Libraries that the embedded prior avoids: together they take longer to import than everything that it needs."""
WATCHED = """
import sys
started = []
sys.addaudithook(lambda event, args: event == "subprocess.Popen" and args[0] == sys.executable and started.append(1))
from hf_toedit.cli.main import cli
for args in {commands}:
    cli(args, standalone_mode=False)
    print("loaded", len(started), *sys.modules)
"""


@pytest.mark.parametrize(
    "commands",
    [
        [
            (["preview", "sample", "-n", "1"], 0, NEEDLESS | {"matplotlib"}),
            (["edit", "sample", "--limit", "2", "-o", "run", "--workers", "0"], 0, NEEDLESS),
        ],
        [(["edit", "sample", "--limit", "2", "-o", "run"], 1, NEEDLESS | {"torch"})],
    ],
    ids=["here", "by a worker"],
)
def test_a_first_result_loads_what_it_needs(commands: list[tuple[list[str], int, set[str]]], tmp_path: Path) -> None:
    """Commands run in turn in one interpreter, the one with the fewest allowed imports first."""
    code = WATCHED.format(commands=[args for args, _, _ in commands])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    said = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("loaded ")]
    for (_, num_processes, unwanted), (count, *loaded) in zip(commands, said, strict=True):
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
