"""Reads from `HubServer` with the real clients, each in a separate process so that it sees HF_ENDPOINT."""

from __future__ import annotations

import http.client
import io
import json
import textwrap
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cli.command import python
from tests.hub_server import Account, HubServer
from tests.processes import LEAVE

ROW_CARD = b"""---
license: mit
tags: [tiny]
configs:
- config_name: first
  default: true
  data_files: [{split: train, path: a/*.parquet}]
- config_name: second
  data_files: [{split: test, path: b/*.parquet}]
---
# Rows
"""


def parquet(values: list[int]) -> bytes:
    """Return a Parquet file with one column, x."""
    sink = io.BytesIO()
    pq.write_table(pa.table({"x": values}), sink)
    return sink.getvalue()


def client(server: HubServer, code: str, *args: str, **env: str) -> Any:
    """Run client code that fills a dict called `out`, and return the dict; `error` names the exception of a call."""
    prelude = """
        import json, sys
        out = {}
        def error(call, *args, **kwargs):
            try:
                call(*args, **kwargs)
            except Exception as exc:
                return [type(exc).__name__, getattr(getattr(exc, "response", None), "status_code", None)]
    """
    program = f"{textwrap.dedent(prelude)}{textwrap.dedent(code)}\nprint('\\n' + json.dumps(out))\n{LEAVE}"
    done = python(program, *args, env={**server.env, **env})
    assert done.code == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_wire(hub_server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    sha = hub_server.create_repo("dataset", "org/raw", {"é.txt": b"0123456789"})
    connection = http.client.HTTPConnection("127.0.0.1", int(hub_server.endpoint.rsplit(":", 1)[1]), timeout=10)

    def ask(method: str, path: str, span: str = "") -> tuple[int, bytes, http.client.HTTPMessage]:
        connection.request(method, path, headers={"Range": span} if span else {})
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers

    url = f"/datasets/org/raw/resolve/{sha}/%C3%A9.txt"
    status, body, headers = ask("HEAD", url)
    port = connection.sock.getsockname()
    assert (status, body, headers["Content-Length"], headers["X-Repo-Commit"]) == (200, b"", "10", sha)
    assert ask("GET", url)[:2] == (200, b"0123456789")
    for span, part in {"bytes=2-4": b"234", "bytes=8-": b"89", "bytes=-3": b"789", "bytes=8-99": b"89"}.items():
        assert ask("GET", url, span)[:2] == (206, part)
    status, _, headers = ask("GET", url, "bytes=10-")
    assert (status, headers["Content-Range"]) == (416, "bytes */10")
    assert ask("GET", "/api/datasets/org/raw/tree/main/%C3%A8")[2]["X-Error-Code"] == "EntryNotFound"
    assert ask("GET", "/api/datasets/org/raw/revision/%C4%80")[2]["X-Error-Code"] == "RevisionNotFound"
    assert ask("POST", "/api/unknown")[0] == 404
    assert connection.sock.getsockname() == port, "the connection was not kept alive"
    connection.close()
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "https_proxy"):
        monkeypatch.setenv(name, "1")
        assert name not in hub_server.env


