"""Fingerprints of files: independent of their location, and different after any change in the sampled content."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from hf_toedit.fingerprint import (
    BLOCK_BYTES,
    NUM_BLOCKS,
    WHOLE_BYTES,
    file_fingerprint,
    file_fingerprints,
    fingerprint,
)

LARGE = WHOLE_BYTES + 2**20 + 7


def test_a_small_file_is_hashed_whole(tmp_path: Path) -> None:
    content = os.urandom(3 * 2**20 + 1)
    (tmp_path / "a").write_bytes(content)
    assert file_fingerprint(str(tmp_path / "a")) == (len(content), f"xxh3:{xxhash.xxh3_128_hexdigest(content)}")


def test_many_files_are_in_order(tmp_path: Path) -> None:
    paths = [str(tmp_path / f"{number}") for number in range(200)]
    for number, path in enumerate(paths):
        Path(path).write_bytes(bytes([number]) * number)
    assert file_fingerprints(paths) == [file_fingerprint(path) for path in paths]
    assert len(set(file_fingerprints(paths))) == 200


def test_place_and_time_of_change_are_not_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"text")
    (tmp_path / "b").write_bytes(b"text")
    os.utime(tmp_path / "b", ns=(5, 5))
    assert file_fingerprint(str(tmp_path / "a")) == file_fingerprint(str(tmp_path / "b"))


@pytest.mark.parametrize("at", [0, LARGE - 1, (LARGE - BLOCK_BYTES) * 100 // (NUM_BLOCKS - 1) + 5])
def test_a_change_in_a_block_of_a_large_file(at: int, tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(bytes(LARGE))
    size, before = file_fingerprint(str(path))
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"x")
    assert file_fingerprint(str(path)) != (size, before), "the process remembers a file that has changed"
    os.truncate(path, LARGE - 1)
    assert file_fingerprint(str(path))[0] == size - 1


@given(st.integers(WHOLE_BYTES + 1, 2**45))
def test_blocks_reach_from_the_first_byte_to_the_last(size: int) -> None:
    parts: list[tuple[int, int]] = []

    def read(start: int, stop: int) -> bytes:
        parts.append((start, stop))
        return b""

    fingerprint(size, read)
    assert (parts[0][0], parts[-1][1], len(parts)) == (0, size, NUM_BLOCKS)
    assert all(stop - start == BLOCK_BYTES for start, stop in parts)
    gaps = [start - stop for (_, stop), (start, _) in zip(parts, parts[1:], strict=False)]
    assert min(gaps) > 0 and max(gaps) - min(gaps) <= 1


def test_a_process_reads_a_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"text")
    first = file_fingerprint(str(path))
    monkeypatch.setattr(os, "open", None)
    assert file_fingerprint(str(path)) == first
