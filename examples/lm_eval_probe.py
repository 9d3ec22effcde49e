"""Evaluate the models that a probe trained with lm-eval (the Language Model Evaluation Harness).

    hf-toedit probe human=human.jsonl edited=run --eval held-out=held-out.jsonl --keep-models -o report
    pip install 'lm-eval[hf]'
    python examples/lm_eval_probe.py report --tasks arc_easy hellaswag
    python examples/lm_eval_probe.py report --held-out held-out.jsonl

`--keep-models` keeps each trained model as a folder that `transformers` loads. The first call of the script evaluates
them on tasks of lm-eval, the second on a task that is defined here: bits per byte of held-out texts (fewer is better).
"""

import argparse
from pathlib import Path
from typing import Any

from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager


def held_out_task(path: str) -> dict[str, Any]:
    """A task of lm-eval: how well a model predicts the texts of a .jsonl file."""
    return {
        "task": "held_out",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": path}},
        "test_split": "test",
        "output_type": "loglikelihood_rolling",
        "doc_to_text": "",
        "doc_to_target": "{{text}}",
        "metric_list": [{"metric": "bits_per_byte", "aggregation": "bits_per_byte", "higher_is_better": False}],
    }


def main() -> None:
    """Evaluate each kept model, and print a line per metric."""
    parser = argparse.ArgumentParser(description="Evaluate the models of a probe with lm-eval.")
    parser.add_argument("report", help="output folder of hf-toedit probe --keep-models")
    parser.add_argument("--tasks", nargs="*", default=[], help="names of tasks of lm-eval")
    parser.add_argument("--held-out", help=".jsonl file with a column text; adds the task held_out")
    parser.add_argument("--device", default="cpu", help="device of the models (default: cpu)")
    args = parser.parse_args()

    tasks = [*args.tasks, *([held_out_task(args.held_out)] if args.held_out else [])]
    manager = TaskManager(include_defaults=bool(args.tasks))
    for model in sorted(Path(args.report).glob("work/models/**/model")):
        found = simple_evaluate(
            model="hf",
            model_args={"pretrained": str(model), "dtype": "float32"},
            tasks=tasks,
            task_manager=manager,
            device=args.device,
            batch_size=8,
            log_samples=False,
        )
        variant = model.parent.relative_to(Path(args.report, "work/models"))
        for task, metrics in found["results"].items():
            for name, value in metrics.items():
                if isinstance(value, float) and "stderr" not in name:
                    print(variant, task, name.removesuffix(",none"), f"{value:.4f}")


if __name__ == "__main__":
    main()