def test_hub_api(hub_server: HubServer) -> None:
    old = hub_server.create_repo("dataset", "org/rows", {"README.md": ROW_CARD, "a/1.parquet": parquet([1, 2])})
    new = hub_server.commit("dataset", "org/rows", {"b/rows.jsonl": b'{"x": 3}\n', "notes é.txt": b"new"})
    hub_server.repos["dataset", "org/rows"].tags["v1"] = old
    model = hub_server.create_repo("model", "org/empty", {"config.json": b"{}", "sub/w.safetensors": b"12345678"})
    out = client(
        hub_server,
        """
        import pathlib
        from huggingface_hub import HfApi, HfFileSystem, hf_hub_download, snapshot_download
        old = sys.argv[1]
        api = HfApi()
        info = api.dataset_info("org/rows", files_metadata=True)
        out["info"] = [info.sha, info.id, info.private, info.card_data.license, info.tags]
        out["lfs"] = [[s.rfilename, s.size] for s in info.siblings if s.lfs]
        out["shas"] = [api.dataset_info("org/rows", revision=r).sha for r in (old, "v1")]
        out["model"] = api.model_info("org/empty").sha
        out["files"] = [api.list_repo_files("org/rows", repo_type="dataset", revision=r) for r in (old, "main")]
        tree = api.list_repo_tree("org/rows", repo_type="dataset", expand=True)
        out["tree"] = {e.path: e.last_commit.oid for e in tree}
        out["below"] = [e.path for e in api.list_repo_tree("org/empty", "sub", recursive=True)]
        found = api.get_paths_info("org/rows", ["a", "notes é.txt", "none"], repo_type="dataset")
        out["paths"] = [[e.path, type(e).__name__] for e in found]
        out["commits"] = [c.commit_id for c in api.list_repo_commits("org/rows", repo_type="dataset")]
        at = lambda name, rev=None: hf_hub_download("org/rows", name, repo_type="dataset", revision=rev)
        out["main"] = pathlib.Path(at("notes é.txt")).read_text()
        out["same"] = pathlib.Path(at("a/1.parquet", old)).read_bytes() == pathlib.Path(at("a/1.parquet")).read_bytes()
        out["links"] = pathlib.Path(at("a/1.parquet")).resolve().name
        out["snapshot"] = sorted(p.name for p in pathlib.Path(snapshot_download("org/empty")).iterdir())
        out["errors"] = [
            error(at, "none.txt"), error(at, "notes é.txt", old), error(at, "README.md", "none"),
            error(api.model_info, "org/none"), error(api.dataset_info, "org/empty"), error(at, "a"),
            error(hf_hub_download, "org/none", "config.json"), error(list, api.list_repo_tree("org/empty", "none")),
        ]
        with HfFileSystem().open("datasets/org/rows/a/1.parquet", block_size=16) as file:
            size = file.seek(0, 2)
            file.seek(-4, 2)
            out["magic"] = [size, file.read().decode()]
        """,
        old,
    )
    data = parquet([1, 2])
    lfs = hub_server.repos["dataset", "org/rows"].find(new).file_entry("a/1.parquet")["lfs"]
    assert out["info"] == [new, "org/rows", False, "mit", ["tiny", "license:mit"]]
    assert out["lfs"] == [["a/1.parquet", len(data)]]
    assert (out["shas"], out["model"]) == ([old, old], model)
    assert out["files"] == [["README.md", "a/1.parquet"], ["README.md", "a/1.parquet", "b/rows.jsonl", "notes é.txt"]]
    assert out["tree"] == {"README.md": old, "a": old, "b": new, "notes é.txt": new}
    assert out["below"] == ["sub/w.safetensors"]
    assert out["paths"] == [["a", "RepoFolder"], ["notes é.txt", "RepoFile"]]
    assert out["commits"] == [new, old]
    assert (out["main"], out["same"], out["links"]) == ("new", True, lfs["oid"])
    assert out["snapshot"] == ["config.json", "sub"]
    missing, unknown = ["RemoteEntryNotFoundError", 404], ["RepositoryNotFoundError", 401]
    revision = ["RevisionNotFoundError", 404]
    assert out["errors"] == [missing, missing, revision, unknown, unknown, missing, unknown, missing]
    assert out["magic"] == [len(data), "PAR1"]
    assert ("HEAD", "/datasets/org/rows/resolve/main/a/1.parquet") in hub_server.requests


def test_access(hub_server: HubServer) -> None:
    hub_server.create_repo("model", "org/secret", {"config.json": b"{}"}, private=True)
    hub_server.accounts["hf_stranger"] = Account("stranger")
    hub_server.accounts["hf_narrow"] = Account("owner", {"org"}, "fineGrained")
    out = client(
        hub_server,
        """
        from huggingface_hub import HfApi, hf_hub_download
        owner = sys.argv[1]
        out["private"] = HfApi(token=owner).model_info("org/secret").private
        out["file"] = open(hf_hub_download("org/secret", "config.json", token=owner)).read()
        who = HfApi(token=owner).whoami()
        out["who"] = [who["name"], [org["name"] for org in who["orgs"]]]
        tokens = (False, "hf_wrong", "hf_stranger", "hf_narrow")
        out["errors"] = [error(HfApi(token=token).model_info, "org/secret") for token in tokens]
        out["login"] = error(HfApi(token="hf_wrong").whoami)
        """,
        hub_server.token,
    )
    assert (out["private"], out["file"], out["who"]) == (True, "{}", ["owner", ["org"]])
    hidden = "RepositoryNotFoundError"
    assert out["errors"] == [[hidden, 401], ["HfHubHTTPError", 401], [hidden, 404], ["HfHubHTTPError", 403]]
    assert out["login"] == ["HfHubHTTPError", 401]


