"""`hf-toedit probe --tasks` with the real lm-eval, and tasks over a file of this machine."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from hf_toedit.api.probe import estimate_probe, probe
from hf_toedit.errors import SourceError, UsageError
from tests.probes.small import SETTINGS, config_file, shuffled, stories, write
from tests.processes import OwnProcess

TASKS = ("story_ends", "story_bits")
YAML = {
    "ends": """
task: story_ends
dataset_path: json
dataset_kwargs: {{data_files: {{test: {path}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{begin}}}}"
doc_to_choice: "{{{{ends}}}}"
doc_to_target: label
num_fewshot: 2
fewshot_split: test
fewshot_config: {{sampler: default}}
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
  - {{metric: acc_norm, aggregation: mean, higher_is_better: true}}
metadata: {{version: 1.5}}
""",
    "bits": """
task: story_bits
dataset_path: json
dataset_kwargs: {{data_files: {{test: {path}}}}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{{{begin}}}}"
metric_list: [{{metric: bits_per_byte, aggregation: bits_per_byte, higher_is_better: false}}]
""",
    "both": "{{group: story_both, task: [story_ends, story_bits]}}",
    "mean": """
group: story_mean
task: [story_ends]
aggregate_metric_list: [{{metric: acc_norm, aggregation: mean, weight_by_size: true}}]
""",
    "broken": "{{task: story_broken, dataset_path: json, dataset_kwargs: {{data_files: {{test: {path}.none}}}}}}",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write tasks, two variants and held-out text; in `story_ends`, the wrong end has its words shuffled."""
    folder = tmp_path_factory.mktemp("given")
    found = stories(110)
    (folder / "tasks").mkdir()
    rows = []
    for number, text in enumerate(found[:24]):
        words = text.split()
        right = " ".join(words[6:14])
        wrong = shuffled([right], number)[0]
        ends = [right, wrong] if number % 2 else [wrong, right]
        rows.append({"begin": " ".join(words[:6]), "ends": ends, "label": ends.index(right)})
    path = folder / "ends.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    for name, text in YAML.items():
        (folder / "tasks" / f"{name}.yaml").write_text(text.format(path=path), encoding="utf-8")
    write(folder / "a.jsonl", found[24:])
    write(folder / "b.jsonl", shuffled(found[24:]))
    write(folder / "held-out.jsonl", found[:24])
    return folder


def probed(folder: Path, report: Path, **settings: Any) -> Any:
    given = {**SETTINGS, "seeds": 2, "task_folder": folder / "tasks", "progress": False, **settings}
    sources = {name: folder / f"{name}.jsonl" for name in ("a", "b")}
    evals = {"held-out": folder / "held-out.jsonl"}
    return probe(sources, evals, report, model=config_file(folder), **given)


SCRIPT = """
import sys
from pathlib import Path
from tests.examples.test_probe_tasks import TASKS, probed
probed(Path(sys.argv[1]), Path(sys.argv[2]), tasks=TASKS)
"""


def test_a_killed_probe_evaluates_only_what_is_missing(folder: Path, tmp_path: Path) -> None:
    """Weights are there until a model is evaluated; a model whose scores were deleted is trained again to the same."""
    report = tmp_path / "report"
    results, scores = (lambda name=name: set(report.rglob(name)) for name in ("result.json", "tasks.json"))
    with OwnProcess([sys.executable, "-c", SCRIPT, str(folder), str(report)]) as process:
        until = time.monotonic() + 200
        while time.monotonic() < until and len(results()) < 2:
            time.sleep(0.002)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    (weights,) = report.rglob("until-evaluated")
    second = weights.parent / "result.json"
    before = second.stat().st_mtime_ns
    deleted = report / "work/models/a/rate-0.03/seed-0/tasks.json"
    text = deleted.read_bytes()
    deleted.unlink()
    found = probed(folder, report, tasks=TASKS)
    assert second.stat().st_mtime_ns == before
    assert deleted.read_bytes() == text
    assert len(results()) == len(scores()) == 4
    assert not list(report.rglob("*.safetensors")) and not list(report.rglob("until-evaluated*"))

    tasks = found["tasks"]["results"]
    ends, bits = (tasks[name] for name in TASKS)
    assert (ends["metric"], ends["version"], ends["num_documents"]) == ("acc_norm", "1.5", 24)
    assert ends["interval_over"] == "seeds and documents" and bits["interval_over"] == "seeds"
    assert ends["higher_is_better"] and not bits["higher_is_better"]
    assert ends["differences"]["b"]["0.03"]["value"] < 0 < bits["differences"]["b"]["0.03"]["value"]
    for name in ("report.md", "report.html"):
        shown = (report / name).read_text(encoding="utf-8")
        assert f"{ends['scores']['b']['0.03']['value']:.4f} (± " in shown
        assert str(folder.parent) not in shown


def test_a_task_that_is_added_later(folder: Path, tmp_path: Path) -> None:
    """Models whose weights were kept are not trained again; scores are those of lm-eval itself."""
    report = tmp_path / "report"
    first = probed(folder, report, tasks=["story_ends"], task_limit=9, keep_models=True)
    before = {path: path.stat().st_mtime_ns for path in report.rglob("result.json")}
    found = probed(folder, report, tasks=["story_both", "story_mean"], task_limit=9)
    assert {path: path.stat().st_mtime_ns for path in report.rglob("result.json")} == before
    tasks = found["tasks"]["results"]
    assert tasks.keys() == {"story_ends", "story_bits", "story_mean"}
    assert tasks["story_ends"] == first["tasks"]["results"]["story_ends"]
    assert tasks["story_ends"]["num_documents"] == found["tasks"]["limit"] == 9
    for part in ("metric", "scores", "differences"):
        assert tasks["story_mean"][part] == tasks["story_ends"][part]
    assert len(list(report.rglob("model/model.safetensors"))) == 4
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    model = report / "work/models/b/rate-0.03/seed-1"
    expected = simple_evaluate(
        model="hf",
        model_args={"pretrained": str(model / "model"), "dtype": "float32"},
        tasks=["story_both"],
        task_manager=TaskManager(include_path=str(folder / "tasks"), include_defaults=False),
        limit=9,
        device="cpu",
    )
    stored = json.loads((model / "tasks.json").read_text())["found"]["story_both"]
    for task, metric in (("story_ends", "acc_norm"), ("story_bits", "bits_per_byte")):
        assert stored[task]["metric"] == metric
        assert stored[task]["value"] == pytest.approx(expected["results"][task][f"{metric},none"])
    assert stored["story_ends"]["documents"] == [sample["acc_norm"] for sample in expected["samples"]["story_ends"]]


def test_tasks_are_checked_before_any_training(folder: Path, tmp_path: Path) -> None:
    report = tmp_path / "report"
    with pytest.raises(UsageError, match="lm-eval has no task 'story_end'. Did you mean 'story_ends'?"):
        probed(folder, report, tasks=["story_ends", "story_end"])
    with pytest.raises(
        SourceError, match="task 'story_broken' of lm-eval cannot be loaded: .* leave it out of --tasks"
    ):
        probed(folder, report, tasks=["story_broken"])
    assert not report.exists()
    sources = {name: folder / f"{name}.jsonl" for name in ("a", "b")}
    given = {**SETTINGS, "model": config_file(folder), "task_folder": folder / "tasks", "tasks": TASKS}
    found = estimate_probe(sources, {"held-out": folder / "held-out.jsonl"}, **given)
    assert found["tasks"] == list(TASKS)
