"""Generated news, their tokens, summaries and perplexities compared with plain `transformers`, and a small Figure 4."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hf_toedit.papers.item import Work
from hf_toedit.papers.registry import find_item
from hf_toedit.papers.reinforcement.news import END, PAD, VOCABULARY, News, decode, encode, news
from hf_toedit.papers.reinforcement.summaries import Study, examples, perplexities, rouge, summarize

SMALL: Mapping[str, Any] = {
    **find_item("reinforcement:Figure 4").settings("tiny"),
    "d_model": 16,
    "heads": 2,
    "verifier": {"d_model": 32},
    "originals": 60,
    "synthetic": 40,
    "held_out": 20,
    "steps": 6,
    "batch_size": 16,
    "rates": [0.25, 0.5],
    "repetitions": 2,
}


@pytest.fixture(scope="module")
def some_news() -> News:
    return news(np.random.default_rng(0), 400)


def test_summaries_name_the_facts_of_the_main_story(some_news: News) -> None:
    background = re.compile(r"^(last|a decade|in an|weeks|elsewhere|meanwhile|in other|across)\b")
    for article, summary in zip(some_news.articles, some_news.summaries, strict=True):
        sentences = [sentence.strip() for sentence in article.split(".") if sentence.strip()]
        [event] = [one for one in sentences if re.match(r"a \w+ in \w+ \w+ \d+ people$", one)]
        facts = [one for one in sentences if len(one.split()) == 4 and not background.match(one)]
        person = next(one.split()[1] for one in facts if one.split()[1] == summary.split()[0])
        _, _, _, place, _, number, _ = event.split()
        words = summary.split()
        assert (words[0], words[4], words[-1]) == (person, place, number) and len(words) == 8


def test_news_depend_on_the_seed_alone(some_news: News) -> None:
    assert news(np.random.default_rng(0), 400) == some_news
    assert news(np.random.default_rng(1), 400).articles[:3] != some_news.articles[:3]
    assert len(set(VOCABULARY)) == len(VOCABULARY)
    assert 1.5 < np.mean([article.count(".") for article in some_news.articles]) < 5


def test_texts_come_back_from_tokens(some_news: News) -> None:
    for texts in (some_news.articles, some_news.summaries):
        tokens = encode(texts, is_output=True)
        assert decode(tokens) == list(texts)
        assert ((tokens == END).sum(axis=1) == 1).all()
        assert (encode(texts, is_output=False) != END).all()
    found = examples(some_news.articles[:2], some_news.summaries[:2])
    np.testing.assert_array_equal(found["attention_mask"] == 0, found["input_ids"] == PAD)


def test_rouge_is_the_overlap_of_words(some_news: News) -> None:
    found = rouge(some_news.summaries[:-1], some_news.summaries[1:])
    for score, one, other in zip(found, some_news.summaries[:-1], some_news.summaries[1:], strict=True):
        common = (Counter(one.split()) & Counter(other.split())).total()
        assert score == pytest.approx(200 * common / (len(one.split()) + len(other.split())))
    assert rouge([""], ["a fire"]).tolist() == [0]


def test_summaries_and_perplexities_are_those_of_plain_transformers(some_news: News, tmp_path: Path) -> None:
    study = Study(SMALL, Work(0, tmp_path), 0)
    model = study.generator()
    articles = some_news.articles[:30]
    written = summarize(model, articles)
    found = perplexities(model, articles, written)
    for row in (0, 7, 29):
        ids = torch.tensor(encode(articles[row : row + 1], is_output=False))
        plain = model.generate(ids, max_new_tokens=12, do_sample=False)
        assert decode(plain.numpy()) == [written[row]]
        labels = torch.tensor(encode(written[row : row + 1], is_output=True))
        with torch.no_grad():
            loss = model(input_ids=ids, labels=labels).loss
        assert found[row] == pytest.approx(math.exp(loss), rel=1e-4)


def test_figure_4_end_to_end(tmp_path: Path) -> None:
    item = find_item("reinforcement:Figure 4")
    outcome = item.run(SMALL, Work(0, tmp_path))
    [table], [plot] = outcome.tables, outcome.plots
    assert outcome.holds in ("yes", "no", "not decided") and "oracle" in outcome.reason
    assert len(table.rows) == 3 + 4 * len(SMALL["rates"])
    assert all(len(row) == len(table.columns) for row in table.rows)
    assert all(len(line.x) == len(line.y) for line in plot.lines)
    quality = {row[0]: row[2] for row in table.rows}
    for rate in ("25 %", "50 %"):
        best = quality[f"oracle, {rate}"]
        assert isinstance(best, float) and best >= max(quality[f"{by}, {rate}"] for by in ("random", "own perplexity"))  # type: ignore[type-var, operator]
    models = {path.stem for path in tmp_path.glob("repetition-2/*.safetensors")}
    assert len(models) == len(table.rows)
    assert item.run(SMALL, Work(0, tmp_path)) == outcome
