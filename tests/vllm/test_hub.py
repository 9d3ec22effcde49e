"""Priors of the Hub, run by vLLM."""

from __future__ import annotations

import json

from hf_toedit.priors import embedded
from tests.hub_server import HubServer
from tests.vllm.command import hf_toedit


def test_a_prior_of_the_hub(hub_server: HubServer) -> None:
    hub_server.create_repo("model", "org/tiny", embedded.path())
    prior = ("--prior", "org/tiny", "--backend", "vllm")
    done = hf_toedit("preview", "sample", "-n", 2, "--json", *prior, env=hub_server.env)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["generations"][0]["num_selected"] > 0
