"""Run folders in storage: when a shard counts as done, what other processes see, and errors.

Uses real fsspec file systems: its local one, which supports put but no rename, as object stores do, and s3fs.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from hf_toedit.errors import RunError, UsageError
from hf_toedit.mergeable import Statistics
from hf_toedit.runs.passes import Pass
from hf_toedit.runs.plan import Plan, Shard
from hf_toedit.runs.store import RunFolder
from hf_toedit.runs.verify import is_verified, mark_verified
from hf_toedit.runs.writer import Writer
from hf_toedit.storage.files import whole_file
from hf_toedit.storage.remote import RemotePath
from hf_toedit.tasks.edit import edit_of, generation_pass
from tests.s3_server import BUCKET, S3Server

NAME = "my run#1 [a]"
GEN1 = generation_pass(1)


@pytest.fixture
def plan(run: Path) -> Plan:
    return RunFolder(run).plan()


@pytest.fixture
def stored(plan: Plan, tmp_path: Path) -> RunFolder:
    folder = RunFolder(f"local://{tmp_path}/{NAME}")
    folder.open(plan)
    return folder


def _filling(run: Path, shard: Shard, pass_: Pass = GEN1) -> Callable[[Writer], Statistics]:
    """Return a function that fills a shard with the rows of a local run."""

    def fill(writer: Writer) -> Statistics:
        plan = RunFolder(run).plan()
        for table in RunFolder(run).tables(plan, pass_, shard):
            writer.write(table)
        stats = RunFolder(run).stats(plan, pass_, shard)
        assert stats is not None
        return stats

    return fill


def test_only_the_user_reads_what_is_uploaded(stored: RunFolder) -> None:
    with whole_file(stored.root / "data.parquet") as temporary:
        temporary.write_bytes(b"private")
        assert temporary.stat().st_mode & 0o777 == 0o600
    assert (stored.root / "data.parquet").read_bytes() == b"private"


def _place(folder: RunFolder) -> Path:
    return Path(str(folder.root).removeprefix("local://"))


class TestDone:
    """Conditions under which a shard counts as done."""

    def test_once_its_data_and_their_record_are_there(self, run: Path, plan: Plan, stored: RunFolder) -> None:
        shard = plan.shards[0]
        assert stored.unfinished(plan, plan.shards) == [shard]
        written = stored.write_shard(plan, GEN1, shard, _filling(run, shard))
        assert stored.stats(plan, GEN1, shard) == written == RunFolder(run).stats(plan, GEN1, shard)
        assert stored.is_sound(GEN1, shard)
        name = f"data/gen1/{shard.name}.parquet"
        assert (_place(stored) / name).read_bytes() == (run / name).read_bytes()
        assert list(stored.tables(plan, GEN1, shard)) == list(RunFolder(run).tables(plan, GEN1, shard))
        assert stored.unfinished(plan, plan.shards) == [shard]  # in the first of three generations only

    @pytest.mark.parametrize("lost", ["data", "record"])
    def test_not_where_one_of_them_is_missing(self, lost: str, run: Path, plan: Plan, stored: RunFolder) -> None:
        shard = plan.shards[0]
        stored.write_shard(plan, GEN1, shard, _filling(run, shard))
        (stored.data_path(GEN1, shard) if lost == "data" else stored.stats_path(GEN1, shard)).unlink()
        assert stored.stats(plan, GEN1, shard) is None
        assert stored.all_stats(plan, GEN1, plan.shards) == {}
        stored.write_shard(plan, GEN1, shard, _filling(run, shard))
        assert stored.is_sound(GEN1, shard)

    @pytest.mark.parametrize("changed", [lambda data: data[:-1], lambda data: data + b"x", lambda data: b""])
    def test_not_with_a_record_of_data_of_another_size(
        self, changed: Callable[[bytes], bytes], run: Path, plan: Plan, stored: RunFolder
    ) -> None:
        shard = plan.shards[0]
        stored.write_shard(plan, GEN1, shard, _filling(run, shard))
        data = _place(stored) / f"data/gen1/{shard.name}.parquet"
        data.write_bytes(changed(data.read_bytes()))
        assert stored.stats(plan, GEN1, shard) is None

    def test_other_data_of_the_same_size_are_found_out_by_whoever_reads_them(
        self, run: Path, plan: Plan, stored: RunFolder
    ) -> None:
        shard = plan.shards[0]
        stored.write_shard(plan, GEN1, shard, _filling(run, shard))
        data = _place(stored) / f"data/gen1/{shard.name}.parquet"
        data.write_bytes(bytes(len(data.read_bytes())))
        assert not stored.is_sound(GEN1, shard)

    @pytest.mark.parametrize("half", [b"", b"{", b"null", b"[]", b'{"hash": "x"}'])
    def test_not_with_half_a_record(self, half: bytes, run: Path, plan: Plan, stored: RunFolder) -> None:
        shard = plan.shards[0]
        stored.write_shard(plan, GEN1, shard, _filling(run, shard))
        (_place(stored) / f"toedit/stats/gen1/{shard.name}.json").write_bytes(half)
        assert stored.stats(plan, GEN1, shard) is None

    def test_the_record_of_other_data_is_gone_before_they_are_replaced(
        self, run: Path, plan: Plan, stored: RunFolder
    ) -> None:
        """A process that dies between data and record leaves no older record that would confirm the new data."""
        shard = plan.shards[0]
        stored.write_shard(plan, GEN1, shard, _filling(run, shard))
        data, record = (stored.data_path(GEN1, shard), stored.stats_path(GEN1, shard))
        data.unlink()
        (_place(stored) / f"data/gen1/{shard.name}.parquet").mkdir()  # makes writing the data fail
        with pytest.raises(RunError, match="cannot write"):
            stored.write_shard(plan, GEN1, shard, _filling(run, shard))
        assert not record.exists()

    def test_what_another_process_finished_in_the_meantime_stays(
        self, run: Path, plan: Plan, stored: RunFolder
    ) -> None:
        shard, other = plan.shards[0], RunFolder(str(stored.root))
        data = _place(stored) / f"data/gen1/{shard.name}.parquet"
        first: list[object] = []

        def slow(writer: Writer) -> Statistics:
            first.append(other.write_shard(plan, GEN1, shard, _filling(run, shard)))
            first.append(data.stat())
            stats = _filling(run, shard)(writer)
            stats.seconds = {"score": 1e6}
            return stats

        assert stored.write_shard(plan, GEN1, shard, slow) == first[0]
        assert data.stat() == first[1]

    def test_the_reading_of_the_result_counts_for_the_data_that_it_is_of(
        self, run: Path, plan: Plan, stored: RunFolder
    ) -> None:
        shard, last = plan.shards[0], plan.data_passes[-1]
        stats = stored.write_shard(plan, last, shard, _filling(run, shard, last))
        result = edit_of(plan).further(None, score_result=True).passes[-1]
        assert stored.stats(plan, result, shard) is None
        stored.write_stats(plan, result, shard, stats)
        assert stored.stats(plan, result, shard) == stats
        record = _place(stored) / f"toedit/stats/{last.name}/{shard.name}.json"
        record.unlink()
        assert stored.stats(plan, result, shard) is None

    def test_a_run_written_anew_is_not_verified_any_more(self, run: Path, plan: Plan, stored: RunFolder) -> None:
        shard = plan.shards[0]
        for pass_ in plan.data_passes:
            stored.write_shard(plan, pass_, shard, _filling(run, shard, pass_))
        mark_verified(plan, stored, with_source=True)
        assert is_verified(plan, stored)
        stored.stats_path(GEN1, shard).unlink()
        assert not is_verified(plan, stored)


@pytest.mark.parametrize(
    "work",
    [
        "folder.write_shard(plan, plan.passes[0], plan.shards[0], lambda writer: die())",
        "upload = Upload('plan.json', folder.root / 'toedit/plan.json'); upload.operation; die()",
    ],
    ids=["write", "push"],
)
def test_no_temporary_files_stay(work: str, plan: Plan, stored: RunFolder, tmp_path: Path) -> None:
    code = f"""
