"""A shard that is stopped continues after its last batch, and its result is that of an uninterrupted one."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import zstandard
from datasets import Dataset

from hf_toedit import Run, ToEditor
from hf_toedit.editing.prior import BATCH_BYTES
from hf_toedit.priors.batch_size import batch_bytes_on_cpu, batch_bytes_on_gpu
from hf_toedit.runs import journal
from hf_toedit.runs.journal import Journal
from hf_toedit.runs.monitor import Monitor
from hf_toedit.runs.passes import Kept, Pass
from hf_toedit.runs.plan import Plan
from hf_toedit.runs.shard import run_shard
from hf_toedit.runs.store import RunFolder
from hf_toedit.stats import EditStats
from hf_toedit.tasks.edit import edit_of
from hf_toedit.tasks.edit_rows import LoadedEdit
from tests.cli.command import HfToEdit, eager
from tests.cli.fixtures import ODD, parquet, rows, stories
from tests.editing.test_properties import HashPrior
from tests.editing.tokenizers import tokenizer
from tests.s3_server import BUCKET, S3Server

AHEAD = 3
"""Number of batches that the prior may have read when the previous one is done."""

WHAT = {
    "text": (),
    "no log": ("--no-edit-log",),
    "nested": ("--text-column", "text,meta.title,topics[],events[].name", "--context-columns", "body"),
}


class Killed(BaseException):
    """Ends a shard at any point, as SIGKILL does: the project never catches it."""


class ShortLived:
    """A prior that is killed in one of its calls, and counts its reads; see `Prior`.

    Attributes:
        batch_bytes: Small, so that few rows are many batches.
    """

    def __init__(self, prior: Any, calls: float = float("inf"), batch_bytes: int = 400) -> None:
        self.num_calls = self.num_documents = 0
        self.batch_bytes = batch_bytes
        self._prior = prior
        self._left = calls

    def __getattr__(self, name: str) -> Any:
        return getattr(self._prior, name)

    def score(self, documents: Sequence[Any], rule: Any) -> Any:
        if self.num_calls >= self._left:
            raise Killed
        self.num_calls += 1
        self.num_documents += len(documents)
        return self._prior.score(documents, rule)


class Chatting(HashPrior):
    """A prior with a chat template."""

    def render(self, messages: list[dict[str, Any]]) -> str:
        return "".join(f"{message['role']}: {message['content']}\n" for message in messages)


Live = Callable[..., ShortLived]


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch) -> Live:
    """Return a function that runs a run's only shard until it is done or killed; each batch is stored immediately."""
    monkeypatch.setenv("HF_TOEDIT_JOURNAL_S", "0")
    quick = HashPrior(tokenizer("stories260K"))

    def live(
        run: str | Path, calls: float = float("inf"), progress: Any = None, reads: Any = quick, **how: int
    ) -> ShortLived:
        folder, prior = RunFolder(run), ShortLived(reads, calls, **how)
        plan = folder.plan()
        with suppress(Killed):
            task = edit_of(plan)
            loaded = LoadedEdit(ToEditor(prior, task.edit), task.run.edit_log_column)
            run_shard(plan, 0, loaded, folder, progress)
        return prior

    return live


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write rows with a column of every kind, and odd texts among them."""
    path = tmp_path_factory.mktemp("told") / "rows.parquet"
    told = stories(40)
    rows([*told[:4], *ODD, *told[4:]]).to_parquet(path)
    return path


def _plan(hf_toedit: HfToEdit, source: Path, run: Path, *options: object) -> Path:
    done = hf_toedit("plan", source, "-o", run, *eager(), "--generations", 2, "--score-result", "--quiet", *options)
    assert (done.code, done.stderr) == (0, ""), done
    return run


@pytest.fixture(scope="module")
def plain(hf_toedit: HfToEdit, told: Path) -> Path:
    return _plan(hf_toedit, told, told.parent / "plain")


@pytest.fixture
def planned(plain: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(plain, tmp_path / "run"))


@pytest.fixture
def whole(planned: Path, live: Live) -> Path:
    """Execute the same run without interruption."""
    run = Path(shutil.copytree(planned, planned.parent / "whole"))
    live(run)
    return run


def _figures(run: str | Path) -> list[dict[str, Any]]:
    """Return the statistics of all passes, without times."""
    folder = RunFolder(run)
    plan = folder.plan()
    passes = [folder.merged_stats(plan, pass_) for pass_ in plan.data_passes]
    result = folder.merged_stats(plan, plan.passes[-1])
    assert result is not None
    return [{**stats.to_json(), "seconds": None} for stats in (*passes, result)]


def _parts(run: Path) -> list[Path]:
    return sorted(run.glob("toedit/work/*/*/*.part"))


def _names(run: Path) -> set[Path]:
    return {path.relative_to(run) for path in run.rglob("*") if path.is_file()}


@pytest.mark.parametrize("what", WHAT)
def test_a_shard_that_is_killed_again_and_again_ends_as_if_undisturbed(
    hf_toedit: HfToEdit, told: Path, tmp_path: Path, live: Live, what: str
) -> None:
    run = _plan(hf_toedit, told, tmp_path / "run", *WHAT[what])
    whole = Path(shutil.copytree(run, tmp_path / "whole"))
    undisturbed = live(whole)
    lives = []
    while not lives or lives[-1].num_calls == 5:
        lives.append(live(run, 5))
        assert len(_parts(run)) <= len(lives)
    # Without a journal the run would never finish; only batches in progress are read again.
    assert len(lives) > 5
    assert sum(prior.num_calls for prior in lives) <= undisturbed.num_calls + AHEAD * len(lives)
    assert parquet(run) == parquet(whole)
    assert _figures(run) == _figures(whole)
    assert _names(run) == _names(whole)


def test_conversations(hf_toedit: HfToEdit, tmp_path: Path, live: Live) -> None:
    says = [[{"role": "user", "content": "Go on."}, {"role": "assistant", "content": text}] for text in stories(12)]
    Dataset.from_dict({"messages": [*says, [], None]}).to_parquet(tmp_path / "chats.parquet")
    what = "--messages-column", "messages", "--roles", "assistant", "--prior", "embedded"
    run = _plan(hf_toedit, tmp_path / "chats.parquet", tmp_path / "run", *what)
    whole = Path(shutil.copytree(run, tmp_path / "whole"))
    prior = Chatting(tokenizer("stories260K"))
    live(whole, reads=prior)
    assert _figures(whole)[0]["num_changed"] > 0
    while live(run, 4, reads=prior).num_calls == 4:
        pass
    assert parquet(run) == parquet(whole)
    assert _figures(run) == _figures(whole)


def test_batches_of_another_size_are_edited_again(planned: Path, whole: Path, live: Live) -> None:
    live(planned, 6, batch_bytes=700)
    live(planned, 6, batch_bytes=1500)
    live(planned)
    assert parquet(planned) == parquet(whole)
    assert _figures(planned) == _figures(whole)


def test_what_cannot_be_used_is_edited_again(planned: Path, whole: Path, live: Live) -> None:
    live(planned, 9)
    [part] = _parts(planned)
    good = part.read_bytes()
    for number, content in enumerate((good[:-1], bytes(len(good)), b"")):
        (part.parent / f"{number:012d}-0123456789abcdef.part").write_bytes(content)
    part.write_bytes(good[:-7] + bytes(7))
    (part.parent / "notes.txt").write_text("mine")
    assert live(planned).num_calls == live(_fresh(planned)).num_calls
    assert parquet(planned) == parquet(whole)
    assert [path.name for path in (planned / "toedit/work").rglob("*.*")] == ["notes.txt"]


def test_a_journal_of_another_plan_or_of_other_data_is_not_used(
    hf_toedit: HfToEdit, told: Path, planned: Path, whole: Path, live: Live
) -> None:
    other = _plan(hf_toedit, told, planned.parent / "other", "--seed", 5)
    live(other, 9)
    shutil.copytree(other / "toedit/work", planned / "toedit/work")
    assert live(planned).num_calls == live(_fresh(planned)).num_calls
    assert parquet(planned) == parquet(whole)

    # The second generation is stopped; then the first is repeated, by a prior with slightly different scores.
    [second] = whole.glob("data/gen2/*.parquet")
    second.unlink()
    shutil.rmtree(whole / "toedit/stats/result")
    live(whole, 9)
    assert _parts(whole)
    folder = RunFolder(whole)
    plan = folder.plan()
    [shard] = plan.shards
    first = list(folder.tables(plan, plan.passes[0], shard))

    def fill(writer: Any) -> EditStats:
        for table in first:
            for half in (table[: len(table) // 2], table[len(table) // 2 :]):
                writer.write(half)
        return folder.merged_stats(plan, plan.passes[0])

    folder.write_shard(plan, plan.passes[0], shard, fill)
    num_calls = live(whole).num_calls
    shutil.rmtree(whole / "toedit/stats/result")
    shutil.rmtree(whole / "data/gen2")
    assert num_calls == live(whole).num_calls


def _fresh(run: Path) -> Path:
    """Copy a run, without its results."""
    fresh = run.parent / "fresh"
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(run, fresh, ignore=shutil.ignore_patterns("data", "stats", "work"))
    return fresh


def test_two_processes_in_the_same_shard_help_each_other(planned: Path, whole: Path, live: Live) -> None:
    apart = [Path(shutil.copytree(planned, planned.parent / name)) for name in ("one", "two")]
    for run, calls in zip(apart, (8, 11), strict=True):
        live(run, calls)
        shutil.copytree(run / "toedit/work", planned / "toedit/work", dirs_exist_ok=True)
    assert len(_parts(planned)) == 2
    assert live(planned).num_calls <= live(_fresh(planned)).num_calls - 11 + AHEAD
    assert parquet(planned) == parquet(whole)
    assert not _parts(planned)


def test_a_finished_process_may_take_the_journal_from_under_another(planned: Path, whole: Path, live: Live) -> None:
    seen = []

    def finished_elsewhere(*_: Any) -> None:
        seen.append(1)
        if len(seen) == 5:
            shutil.rmtree(planned / "toedit/work")

    live(planned, progress=finished_elsewhere)
    assert parquet(planned) == parquet(whole)
    assert _names(planned) == _names(whole)


def test_a_shard_goes_on_where_no_journal_can_be_written(
    planned: Path, whole: Path, live: Live, caplog: pytest.LogCaptureFixture
) -> None:
    (planned / "toedit/work").write_text("in the way")
    live(planned)
    assert "unfinished work cannot be kept" in caplog.text
    assert parquet(planned) == parquet(whole)


def test_a_small_shard_has_no_journal(planned: Path, live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOEDIT_JOURNAL_S")
    live(planned, 9)
    assert not (planned / "toedit/work").exists()


def test_parts_grow_to_a_size_and_memory_holds_no_more(
    planned: Path, whole: Path, live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "_PART_BYTES", 2500)
    live(planned, 12)
    firsts = [int(path.name.partition("-")[0]) for path in _parts(planned)]
    assert len(firsts) > 2 and firsts[0] == 0 and len(set(firsts)) == len(firsts)
    live(planned)
    assert parquet(planned) == parquet(whole)


def test_what_is_known_counts_as_done_and_not_as_speed(planned: Path, live: Live) -> None:
    folder = RunFolder(planned)
    plan = folder.plan()
    live(planned, 8)

    def told(run: Path) -> tuple[list[tuple[int, int]], int]:
        seen: list[tuple[Pass, EditStats, bool]] = []
        live(run, progress=lambda *told: seen.append(told))
        return [(pass_.number, stats.num_rows) for pass_, stats, _ in seen], sum(known for _, _, known in seen)

    every, num_known = told(planned)
    assert num_known >= 8 - AHEAD
    assert (every, 0) == told(_fresh(planned))

    shown: list[dict[str, int]] = []
    with Monitor(plan, folder, lambda _, counts: shown.append(counts)) as monitor:
        monitor.began(0, 0)
        for read in (0, 0, 7, 7):
            monitor.rows(0, "gen1", {"num_rows": 2, "num_tokens": 7, "num_tokens_read": read})
        assert (monitor._running[0].num_rows, monitor._running[0].num_tokens) == (8, 28)
        assert monitor._speed._num_tokens == 7  # the first report only sets the start time
    assert len(shown) == 4


def test_journals_of_shards_that_are_done_are_swept(planned: Path, live: Live) -> None:
    live(planned, 5)
    kept = Path(shutil.copytree(planned / "toedit/work", planned.parent / "work"))
    folder = RunFolder(planned)
    folder.sweep()
    assert _parts(planned)  # the shard may still be in progress
    live(planned)
    for name in ("gen1", "result"):
        shutil.copytree(kept / "gen1", planned / "toedit/work" / name, dirs_exist_ok=True)
    assert len(_parts(planned)) == 2
    folder.sweep()
    assert not (planned / "toedit/work").exists()
    (planned / "toedit/work").mkdir()
    (planned / "toedit/plan.json").unlink()
    folder.sweep()


def test_a_run_leaves_nothing_of_the_process_that_was_killed_after_its_last_shard(
    hf_toedit: HfToEdit, planned: Path, live: Live
) -> None:
    live(planned, 5)
    kept = Path(shutil.copytree(planned / "toedit/work", planned.parent / "work"))
    live(planned)
    done = parquet(planned)
    dead = subprocess.Popen(["true"])
    dead.wait()
    progress = {"host": platform.node(), "pid": dead.pid, "updated": 0.0, "tokens_per_second": 1.0, "running": []}
    for again in (lambda: hf_toedit("run", planned), lambda: Run.open(planned).execute(workers=0)):
        shutil.copytree(kept, planned / "toedit/work", dirs_exist_ok=True)
        (planned / "toedit/progress").mkdir(exist_ok=True)
        (planned / f"toedit/progress/{platform.node()}-{dead.pid}.json").write_text(json.dumps(progress))
        again()
        assert parquet(planned) == done
        assert not {"work", "progress"} & {path.name for path in (planned / "toedit").iterdir()}


def test_every_command_ignores_a_journal(hf_toedit: HfToEdit, planned: Path, live: Live) -> None:
    live(planned, 5)
    kept = shutil.copytree(planned / "toedit/work", planned.parent / "work")
    assert hf_toedit("status", planned, "--json").json["num_done"] == 0
    live(planned)
    shutil.copytree(kept, planned / "toedit/work", dirs_exist_ok=True)
    assert hf_toedit("status", planned, "--json").json["finished"]
    assert hf_toedit("verify", planned, "--json").json["ok"]
    assert hf_toedit("run", planned, "--quiet").code == 0  # writes the card


def test_numbers_and_texts_come_back_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOEDIT_JOURNAL_S", "0")
    stats = EditStats(num_rows=2, num_tokens=3, nll_nano=2**70, seconds={"score": 0.1})
    stats.num_skipped["empty"] = 1
    log = {"num_tokens": 3, "nll": 1e-45, "edits": [{"start": 0, "end": 1, "source": "\u2028\n\x00", "generation": 1}]}
    kept = Kept([["\u2028\u0085\r\n\x00 👩‍👩‍👧", None, ""], [log, {**log, "nll": None}]], stats)
    about = {"plan": "x", "before": None}
    Journal(tmp_path, about, EditStats).add((0, 2), kept)
    again = Journal(tmp_path, about, EditStats).take((0, 2))
    assert again is not None and again == kept
    assert json.dumps(again.value) == json.dumps(kept.value)
    assert Journal(tmp_path, {**about, "plan": "y"}, EditStats).take((0, 2)) is None
    other = Journal(tmp_path, about, EditStats)
    assert other.take((0, 1)) is None
    assert other.take((2, 2)) is None


def test_a_part_whose_content_is_not_that_of_its_name_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOEDIT_JOURNAL_S", "0")
    Journal(tmp_path, {"plan": "x"}, EditStats).add((0, 2), Kept("old", EditStats(num_rows=2)))
    assert Journal(tmp_path, {"plan": "x"}, EditStats).take((0, 2)) is not None
    [part] = tmp_path.iterdir()
    lines = zstandard.ZstdDecompressor().decompress(part.read_bytes())
    part.write_bytes(zstandard.ZstdCompressor().compress(lines.replace(b"old", b"new")))
    assert Journal(tmp_path, {"plan": "x"}, EditStats).take((0, 2)) is None


def test_a_part_that_expands_to_gigabytes_is_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    size = journal._MOST_BYTES + 1
    packing = zstandard.ZstdCompressor().compressobj(size=size)
    content = packing.compress(bytes(size)) + packing.flush()
    (tmp_path / journal._name(0, content)).write_bytes(content)
    assert Journal(tmp_path, {"plan": "x"}, EditStats).take((0, 2)) is None
    assert "its size is not that of a part" in caplog.text


@pytest.mark.parametrize(
    ("num_parameters", "num_threads", "num_bytes"),
    [(260_000, 1, BATCH_BYTES), (60_000_000, 2, BATCH_BYTES), (1_100_000_000, 2, 5_454), (8 * 10**9, 64, 24_000)],
)
def test_a_slow_prior_reads_less_at_a_time(num_parameters: int, num_threads: int, num_bytes: int) -> None:
    assert batch_bytes_on_cpu(num_parameters, num_threads) == num_bytes


@pytest.mark.parametrize(
    "token_budget, num_bytes", [(1024, 2**16), (8192, 2**16), (16_384, 2**17), (31_744, 2**17), (32_768, 2**18)]
)
def test_a_batch_fills_two_passes_of_a_gpu(token_budget: int, num_bytes: int) -> None:
    assert batch_bytes_on_gpu(token_budget) == num_bytes


class TestS3:
    """The same tests in S3."""

    @pytest.fixture(autouse=True)
    def _environment(self, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in {**s3.env, "HF_TOEDIT_RETRY_S": "0.001"}.items():
            monkeypatch.setenv(name, value)

    @pytest.fixture
    def there(self, s3: S3Server, planned: Path) -> Iterator[Plan]:
        """Plan a run in S3."""
        plan = RunFolder(planned).plan()
        RunFolder(f"s3://{BUCKET}/journal").open(replace(plan))
        yield plan

    def test_a_shard_that_is_killed_ends_as_if_undisturbed(
        self, s3: S3Server, there: Plan, whole: Path, live: Live
    ) -> None:
        url = f"s3://{BUCKET}/journal"
        lives = [live(url, 6)]
        [name] = [name for name in s3.names("journal") if "/work/" in name]
        s3.put("journal", name.replace("gen1", "gen2").replace("000000000000", "000000000003"), b"damaged")
        while lives[-1].num_calls == 6:
            lives.append(live(url, 6))
        undisturbed = live(_fresh(whole))
        assert len(lives) > 5
        assert sum(prior.num_calls for prior in lives) <= undisturbed.num_calls + AHEAD * len(lives)
        files = s3.files("journal")
        assert {name: content for name, content in files.items() if name.endswith(".parquet")} == parquet(whole)
        assert _figures(url) == _figures(whole)
        assert set(files) == {path.as_posix() for path in _names(whole)}
        s3.put("journal", name, b"left behind")
        RunFolder(url).sweep()
        assert name not in s3.names("journal")
