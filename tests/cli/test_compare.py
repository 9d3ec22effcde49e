"""`hf-toedit compare`: the report on real texts, and errors."""

from __future__ import annotations

import gzip
import itertools
import json
import time
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hf_toedit as package
from hf_toedit.api.compare import compare
from hf_toedit.api.named import parsed, shown_priors
from hf_toedit.api.request import RunRequest
from hf_toedit.api.run import Run
from hf_toedit.api.sampled import evenly, sample_texts, sampled_shards
from hf_toedit.config import SourceConfig
from hf_toedit.errors import UsageError
from hf_toedit.storage.layout import REPORTS
from hf_toedit.tasks.measure import MeasureTask
from tests.cli.command import Finished, HfToEdit, prior
from tests.cli.pushing import load, pushed
from tests.hub_server import HubServer
from tests.shared import shared, texts
from tests.test_hub_server import client

PLOTS = {"ngrams.png", "similarity.png", "perplexity-1.png", "probability-1.png"}
ODD = "pa[p]ers_*of*_|.jsonl"


def write(path: Path, documents: list[str], column: str = "text") -> Path:
    path.write_text("".join(json.dumps({column: text}) + "\n" for text in documents), encoding="utf-8")
    return path


def shown_prior() -> str:
    """Return what a report calls the prior."""
    return Path(prior()[1]).name


