"""Classifiers give the logits of plain `transformers`, for texts of any length and in any batch."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from hf_toedit.checked import from_json
from hf_toedit.config import Resources, TextConfig
from hf_toedit.errors import OutOfMemory, PriorError, UsageError
from hf_toedit.rows.texts import Texts
from hf_toedit.scorers.classifier import ClassifierConfig
from hf_toedit.scorers.classifier_model import ClassifierScorer, find
from hf_toedit.scorers.scorer import RowScores
from tests.scorers.classifiers import CLASSIFIERS, CONTEXT, make_classifier, make_language_model
from tests.shared import texts

TEXT = Texts(TextConfig())


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("classifiers")
    return {name: make_classifier(name, folder / name) for name in CLASSIFIERS}


def _load(folder: Path, **settings: Any) -> ClassifierScorer:
    return ClassifierConfig(str(folder), device="cpu", **settings).load(Resources())[1]


def _score(scorer: ClassifierScorer, rows: list[Any], found: Texts = TEXT) -> RowScores:
    table = pa.table({"text": rows}) if found is TEXT else pa.Table.from_pylist(rows)
    prepared = scorer.prepare(table, found)
    scored = scorer.score(prepared)
    assert scored.num_tokens <= prepared.num_tokens.sum()
    return scored


def _plain(folder: Path, text: str, **options: Any) -> np.ndarray:
    """Return the output of `transformers` for one text."""
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    inputs = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt", **options)
    with torch.inference_mode():
        return model(**inputs).logits[0].numpy()


def _short() -> list[str]:
    return [" ".join(text.split()[:count]) for count, text in enumerate(texts("synthetic_tinystories_500")[:12], 3)]


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_logits_are_those_of_transformers(folders: dict[str, Path], name: str) -> None:
    scored = _score(_load(folders[name]), _short())
    for text, row in zip(_short(), scored.rows, strict=True):
        assert list(row.values()) == pytest.approx(_plain(folders[name], text).tolist(), abs=1e-6)
    assert len({tuple(row.values()) for row in scored.rows}) == len(scored.rows)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_long_text_is_read_in_windows_or_truncated(folders: dict[str, Path], name: str) -> None:
    text = "\n\n".join(texts("synthetic_tinystories_500")[:2])
    tokenizer = AutoTokenizer.from_pretrained(folders[name])
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    own = CONTEXT - len(tokenizer("")["input_ids"])
    scorer = _load(folders[name])
    assert scorer.context == CONTEXT
    prepared = scorer.prepare(pa.table({"text": [text]}), TEXT)
    assert [int(window.own.sum()) for window in prepared.documents] == [
        len(ids[at : at + own]) for at in range(0, len(ids), own)
    ]
    assert np.concatenate([window.ids[window.own] for window in prepared.documents]).tolist() == ids
    assert prepared.num_tokens.tolist() == [len(ids)]
    scored = scorer.score(prepared)
    assert scored.num_tokens == len(ids)
    model = AutoModelForSequenceClassification.from_pretrained(folders[name]).eval()
    with torch.inference_mode():
        logits = [model(torch.from_numpy(window.ids.astype(int))[None]).logits[0] for window in prepared.documents]
    weights = [int(window.own.sum()) for window in prepared.documents]
    expected = np.average(np.stack(logits), axis=0, weights=weights)
    assert list(scored.rows[0].values()) == pytest.approx(expected.tolist(), abs=1e-6)
    first = _score(_load(folders[name], truncate=True), [text])
    expected = _plain(folders[name], text, truncation=True, max_length=CONTEXT)
    assert list(first.rows[0].values()) == pytest.approx(expected.tolist(), abs=1e-6)
    assert first.num_tokens == own
    scorer.read(prepared.documents)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_rows_do_not_depend_on_their_batch(folders: dict[str, Path], name: str) -> None:
    scorer = _load(folders[name])
    rows = [*_short(), *texts("synthetic_tinystories_500")[:3]]
    together = _score(scorer, rows).rows
    assert together == [_score(scorer, [row]).rows[0] for row in rows]
    assert _score(scorer, rows[::-1]).rows == together[::-1]


def test_rows_do_not_depend_on_the_number_of_threads(folders: dict[str, Path]) -> None:
    scorer = _load(folders["bert"])
    rows = [*_short(), *texts("synthetic_tinystories_500")[:3]]
    threads = torch.get_num_threads()
    found = []
    try:
        for count in (1, 2, 3, 8):
            torch.set_num_threads(count)
            found.append(_score(scorer, rows).rows)
    finally:
        torch.set_num_threads(threads)
    assert found == found[:1] * 4


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_padded_batches_as_on_a_gpu(folders: dict[str, Path], name: str) -> None:
    found = find(str(folders[name]), None, False)
    model = AutoModelForSequenceClassification.from_pretrained(folders[name]).eval()
    tokenizer = AutoTokenizer.from_pretrained(folders[name])
    rows = [*_short(), *texts("synthetic_tinystories_500")[:3]]
    alone = _score(ClassifierScorer(model, tokenizer, found, found.labels, batched=False), rows)
    for budget in (1, 64, 4096):
        resources = Resources(token_budget=budget)
        padded = _score(
            ClassifierScorer(model, tokenizer, found, found.labels, resources=resources, batched=True), rows
        )
        for one, other in zip(alone.rows, padded.rows, strict=True):
            assert list(one.values()) == pytest.approx(list(other.values()), abs=1e-4)


def test_out_of_memory_halves_batches_and_ends_at_one_window(folders: dict[str, Path]) -> None:
    found = find(str(folders["bert"]), None, False)
    model = AutoModelForSequenceClassification.from_pretrained(folders["bert"]).eval()
    tokenizer = AutoTokenizer.from_pretrained(folders["bert"])
    most = 4

    def check(module: Any, args: Any, given: Any) -> None:
        if given["input_ids"].numel() > most * CONTEXT:
            raise torch.OutOfMemoryError("too much")

    rows = [text[:400] for text in texts("synthetic_tinystories_500")[:20]]
    expected = _score(_load(folders["bert"]), rows).rows
    model.register_forward_pre_hook(check, with_kwargs=True)
    scorer = ClassifierScorer(model, tokenizer, found, found.labels, batched=True)
    for row, other in zip(expected, _score(scorer, rows).rows, strict=True):
        assert list(row.values()) == pytest.approx(list(other.values()), abs=1e-4)
    most = 0
    for batched in (True, False):
        with pytest.raises(OutOfMemory, match="out of memory even at one window of 40 tokens"):
            _score(ClassifierScorer(model, tokenizer, found, found.labels, batched=batched), rows)


def test_rows_with_nothing_to_read(folders: dict[str, Path]) -> None:
    scored = _score(_load(folders["bert"]), [None, "", "A dog.", " "])
    assert [row["good"] is None for row in scored.rows] == [True, True, False, False]
    assert scored.rows[0] == {"poor": None, "fair": None, "good": None}
    assert (scored.num_documents, scored.num_skipped) == (4, {"null": 1, "empty": 1})
    assert not _score(_load(folders["bert"]), []).rows
    assert [row["good"] for row in _score(_load(folders["bert"]), [None, ""]).rows] == [None, None]


def test_texts_of_a_row_are_joined(folders: dict[str, Path]) -> None:
    scorer = _load(folders["bert"])
    rows = [
        {"id": "Story", "a": "One dog.", "b": [{"c": "Two dogs."}, {"c": None}, {"c": ""}]},
        {"id": None, "a": None, "b": None},
        {"id": "Only context", "a": "", "b": []},
        {"id": "", "a": "No context.", "b": []},
    ]
    found = Texts(TextConfig(text_columns=("a", "b[].c"), context_columns="id"))
    scored = _score(scorer, rows, found)
    joined = _score(scorer, ["Story\n\nOne dog.\n\nTwo dogs.", None, "", "No context."])
    assert scored.rows == joined.rows
    assert (scored.num_documents, scored.num_skipped) == (7, {"null": 2, "empty": 2})


def test_conversations_are_written_by_the_chat_template(folders: dict[str, Path]) -> None:
    chats: list[list[dict[str, Any]]] = [
        [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Yes."}],
        [{"role": "tool", "content": "Hi."}, {"role": "assistant", "content": "Yes."}],
        [{"role": "user", "content": "Hi."}],
        [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": " "}],
    ]
    found = Texts(TextConfig(messages_column="messages"))
    rows = [{"messages": chat} for chat in chats]
    scored = _score(_load(folders["llama"]), rows, found)
    plain = _plain(folders["llama"], "<|user|>\nHi.\n<|assistant|>\nYes.\n")
    assert [row["reward"] for row in scored.rows] == [pytest.approx(float(plain[0]), abs=1e-6), None, None, None]
    assert (scored.num_documents, scored.num_skipped) == (3, {"template_failed": 1, "empty": 1})
    reason = scored.skip_reasons["template_failed"]
    assert reason.startswith(f"the chat template of classifier {str(folders['llama'])!r} refuses") and "tools" in reason
    without = _load(folders["bert"])
    assert _score(without, rows[:1], found).rows == _score(without, ["Hi.\n\nYes."]).rows


def test_texts_that_the_model_fails_on(folders: dict[str, Path]) -> None:
    found = find(str(folders["bert"]), None, False)
    model = AutoModelForSequenceClassification.from_pretrained(folders["bert"]).eval()
    tokenizer = AutoTokenizer.from_pretrained(folders["bert"])
    dog, cat = (tokenizer(f"{word}", add_special_tokens=False)["input_ids"][0] for word in ("!", "?"))

    def check(module: Any, args: Any, given: Any, output: Any) -> Any:
        if (given["input_ids"] == cat).any():
            raise RuntimeError("no questions")
        if (given["input_ids"] == dog).any():
            output.logits[:] = float("nan")
        return output

    model.register_forward_hook(check, with_kwargs=True)
    scorer = ClassifierScorer(model, tokenizer, found, found.labels)
    scored = _score(scorer, ["A dog.", "A dog?", "A dog!", None])
    assert [row["good"] is None for row in scored.rows] == [False, True, True, True]
    assert scored.num_skipped == {"null": 1, "scorer_failed": 2}
    assert scored.skip_reasons == {"scorer_failed": "its scores are not finite numbers."}
    assert scored.num_tokens == len(tokenizer("A dog.", add_special_tokens=False)["input_ids"])
    assert _score(scorer, ["A dog?"]).rows[0]["good"] is None  # it can read another text
    model.register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(PriorError, match="fails on every text: division by zero"):
        _score(scorer, ["A dog."])


def test_settings_are_pinned_and_labels_chosen(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(folders["bert"], tmp_path / "bert")
    config = ClassifierConfig(str(folder), device="cpu")
    assert (config.fields, config.revision) == ({}, "")
    pinned = config.pinned()
    assert pinned.fields == dict.fromkeys(("poor", "fair", "good"), "float32") and pinned.revision
    assert pinned.model_revision is None
    loaded, scorer = pinned.load(Resources())
    assert (loaded.dtype, loaded.revision) == ("float32", pinned.revision)
    assert from_json(json.loads(json.dumps(loaded.to_json())), ClassifierConfig) == loaded
    two = _load(folder, labels=("good", "poor"))
    whole = _score(scorer, _short()).rows
    assert _score(two, _short()).rows == [{"good": row["good"], "poor": row["poor"]} for row in whole]
    with pytest.raises(UsageError, match="has no label 'goood'. Did you mean 'good'?"):
        ClassifierConfig(str(folder), labels=("goood",)).pinned()
    with pytest.raises(UsageError, match="label 'good' is named twice"):
        ClassifierConfig(str(folder), labels=("good", "good"))
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes() + b" ")
    assert config.pinned().revision != pinned.revision


@pytest.mark.parametrize(
    "change, said",
    [
        ({"id2label": {"0": "a", "1": "a", "2": "b"}}, "two labels of classifier .* have one name"),
        ({"model_type": "none"}, "cannot load the configuration of classifier"),
        ({"hidden_size": 20}, "cannot load the model of classifier|lack"),
    ],
)
def test_broken_classifiers(folders: dict[str, Path], tmp_path: Path, change: dict[str, Any], said: str) -> None:
    folder = shutil.copytree(folders["bert"], tmp_path / "bert")
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(PriorError, match=said):
        _load(folder)


def test_what_is_not_a_classifier(tmp_path: Path) -> None:
    with pytest.raises(PriorError, match="lack bert.pooler.dense.bias, so it was not trained as a classifier"):
        _load(make_language_model(tmp_path / "model"))
    with pytest.raises(PriorError, match=r"no classifier folder './none'\. Name a folder or a Hub id \(org/name\)\."):
        ClassifierConfig("./none").pinned()
    with pytest.raises(PriorError, match="the Hub for classifier 'org/none' at revision 'v1'"):
        ClassifierConfig("org/none", model_revision="v1").pinned()
    with pytest.raises(UsageError, match="classifier .* is local and has no revisions"):
        _load(tmp_path / "model", model_revision="main")
    with pytest.raises(UsageError, match="tensor-parallel"):
        ClassifierConfig(str(tmp_path / "model"), device="cpu").load(Resources(tensor_parallel=2))
