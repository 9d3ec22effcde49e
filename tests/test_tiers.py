"""`tests/tiers.py` names existing files and tests."""

from __future__ import annotations

import pytest

from tests.tiers import FIRST, LONG, TESTS, is_long


@pytest.mark.parametrize("name", [*LONG, *FIRST])
def test_what_is_named_is_there(name: str) -> None:
    file, _, test = name.partition("::")
    assert (TESTS / file).exists()
    if test:
        assert f"def {test.rpartition('::')[2]}(" in (TESTS / file).read_text(encoding="utf-8")


def test_a_folder_a_file_or_a_test_is_long() -> None:
    assert is_long(TESTS / "browser/test_demo.py", "test_any")
    assert is_long(TESTS / "engines/test_ray.py", "test_any")
    assert is_long(TESTS / "cli/test_prune.py", "test_any") and not is_long(TESTS / "cli/test_plan.py", "test_any")
    assert is_long(TESTS / "cli/test_bad_input.py", "TestOutput::test_a_full_disk")
    assert not is_long(TESTS / "cli/test_bad_input.py", "TestOutput::test_a_read_only_folder")