@pytest.fixture(scope="module")
def variants(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Write two halves of one dataset, and another dataset whose name contains Markdown."""
    folder = tmp_path_factory.mktemp("variants")
    stories = [text[:160] for text in texts("synthetic_tinystories_500")[:240]]
    papers = [text[:160] for text in texts("biomed_pubmedqa_l")[:100]]
    found = {"half": stories[::2], "other_half": stories[1::2]}
    sources = {name: write(folder / f"{name}.jsonl", part) for name, part in found.items()}
    sources["papers"] = write(folder / ODD, papers)
    return tuple(f"{name}={source}" for name, source in sources.items())


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("output") / "report"


@pytest.fixture(scope="module")
def done(hf_toedit: HfToEdit, variants: tuple[str, ...], output: Path) -> Finished:
    """Write the report; read-only for tests."""
    return hf_toedit("compare", *variants, "-o", output, *prior())


@pytest.fixture
def report(done: Finished, output: Path) -> Any:
    assert (done.code, done.stderr) == (0, ""), done
    return json.loads((output / "report.json").read_text(encoding="utf-8"))


def test_the_report(done: Finished, report: Any, output: Path) -> None:
    assert {path.name for path in output.iterdir()} == {
        "report.md", "report.html", "report.json", "assets", "work",
    }  # fmt: skip
    assert {path.name for path in (output / "assets").iterdir()} == PLOTS
    assert report["reference"] == "half"
    verdicts = {name: found["verdict"] for name, found in report["comparisons"].items()}
    assert verdicts == {"other_half": "no difference seen", "papers": "pure synthetic"}
    lines = done.stdout.splitlines()
    assert lines[0].startswith("other_half against half: no difference seen, since the Jensen-Shannon divergence")
    assert lines[-1] == f"Report: {output / 'report.md'}"
    name = shown_prior()
    alike, different = (report["comparisons"][other]["coverage"][name] for other in ("other_half", "papers"))
    assert alike["span"] > 0.8 and alike["beyond"] < 0.15
    assert different["beyond"] > 0.8
    for found in report["variants"].values():
        assert sum(found["readings"][name]["probability_shares"]) == pytest.approx(1)


def test_markdown_is_escaped(report: Any, output: Path) -> None:
    text = (output / "report.md").read_text(encoding="utf-8")
    assert r"pa\[p\]ers\_\*of\*\_&#124;.jsonl" in text and r"<code>other\_half</code>" in text
    assert all(line.count("|") == lines[0].count("|") for lines in tables(text) for line in lines)
    assert f"{report['comparisons']['papers']['coverage'][shown_prior()]['beyond']:.2%}" in text
    assert all(f"(assets/{name})" in text for name in PLOTS)
    js = report["comparisons"]["papers"]["divergence"]["both"]["figures"]["js"]
    value, low, high, floor, limit = (
        f"{js[name]:.3f}" for name in ("value", "low", "high", "noise_floor", "noise_high")
    )
    assert f"| both | Jensen-Shannon | {value} | {low} to {high} | {floor} | {limit} |" in text


def tables(text: str) -> list[list[str]]:
    parts = [part.splitlines() for part in text.split("\n\n")]
    return [lines for lines in parts if lines[0].startswith("| ")]


def test_the_same_command_again_reads_nothing(
    hf_toedit: HfToEdit, variants: tuple[str, ...], report: Any, output: Path
) -> None:
    files = [path for path in (output / "work").rglob("*") if path.is_file()]
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}
    text = (output / "report.json").read_bytes()
    assert len([path for path in files if "stats" in path.parts]) == 6
    again = hf_toedit("compare", *variants, "-o", output, *prior(), "--json")
    assert (again.code, again.stderr, again.json) == (0, "", report)
    after = [path for path in (output / "work").rglob("*") if path.is_file()]
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in after} == before
    assert (output / "report.json").read_bytes() == text


def test_other_settings_are_not_mixed_in(
    hf_toedit: HfToEdit, variants: tuple[str, ...], report: Any, output: Path
) -> None:
    for options, expected in (
        (("--seed", 5), "--seed is 0 in the run and 5 here"),
        (("--limit", 9), "--limit is not given in the run and 9 here"),
    ):
        assert expected in hf_toedit.fails("compare", *variants, "-o", output, *options)


def test_two_priors(hf_toedit: HfToEdit, tmp_path: Path) -> None:
    """The report contains their agreement; the order of the priors does not matter."""
    stories = [text[:120] for text in texts("synthetic_tinystories_500")[:40]]
    variants = [f"{name}={write(tmp_path / f'{name}.jsonl', part)}" for name, part in (("a", stories), ("b", stories))]
    priors = [prior()[1], "embedded"]
    output = tmp_path / "report"
    asked = [word for name in priors for word in ("--prior", name)]
    hf_toedit("compare", *variants, "-o", output, *asked, "-q")
    found = json.loads((output / "report.json").read_text(encoding="utf-8"))
    [pair] = found["variants"]["a"]["agreements"]
    assert pair["priors"] == [shown_prior(), "embedded"] and pair["num_documents"] == 40
    assert pair["low"] < pair["spearman"] < pair["high"]
    assert f"{pair['spearman']:.3f}" in (output / "report.md").read_text(encoding="utf-8")
    before = {path: path.stat().st_mtime_ns for path in (output / "work").rglob("stats/**/*.json")}
    assert len(before) == 6
    hf_toedit("compare", *variants, "-o", output, *asked[2:], *asked[:2], "-q")
    assert {path: path.stat().st_mtime_ns for path in (output / "work").rglob("stats/**/*.json")} == before


def test_the_sample_is_the_same_on_a_slow_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The source is a compressed file, which can only be read from its beginning."""
    path = tmp_path / "long.jsonl.gz"
    rows = (json.dumps({"text": f"{number} " * 3000}) for number in range(600))
    path.write_bytes(gzip.compress("\n".join(rows).encode(), 1))
    plan = RunRequest(SourceConfig(str(path)), MeasureTask()).plan(MeasureTask)
    fast = sample_texts(plan, 0)
    clock = itertools.count(step=1e6)
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    assert sample_texts(plan, 0) == fast
    assert sum(map(len, fast)) > 3_900_000


@settings(deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=6), st.integers(1, 60), st.integers(0, 5))
def test_each_file_gives_its_share_of_a_sample(sizes: list[int], count: int, seed: int) -> None:
    total = sum(sizes)
    rows = evenly(total, count, seed)
    assert len(rows) == len(set(rows.tolist())) == min(count, total) and list(rows) == sorted(rows)
    first = 0
    for size in sizes:
        taken = ((rows >= first) & (rows < first + size)).sum()
        assert abs(taken - len(rows) * size / max(total, 1)) < 2
        first += size


