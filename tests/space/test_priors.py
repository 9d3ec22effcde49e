from __future__ import annotations

import json
from pathlib import Path

import pytest

from hf_toedit import PriorConfig, ToEditError
from hf_toedit.config import EditConfig
from hf_toedit.editing.selection import SelectionRule
from hf_toedit.priors import embedded
from hf_toedit.space.priors import Priors, SharedPrior
from hf_toedit.space.settings import SpaceSettings
from tests.cli.command import python
from tests.hub_server import HubServer

_BEGIN = """
from hf_toedit.errors import ToEditError
from hf_toedit.space.priors import Priors
from hf_toedit.space.settings import SpaceSettings

def refused(priors, name):
    try:
        priors.get(name)
    except ToEditError as error:
        return str(error)
"""


def _run(server: HubServer, code: str, **env: str) -> None:
    done = python(_BEGIN + code, env={**server.env, **env})
    assert done.code == 0, done.stderr


def _model(**changed: bytes | None) -> dict[str, bytes]:
    names = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
    files = {name: (embedded.path() / name).read_bytes() for name in names}
    return files | {name.replace("__", "."): content for name, content in changed.items() if content}


@pytest.fixture(scope="module")
def priors() -> Priors:
    return Priors(SpaceSettings())


@pytest.mark.parametrize(
    "name", ["", "/etc", "../x", "tests", "tests/space", "a b", "<b>", "a/b/c", "x" * 500, "a\0b", "~root/x"]
)
def test_what_is_no_hub_id_is_refused(priors: Priors, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    with pytest.raises(ToEditError, match="cannot be named here. Name a model of the Hub .*, or 'embedded'"):
        priors.get(name)


def test_without_the_hub_the_embedded_prior_is_named(priors: Priors) -> None:
    with pytest.raises(ToEditError, match="The Hub cannot be reached for prior 'org/name'. .* use 'embedded'"):
        priors.get("org/name")
    assert priors.get("embedded").score([], SelectionRule(EditConfig())) == []


def test_a_folder_is_for_whoever_sits_here() -> None:
    folder = str(embedded.path())
    local = Priors(SpaceSettings(prior=PriorConfig(), local=True))
    assert local.get(folder) is local.get(folder)
    assert local.get(folder).revision == local.get("embedded").revision


def test_a_prior_is_called_by_as_many_as_gain(priors: Priors) -> None:
    prior = priors.get("embedded")
    assert isinstance(prior, SharedPrior) and prior.concurrency == 1
    assert prior._turns.acquire(blocking=False)
    assert not prior._turns.acquire(blocking=False)
    prior._turns.release()


def test_priors_of_the_hub(hub_server: HubServer) -> None:
    for name in ("one", "two", "three"):
        hub_server.create_repo("model", f"org/{name}", _model())
    hub_server.create_repo("model", "org/private", _model(), private=True)
    hub_server.create_repo("model", "org/pickled", {"config.json": b"{}", "pytorch_model.bin": b"0" * 9})
    hub_server.create_repo("model", "org/large", _model(README__md=b"0" * 9, vocab__json=b"{" * 2**23))
    size = sum(map(len, _model().values()))
    said = json.loads((embedded.path() / "config.json").read_bytes())
    for name, changed in {"wide": {"hidden_size": 2**16}, "deep": {"num_hidden_layers": 10**7}}.items():
        hub_server.create_repo("model", f"org/{name}", _model(config__json=json.dumps(said | changed).encode()))
    _run(
        hub_server,
        f"""
priors = Priors(SpaceSettings(max_prior_bytes={size} + 2**22))
one = priors.get("org/one")
assert one.name == "org/one" and len(one.revision) == 40
assert priors.get("org/two") is priors.get("org/two")
assert priors.get("org/one") is one
priors.get("org/three")  # two of them stay, "org/one" being used last
assert priors.get("org/one") is one
assert "not on the Hub, or is private" in refused(priors, "org/private")
assert "not on the Hub, or is private" in refused(priors, "org/absent")
assert "no weights in safetensors" in refused(priors, "org/pickled")
assert "GB of files; here it may have" in refused(priors, "org/large")
assert "far larger than its files" in refused(priors, "org/wide")
assert "far larger than its files" in refused(priors, "org/deep")
""",
        HF_TOKEN=hub_server.token,
    )
    fetched = [path for method, path in hub_server.requests if method == "GET" and "resolve" in path]
    assert not any("private" in path or "large" in path or "pickled" in path for path in fetched)
