"""Generation by vLLM, compared with `transformers` on the same prompts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hf_toedit.config import PriorConfig, Resources
from hf_toedit.generation.config import GenerateConfig
from hf_toedit.generation.generator import Generator, Prompt
from hf_toedit.generation.loading import load_generator
from hf_toedit.priors import embedded
from tests.cli.fixtures import load
from tests.shared import texts
from tests.vllm.command import hf_toedit

BACKENDS = ("vllm", "transformers")


def load_one(backend: str, path: Path | str = "embedded", **settings: Any) -> Generator:
    return load_generator(PriorConfig(str(path), backend=backend), GenerateConfig(**settings), Resources())[2]


def prompts(of: Generator) -> list[Prompt]:
    return [of.beginning("", text, 10 + index) for index, text in enumerate(texts("synthetic_tinystories_500")[:6])]


@pytest.mark.parametrize("how", [{"decoding": "greedy"}, {"decoding": "beam", "num_candidates": 3}])
def test_without_chance_both_backends_agree(how: dict[str, Any]) -> None:
    mine, other = (load_one(backend, max_new_tokens=24, **how) for backend in BACKENDS)
    assert (mine.dtype, mine.context, mine.eos) == (other.dtype, other.context, other.eos)
    same = 0
    for made, expected in zip(mine.generate(prompts(mine)), other.generate(prompts(other)), strict=True):
        assert len(made) == len(expected)
        for one, wanted in zip(made, expected, strict=True):
            if one.ids == wanted.ids:  # other outputs lead to a near tie
                same += 1
                assert one.logprob == pytest.approx(wanted.logprob, abs=1e-2) and one.stop == wanted.stop
    assert same >= 0.6 * 6 * len(made)


def test_samples_have_the_models_log_probabilities_and_follow_the_seed() -> None:
    how = {"num_candidates": 3, "max_new_tokens": 16, "temperature": 1.5, "top_k": 50, "top_p": 0.95}
    found = load_one("vllm", **how)
    made = found.generate(prompts(found))
    assert made == found.generate(prompts(found))
    model = load_one("transformers", **how)._model
    for prompt, candidates in zip(prompts(found), made, strict=True):
        assert len({tuple(one.ids) for one in candidates}) == 3
        for one in candidates:
            with torch.inference_mode():
                read = model(torch.tensor([prompt.ids + one.ids])).logits[0, len(prompt.ids) - 1 : -1].log_softmax(-1)
            expected = read.gather(1, torch.tensor(one.ids)[:, None]).sum()
            assert one.logprob == pytest.approx(float(expected), abs=1e-2)
    assert found.text(prompt, one)


def test_the_context_ends(folder: Any) -> None:
    found = load_one("vllm", folder(max_position_embeddings=64), num_candidates=2)
    [prompt] = prompts(found)[:1]
    for one in found.generate([prompt])[0]:
        assert one.stop == "eos" or (one.stop == "context" and len(one.ids) == 64 - len(prompt.ids))
    timed = found.generate([prompt], 7)[0]
    assert np.array([len(one.ids) for one in timed]).tolist() == [7, 7]


def test_a_run(tmp_path: Path) -> None:
    run = tmp_path / "run"
    asked = ("--backend", "vllm", "--limit", 4, "--num-candidates", 2, "--max-new-tokens", 10, "-q")
    done = hf_toedit("generate", "sample", "-o", run, *asked)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [len(some) for some in load(run)["train"]["candidates"]] == [2] * 4
    assert hf_toedit("verify", run).stdout.startswith("Sound: 4 rows")
    assert json.loads((run / "toedit/plan.json").read_text())["task"]["prior"]["backend"] == "vllm"
    assert "vLLM" in (run / "README.md").read_text()
    assert embedded.path().is_dir()