def test_a_sample(hf_toedit: HfToEdit, tmp_path: Path) -> None:
    """Sample several files whose rows are not counted when planning; the run resumes; another sample is another run."""
    for name, found in (("a", texts("synthetic_tinystories_500")[:90]), ("b", texts("biomed_pubmedqa_l")[:60])):
        for number in range(3):
            (tmp_path / name).mkdir(exist_ok=True)
            write(tmp_path / name / f"{number}.jsonl", [text[:160] for text in found[number::3]])
    output = tmp_path / "report"
    asked = (
        "compare",
        f"a={tmp_path / 'a'}",
        f"b={tmp_path / 'b'}",
        "-o",
        output,
        "-q",
        *prior(),
        "--workers",
        0,
        "--sample",
    )
    assert hf_toedit(*asked, 45).code == 0
    first = (output / "report.json").read_bytes()
    found = json.loads(first)
    assert [entry["texts"]["num_documents"] for entry in found["variants"].values()] == [45, 45]
    read = [entry["readings"] for entry in found["variants"].values()]
    assert [readings[shown_prior()]["num_documents"] for readings in read] == [45, 45]
    assert str(shared("models")) not in first.decode() + (output / "report.md").read_text()
    assert found["sampled_rows"] == 45 and "45 rows were drawn evenly" in (output / "report.md").read_text()
    before = {path: path.stat().st_mtime_ns for path in (output / "work").rglob("stats/**/*.json")}
    assert hf_toedit(*asked, 45).code == 0 and (output / "report.json").read_bytes() == first
    assert {path: path.stat().st_mtime_ns for path in (output / "work").rglob("stats/**/*.json")} == before
    assert hf_toedit(*asked, 80).code == 0
    found = json.loads((output / "report.json").read_bytes())
    assert [entry["texts"]["num_documents"] for entry in found["variants"].values()] == [80, 60]


def test_texts_of_a_large_sample(tmp_path: Path) -> None:
    """The texts are those of the sampled rows."""
    path = write(tmp_path / "long.jsonl", [f"{number} " * 3000 for number in range(800)])
    plan = RunRequest(SourceConfig(str(path)), MeasureTask()).plan(MeasureTask)
    drawn = replace(plan, shards=sampled_shards(plan, 500, 1))
    found = {int(text.split()[0]) for text in sample_texts(drawn, 1)}
    [shard] = drawn.shards
    assert shard.rows is not None and len(shard.rows) == 500
    assert found <= set(shard.rows.tolist()) and 300 < len(found) < 450
    assert min(found) < 30 and max(found) > 770


def test_a_generation_of_a_run(hf_toedit: HfToEdit, source: Path, run: Path, tmp_path: Path) -> None:
    variants = f"source={source}", f"edited={run}:gen1"
    made = hf_toedit("compare", *variants, "-o", tmp_path / "report", "-q")
    assert (made.code, made.stdout, made.stderr) == (0, "", ""), made
    found = json.loads((tmp_path / "report/report.json").read_text())
    assert found["variants"]["edited"]["source"] == f"{run.name}:gen1"  # does not contain a local path
    before, after = (found["variants"][name]["texts"] for name in ("source", "edited"))
    assert before["num_documents"] == after["num_documents"] and before["num_characters"] != after["num_characters"]
    assert found["comparisons"]["edited"]["verdict"] == "not enough data"
    assert "gen9" in hf_toedit.fails("compare", f"a={source}", f"b={run}:gen9", "-o", tmp_path / "other")


def test_edits_of_runs(hf_toedit: HfToEdit, source: Path, run: Path, tmp_path: Path) -> None:
    """Edits, and scores of texts by the run's prior, are taken from the run."""
    [rows] = (run / "data/gen1").glob("*.parquet")
    output = tmp_path / "report"
    variants = f"source={source}", f"copy={rows}", f"first={run}:gen1", f"last={run}"
    made = hf_toedit("compare", *variants, "-o", output, *prior(), "-q")
    assert (made.code, made.stderr) == (0, ""), made
    found = json.loads((output / "report.json").read_text(encoding="utf-8"))
    edits = {name: entry["edits"] for name, entry in found["variants"].items()}
    assert {name: len(entries) for name, entries in edits.items()} == {"source": 0, "copy": 0, "first": 1, "last": 3}
    assert edits["first"] == edits["last"][:1]
    stats = Run.open(run).stats(3)
    assert edits["last"][2]["changed_rate"] == stats.changed_rate and edits["last"][2]["eta"]
    [overlap] = found["overlaps"]
    assert overlap["datasets"] == ["first", "last"] and 0 < overlap["shared"][1] <= overlap["shared"][0] <= 1
    readings = {path.parent.name for path in (output / "work").glob("*/read-*")}
    assert readings == {"source", "copy", "last"}
    assert found["variants"]["first"]["readings"] == found["variants"]["copy"]["readings"]
    text = (output / "report.md").read_text(encoding="utf-8")
    assert "## Edits" in text and f"{overlap['shared'][1]:.2%}" in text and "inside a word" in text