def test_load_dataset(hub_server: HubServer) -> None:
    plain = hub_server.create_repo("dataset", "org/plain", {"data/train-0.parquet": parquet([1, 2])})
    hub_server.commit("dataset", "org/plain", {"data/train-0.parquet": parquet([9])})
    files = {"README.md": ROW_CARD, "a/1.parquet": parquet([4]), "b/1.parquet": parquet([5])}
    rows = hub_server.create_repo("dataset", "org/rows", files)
    hub_server.create_repo("dataset", "org/hidden", {"train.jsonl": b'{"x": 6}\n'}, private=True)
    out = client(
        hub_server,
        """
        from datasets import get_dataset_config_names, load_dataset
        plain, rows, token = sys.argv[1:]
        # Before any load: what a cached dataset's name later fails on is silently answered from the cache.
        out["errors"] = [
            error(load_dataset, "org/none"), error(load_dataset, "org/plain", revision="none"),
            error(load_dataset, "org/hidden"),
        ]
        for streaming in (False, True):
            xs = lambda *args, **kwargs: [r["x"] for r in load_dataset(*args, streaming=streaming, **kwargs)]
            out[f"{streaming}"] = [
                xs("org/plain", split="train"),
                xs("org/plain", split="train", revision=plain),
                xs("org/rows", split="train", revision=rows),
                xs("org/rows", "second", split="test", revision=rows),
                xs("org/hidden", split="train", token=token),
            ]
        out["configs"] = get_dataset_config_names("org/rows", revision=rows)
        """,
        plain,
        rows,
        hub_server.token,
    )
    assert out["False"] == out["True"] == [[9], [1, 2], [4], [5], [6]]
    assert out["configs"] == ["first", "second"]
    assert [name for name, _ in out["errors"]] == ["DatasetNotFoundError"] * 3


@pytest.fixture
def tiny_model(tmp_path: Path) -> Path:
    """Return a random Llama and a byte-level BPE tokenizer, written by hand: importing torch would take seconds."""
    import numpy as np
    from safetensors.numpy import save_file
    from tokenizers import ByteLevelBPETokenizer

    folder = tmp_path / "tiny"
    folder.mkdir()
    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(["hello hub, hello world"] * 4, vocab_size=270, special_tokens=["<s>", "</s>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(special))
    vocab, hidden = tokenizer.get_vocab_size(), 8
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": vocab,
        "hidden_size": hidden,
        "intermediate_size": hidden,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "max_position_embeddings": 32,
        "tie_word_embeddings": True,
        "torch_dtype": "float32",
    }
    (folder / "config.json").write_text(json.dumps(config))
    square = [f"layers.0.self_attn.{name}_proj" for name in "qkvo"]
    square += [f"layers.0.mlp.{name}_proj" for name in ("gate", "up", "down")]
    norms = ["norm", "layers.0.input_layernorm", "layers.0.post_attention_layernorm"]
    shapes = {**dict.fromkeys(square, (hidden, hidden)), **dict.fromkeys(norms, (hidden,))}
    shapes["embed_tokens"] = (vocab, hidden)
    rng = np.random.default_rng(0)
    weights = {f"model.{name}.weight": rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    save_file(weights, str(folder / "model.safetensors"), metadata={"format": "pt"})
    return folder


def test_from_pretrained(hub_server: HubServer, tiny_model: Path) -> None:
    sha = hub_server.create_repo("model", "org/tiny", tiny_model)
    hub_server.commit("model", "org/tiny", {"model.safetensors": b"broken", "tokenizer.json": None})
    out = client(
        hub_server,
        """
        from transformers import AutoModelForCausalLM, AutoTokenizer
        sha = sys.argv[1]
        tokenizer = AutoTokenizer.from_pretrained("org/tiny", revision=sha)
        model, report = AutoModelForCausalLM.from_pretrained(
            "org/tiny", revision=sha, use_safetensors=True, output_loading_info=True
        )
        batch = tokenizer("hello world", return_tensors="pt")
        out["shape"] = list(model(**batch).logits.shape)
        out["text"] = tokenizer.decode(batch["input_ids"][0])
        out["vocab"] = len(tokenizer)
        out["missing"] = sorted(report["missing_keys"])
        out["broken"] = error(AutoModelForCausalLM.from_pretrained, "org/tiny", use_safetensors=True)
        """,
        sha,
    )
    assert out["text"] == "hello world"
    assert out["missing"] == []
    assert out["shape"][0] == 1 and out["shape"][2] == out["vocab"]
    assert out["broken"] is not None
