"""The tests that take long: `make test` skips them, `make test-long` runs them, and CI runs both tiers."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).parent

LONG = {
    "analysis/test_embedding.py": "loads scikit-learn, and draws a cloud by t-SNE",
    "analysis/test_comparison.py": "compare datasets, a second each",
    "benchmarks": "simulate clusters and visitors",
    "browser": "open the demo in Chromium",
    "cards/test_golden.py": "make five runs and their cards, and run what these show",
    "cli/test_accept.py": "make runs of verified edits, verify and revert them",
    "cli/test_bad_input.py::TestOutput::test_a_full_disk": "fill a disk, with and without workers",
    "cli/test_compare.py": "measure and compare datasets",
    "cli/test_encodings.py::test_a_preview_where_python_knows_ascii_only": "start processes in another locale",
    "cli/test_encodings.py::test_an_edit_where_the_locale_is_c": "start processes in another locale",
    "cli/test_extension.py": "install the package from a GitHub of this machine",
    "cli/test_flat.py": "make runs with and without flat columns, verify and revert them",
    "cli/test_generate.py": "generate with and without workers, and kill a run",
    "cli/test_jobs.py": "run jobs that die, on a Hub of this machine",
    "cli/test_lean.py": "make a virtual environment",
    "cli/test_output.py::test_progress_is_shown_on_a_terminal_alone": "start processes on a terminal",
    "cli/test_plan.py::test_a_dry_run_of_a_large_source_says_an_interval": "estimate a large source",
    "cli/test_mix.py": "mix datasets",
    "cli/test_probe.py": "train small models",
    "cli/test_prune.py": "edit with a large vocabulary",
    "cli/test_push.py": "push to a Hub of this machine, and load what is there",
    "cli/test_push_along.py": "push while a run is killed",
    "cli/test_quiet.py": "start every command with fresh caches",
    "cli/test_remote.py": "kill runs in storage",
    "cli/test_select.py": "score, select, verify, and push a selection",
    "cli/test_slurm.py": "start the daemons of Slurm",
    "cli/test_space.py": "serve the demo, and push it",
    "cli/test_unread.py": "run with priors that fail on every text",
    "cli/test_waiting.py": "wait for a Hub and a store that do not answer",
    "editing/test_decay.py": "edit over generations at several temperatures",
    "engines/test_engine.py": "kill workers and whole runs",
    "engines/test_ray.py": "kill actors and nodes of a Ray cluster",
    "hub/test_writing.py": "try the Hub of this machine with the real clients, killed ones among them",
    "launch/test_slurm.py": "kill tasks of a Slurm cluster",
    "papers/test_eigenvalues.py::test_a_model_learns_and_is_kept": "train a model",
    "papers/test_eigenvalues.py::test_beams_are_those_of_generate": "train a model",
    "papers/test_eigenvalues.py::test_tables_end_to_end": "train some twenty small models",
    "papers/test_small_runs.py": "edit, generate, compare, select and train",
    "papers/test_summaries.py::test_figure_4_end_to_end": "train some twenty small models",
    "papers/test_summaries.py::test_summaries_and_perplexities_are_those_of_plain_transformers": "train a model",
    "priors/test_packing.py": "compare packs with the scores of models of every architecture",
    "priors/test_pruning.py": "edit twice, with every token and without those that cannot be selected",
    "priors/test_reference.py": "compare draws with distributions, thousands of times",
    "priors/test_memory.py": "measure memory in processes of their own",
    "probes/test_halves.py": "train some hundred small models",
    "probes/test_processes.py": "train in two processes",
    "probes/test_training.py": "kill a training",
    "probes/test_verdict.py::test_intervals_hold_the_truth": "simulate probes",
    "publish/test_push.py": "kill pushes, and let a Hub fail in every way",
    "runs/test_chaos.py": "kill runs at many moments",
    "runs/test_counting.py": "count tokens of sources of many files and of long texts",
    "runs/test_journal.py": "break off runs and go on, batch by batch",
    "runs/test_remote.py": "let storage fail at every request",
    "runs/test_store.py": "let writes be broken off at every step",
    "runs/test_types.py": "take every type from source to source",
    "scripts": "run the scripts of dataset_scripts/",
    "scorers/test_without_model.py": "make runs of scores, and verify them",
    "space/test_app.py": "serve the app",
    "space/test_dataset_tab.py": "load Gradio",
    "space/test_opening.py": "open runs on a Hub of this machine",
    "space/test_priors.py": "load priors from a Hub of this machine",
    "tasks/test_measure.py::test_a_run_that_was_killed_goes_on": "kill a run",
    "tasks/test_kills.py": "kill runs of scores",
    "tasks/test_score.py": "score in every way, by jobs on a Hub of this machine among them",
    "test_docs.py::test_python_examples_run": "run the examples of README and docs/",
    "test_docs.py::test_shown_output_is_that_of_the_commands": "run the commands whose output docs/ shows",
    "test_extending.py": "run the examples of docs/extending.md with workers",
    "test_notebook.py": "run the notebook",
    "test_types.py": "check programs with mypy",
    "test_wheel.py": "build the wheel, and run it in an environment that uv makes",
}
"""Folders, files and single tests, with their content."""


FIRST = (
    "engines/test_ray.py",
    "engines/test_engine.py",
    "runs/test_chaos.py",
    "cli/test_remote.py",
    "launch/test_slurm.py",
    "cli/test_jobs.py",
    "test_docs.py",
    "cli/test_push.py",
    "browser/test_demo.py",
    "cards/test_golden.py",
    "priors/test_packing.py",
    "cli/test_plan.py",
    "datasets_api/test_builder.py",
    "editing/test_properties.py",
    "cli/test_bad_input.py",
)
"""The slowest files, slowest first: if one started last, one core would wait for the other."""


def is_long(file: Path, test: str) -> bool:
    """Whether a test of a file takes long, or all of its tests do."""
    name = file.relative_to(TESTS)
    return f"{name.as_posix()}::{test}" in LONG or any(part.as_posix() in LONG for part in (name, *name.parents))


def order(file: Path) -> int:
    """Return the rank of a file in the order of execution."""
    name = file.relative_to(TESTS).as_posix()
    return FIRST.index(name) if name in FIRST else len(FIRST)