@pytest.mark.parametrize(
    ("args", "code", "expected"),
    [
        (("{one}",), 2, "a comparison needs two variants or more."),
        (("{one}", "sample"), 2, "variant 'sample' is not NAME=SOURCE. Write it as human=org/web, for example."),
        (("{one}", "=sample"), 2, "variant '=sample' is not NAME=SOURCE."),
        (("{one}", "b="), 2, "variant 'b=' is not NAME=SOURCE."),
        (("{one}", "half=sample"), 2, "two variants are called 'half'. Give each a name of its own."),
        (("{one}", "a/b=sample"), 2, "variant name 'a/b' must begin with a letter or digit"),
        (("{one}", "..=sample"), 2, "variant name '..' must begin"),
        (("{one}", "_b=sample"), 2, "variant name '_b' must begin"),
        (("{one}", "b" * 41 + "=sample"), 2, "40 of them at most. Choose another name."),
        (("{one}", "b=none.jsonl"), 1, "none.jsonl"),
        (("{one}", "b=sample", "--text-column", "body"), 1, "'body'"),
        (("{one}", "b=sample", "--workers", "x"), 2, "workers 'x' is not a number. Name one, or auto."),
        (("{one}", "b=sample", "--workers", "-1"), 2, "workers '-1' is not a number."),
        (("{one}", "b=sample", "--limit", "0"), 2, "limit"),
        (("{one}", "b=sample", "--sample", "0"), 2, "sample 0 is out of range: it must be 1 or more."),
        (("{one}", "b=sample", "--epsilon", "0"), 2, "epsilon 0.0 is out of range: it must be above 0."),
        (("{one}", "b=sample", "--epsilon", "nan"), 2, "epsilon nan is out of range"),
        (("{one}", "b=sample", "--seed", "-1"), 2, "seed -1 is out of range: it must be between 0 and 4,294,967,295."),
        (("{one}", "b=sample", "--prior", "embedded", "--prior", "embedded"), 2, "prior embedded is given twice."),
        (("{one}", "b=sample", "--push-to", "mine"), 2, "repository 'mine' lacks its owner. Name it as org/name."),
        (("{one}", "b={blank}", "--prior", "embedded"), 2, "variant 'b' ({blank}) has no text. Name the column"),
    ],
)
def test_bad_input(
    args: tuple[str, ...], code: int, expected: str, hf_toedit: HfToEdit, variants: tuple[str, ...], tmp_path: Path
) -> None:
    blank = write(tmp_path / "blank.jsonl", ["", " \n"])
    given = [arg.format(one=variants[0], blank=blank) for arg in args]
    assert expected.format(blank=blank) in hf_toedit.fails("compare", *given, "-o", tmp_path / "report", code=code)
    if code == 2 and "has no text" not in expected:
        assert not (tmp_path / "report").exists()


