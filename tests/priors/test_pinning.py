"""Pinning of a prior in a folder: by all files that affect its results, independently of the path."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from hf_toedit.config import PriorConfig
from hf_toedit.errors import PriorError
from hf_toedit.priors import embedded
from hf_toedit.priors.loading import pinned
from hf_toedit.priors.names import check_prior
from hf_toedit.priors.pinning import is_same_prior

WEIGHTS = "model.safetensors"
BEFORE = "179b17b217c0e845743970752e1b04c6b49d6512"
"""Fingerprint that plans of format 1 have of the embedded prior."""


def _revision(folder: Path, **options: bool) -> str:
    return pinned(PriorConfig(str(folder), **options))[1]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return shutil.copytree(embedded.path(), tmp_path / "prior")


def test_a_copy_is_the_same_prior(copy: Path) -> None:
    for file in copy.iterdir():
        os.utime(file, ns=(5, 5))
    (copy / "README.md").write_text("Another card.")
    assert _revision(copy) == pinned(PriorConfig())[1] == "66da42fc11a132eeab6b192b0f0e08f998506093"


@pytest.mark.parametrize("name", [WEIGHTS, "tokenizer.json", "config.json"])
def test_weights_that_differ_far_from_their_beginning_are_another_prior(name: str, copy: Path) -> None:
    before = _revision(copy)
    content = bytearray((copy / name).read_bytes())
    content[-9] ^= 1
    (copy / name).write_bytes(content)
    assert _revision(copy) != before
    assert not is_same_prior(PriorConfig(str(copy)), _revision(copy), before)


def test_a_tokenizer_of_text_files_and_code_that_may_run_count(copy: Path) -> None:
    revisions = {_revision(copy), _revision(copy, trust_remote_code=True)}
    (copy / "merges.txt").write_text("a b")
    revisions |= {_revision(copy), _revision(copy, trust_remote_code=True)}
    (copy / "modeling.py").write_text("print()")
    assert _revision(copy) in revisions
    revisions.add(_revision(copy, trust_remote_code=True))
    assert len(revisions) == 5


def test_the_revision_of_a_plan_made_before_is_known(copy: Path) -> None:
    for config in (PriorConfig(), PriorConfig(str(copy))):
        assert is_same_prior(config, pinned(config)[1], BEFORE)
    (copy / "config.json").write_text("{}")
    config = PriorConfig(str(copy))
    assert not is_same_prior(config, pinned(config)[1], BEFORE)
    assert not is_same_prior(PriorConfig("org/none", revision="0" * 40), "0" * 40, BEFORE)


def test_an_embedded_prior_of_another_version_is_refused(copy: Path) -> None:
    config, (_, revision) = PriorConfig(dtype="float32"), pinned(PriorConfig())
    check_prior(config, revision, config, BEFORE)
    with pytest.raises(PriorError, match="Install the version of hf-toedit that has it, or plan a new run"):
        check_prior(config, revision, config, "a" * 40)
    other = PriorConfig(str(copy), dtype="float32")
    with pytest.raises(PriorError, match="Restore the old one, or plan a new run"):
        check_prior(other, revision, other, "a" * 40)