from hf_toedit.hub import Upload
from hf_toedit.runs.store import RunFolder
from hf_toedit.runs.passes import Pass
from hf_toedit.tasks.edit import edit_of, generation_pass
import os, signal
die = lambda: os.kill(os.getpid(), signal.SIGKILL)
folder = RunFolder({str(stored.root)!r})
plan = folder.plan()
{work}
"""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    trial = _place(stored) / f".trial.999999999@{platform.node()}.{'0' * 32}.tmp"
    trial.touch()
    for remain, then in ((1, ""), (0, f"RunFolder({str(stored.root)!r}).sweep()")):
        program = f"from hf_toedit.runs.store import RunFolder; {then}" if then else code
        subprocess.run([sys.executable, "-c", program], env={**_env(), "TMPDIR": str(scratch)}, check=False)
        assert len(list(scratch.iterdir())) == trial.exists() == remain
    assert stored.unfinished(plan, plan.shards) == list(plan.shards)


def _env() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("memory://run", "ends with the process"),
        ("https://example.org/run", "cannot be written to"),
        ("simplecache::s3://bucket/run", "chain of stores"),
        ("hf://datasets/org/name", "is not a folder of a bucket"),
        ("hf://buckets/org", "is not a folder of a bucket"),
        ("s3://", "names no bucket"),
        ("ftp://me:secret@example.org/run", "password"),
    ],
)
def test_where_no_run_can_lie(url: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as raised:
        RunFolder(url)
    assert "me:secret" not in str(raised.value)


def test_file_urls_are_local_folders(tmp_path: Path) -> None:
    assert RunFolder(f"file://{tmp_path}/run").root == tmp_path / "run"


class TestS3:
    """The same in S3, by s3fs."""

    @pytest.fixture(autouse=True)
    def _environment(self, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in {**s3.env, "HF_TOEDIT_RETRY_S": "0.001"}.items():
            monkeypatch.setenv(name, value)

    def test_data_are_put_between_the_removal_of_a_record_and_its_own(
        self, s3: S3Server, run: Path, plan: Plan
    ) -> None:
        folder, shard = RunFolder(f"s3://{BUCKET}/order"), plan.shards[0]
        folder.open(plan)
        folder.write_shard(plan, GEN1, shard, _filling(run, shard))
        s3.put("order", f"data/gen1/{shard.name}.parquet", b"other")
        before = len(s3.requests())
        folder.write_shard(plan, GEN1, shard, _filling(run, shard))
        done = [(method, path) for method, path in s3.requests()[before:] if method in ("PUT", "DELETE")]
        data, record = f"data/gen1/{shard.name}.parquet", f"toedit/stats/gen1/{shard.name}.json"
        assert done == [(method, f"/{BUCKET}/order/{name}")
                        for method, name in (("DELETE", record), ("PUT", data), ("PUT", record))]  # fmt: skip

    def test_processes_see_at_once_what_others_write(self, s3: S3Server) -> None:
        folder = RemotePath(f"s3://{BUCKET}/{NAME}/x")
        path = folder / "a b#.json"
        assert not path.exists()
        assert folder.sizes() == {}
        for content in (b"1", b"22"):
            s3.put(f"{NAME}/x", "a b#.json", content)
            assert (path.exists(), path.stat().st_size, path.read_bytes()) == (True, len(content), content)
            assert folder.sizes() == {"a b#.json": len(content)}
            assert list(folder.iterdir()) == [path]
            with path.open() as stream:
                assert stream.read() == content
        s3.put(f"{NAME}/x", "a b#.json", b"")
        assert path.read_bytes() == b""
        s3.delete(f"{NAME}/x", "a b#.json")
        assert not path.exists()
        assert folder.sizes() == {}
        path.unlink(missing_ok=True)
        with pytest.raises(FileNotFoundError):
            path.read_bytes()

    def test_a_folder_that_was_made_by_hand_is_free(self, s3: S3Server, plan: Plan) -> None:
        s3.put("by hand", "", b"")
        RunFolder(f"s3://{BUCKET}/by hand").open(plan)
        RunFolder(f"s3://{BUCKET}/by hand").open(plan)
        s3.put("taken", "notes.txt", b"mine")
        with pytest.raises(RunError, match="not empty and holds no run"):
            RunFolder(f"s3://{BUCKET}/taken").open(plan)
        with pytest.raises(RunError, match="is a file"):
            RunFolder(f"s3://{BUCKET}/taken/notes.txt").open(plan)

    def test_a_listing_serves_however_many_shards_there_are(self, s3: S3Server, run: Path, plan: Plan) -> None:
        folder, shard = RunFolder(f"s3://{BUCKET}/many"), plan.shards[0]
        folder.open(plan)
        folder.write_shard(plan, GEN1, shard, _filling(run, shard))
        before = len(s3.requests())
        found = folder.all_stats(plan, GEN1, [shard] * 20)
        assert list(found) == [shard.name]
        heads = [path for method, path in s3.requests()[before:] if method == "HEAD" and path.endswith(".parquet")]
        assert heads == []


@pytest.mark.parametrize(
    ("url", "env", "words"),
    [
        (f"s3://{BUCKET}/run", {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "NoCredentialsError"),
        (f"s3://{BUCKET}/run", {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"}, "AWS_ENDPOINT_URL"),
        ("s3://no-such-bucket/run", {}, "bucket does not exist"),
        ("gs://bucket/run", {}, "pip install gcsfs"),
        ("nonsense://bucket/run", {}, "Protocol not known: nonsense"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(url: str, env: dict[str, str], words: str, s3: S3Server) -> None:
    error = _error({**s3.env, **env}, "plan", "sample", "-o", url)
    assert words in error
    assert s3.secret not in error


def test_what_is_no_run_is_named(s3: S3Server) -> None:
    s3.put("broken", "toedit/plan.json", json.dumps({"format": 1}).encode())
    assert f"s3://{BUCKET}/broken/toedit/plan.json" in _error(s3.env, "status", f"s3://{BUCKET}/broken")
    assert "is not a run folder" in _error(s3.env, "status", f"s3://{BUCKET}/nothing")


def _error(env: Mapping[str, str], *args: str) -> str:
    """Return the error line of the command in an environment."""
    given = {**_env(), "HF_TOEDIT_RETRY_S": "0.001", **env}
    done = subprocess.run(
        [sys.executable, "-m", "hf_toedit", *args],
        env={name: value for name, value in given.items() if value},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done
    assert done.stderr.startswith("Error: ")
    return done.stderr