def test_output_of_something_else(hf_toedit: HfToEdit, variants: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work/mine.txt").write_text("mine")
    asked = "compare", *variants[:2], "-o"
    assert "is not empty and holds no report. Name a new folder with -o." in hf_toedit.fails(*asked, tmp_path)
    assert "is a file. Name a folder" in hf_toedit.fails(*asked, tmp_path / "work/mine.txt")
    assert "is not on this machine" in hf_toedit.fails(*asked, "s3://bucket/report")


def test_from_python(variants: tuple[str, ...], tmp_path: Path) -> None:
    named = parsed(variants, "variant")
    with pytest.raises(UsageError, match=r"unknown setting 'text_colum'.* 'text_column'"):
        compare(named, tmp_path / "report", text_colum="text")  # type: ignore[call-arg]
    assert not (tmp_path / "report").exists()
    assert package.compare is compare


def test_a_report_is_pushed_beside_the_data(
    hub: HubServer, command: HfToEdit, variants: tuple[str, ...], tmp_path: Path
) -> None:
    """`datasets` does not load it, a later push of a run keeps it, and pushing it again sends nothing."""
    asked = "compare", *variants[:2], "-o", tmp_path / "half and half", "--push-to", "org/compared"
    done = command(*asked)
    assert (done.code, done.stderr) == (0, ""), done
    at = ".toedit/compare/half-and-half"
    assert done.stdout.endswith(f"Pushed: {hub.endpoint}/datasets/org/compared/blob/main/{at}/report.md\n")
    repo = pushed(hub, "org/compared")
    assert repo.private
    files = {f"{at}/{name}" for name in ("report.md", "report.html", "report.json", "assets/ngrams.png")}
    assert files <= set(repo.head("main").files)
    commits = len(list(repo.head("main").history()))
    assert command(*asked, "-q").code == 0 and len(list(repo.head("main").history())) == commits
    assert str(tmp_path) not in (tmp_path / "half and half/report.json").read_text(encoding="utf-8")

    run = tmp_path / "run"
    command.edit("sample", run, "--limit", 3)
    command("verify", run)
    assert command("push", run, "org/compared", "-q").code == 0
    assert files <= set(repo.head("main").files)
    [found] = load(hub, ("org/compared", None, None))
    assert len(found["train"]) == 3

    # The card links this report and each further one exactly once.
    asked = "compare", *variants[:2], "-o", tmp_path / "again", "--push-to", "org/compared", "-q"
    assert command(*asked).code == 0
    commits = len(list(repo.head("main").history()))
    assert command(*asked).code == 0 and command("push", run, "org/compared", "-q").code == 0
    assert len(list(repo.head("main").history())) == commits
    card = repo.head("main").files["README.md"].decode()
    for name in ("half-and-half", "again"):
        assert card.count(f"]({REPORTS['compare']}/{name}/report.md)") == 1

    # The same holds for the report of a probe.
    push = """
    from hf_toedit.publish.report import push_report
    out["address"] = push_report(sys.argv[1], "org/compared", "probe")
    """
    found = client(hub, dedent(push), str(tmp_path / "again"), HF_TOKEN=hub.token)
    assert found["address"].endswith("/.toedit/probe/again/report.md")
    card = repo.head("main").files["README.md"].decode()
    assert card.count("](.toedit/probe/again/report.md)") == card.count("## Reports") == 1


def test_a_report_beside_data_without_a_card(hub: HubServer, command: HfToEdit, tmp_path: Path) -> None:
    """`datasets` would search such a repository for files by itself."""
    folder = tmp_path / "report"
    (folder / "assets").mkdir(parents=True)
    for name in ("report.md", "report.html", "report.json", "assets/a.png"):
        (folder / name).write_text("![x](assets/a.png)")
    code = """
    from huggingface_hub import HfApi
    from hf_toedit.publish.report import push_report
    push_report(sys.argv[1], "org/bare")
    HfApi().upload_file(path_or_fileobj=b'{"text": "one"}', path_in_repo="rows.jsonl", repo_id="org/bare",
                        repo_type="dataset")
    from datasets import load_dataset
    out["rows"] = load_dataset("org/bare", split="train").to_list()
    """
    assert client(hub, dedent(code), str(folder), HF_TOKEN=hub.token)["rows"] == [{"text": "one"}]
    assert len(pushed(hub, "org/bare").head("main").files) >= 5


def test_help_is_plain(hf_toedit: HfToEdit) -> None:
    said = hf_toedit("compare", "--help").stdout
    assert "Report how datasets differ from the first one, the reference." in said
    for name in ("--prior", "--epsilon", "--seed", "--split", "--limit", "--workers", "--json", "RUN:gen2"):
        assert name in said


def test_priors_are_named_without_their_place_unless_that_is_ambiguous() -> None:
    assert shown_priors(["/models/small", "org/model", "embedded"]) == {
        "/models/small": "small",
        "org/model": "org/model",
        "embedded": "embedded",
    }
    assert shown_priors(["~/a/prior", "./b/prior"]) == {"~/a/prior": "~/a/prior", "./b/prior": "./b/prior"}
