"""Models that summarize generated news: training, greedy summaries, their perplexities, and ROUGE-1."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hf_toedit.papers.reinforcement import encoder_decoder
from hf_toedit.papers.reinforcement.news import END, PAD, START, VOCABULARY, News, decode, encode, news

_BATCH = 512
"""Number of articles per batch outside training."""

_LONGEST = 12
"""Largest number of tokens of a summary that a model writes; human ones have 9."""

_IGNORED = -100
"""Label that the loss of `transformers` skips."""


def inputs(articles: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the inputs of a model that reads articles: token ids and the mask of padding, `[k, n]` each."""
    ids = encode(articles, is_output=False)
    return {"input_ids": ids, "attention_mask": (ids != PAD).astype(np.int64)}


def examples(articles: Sequence[str], summaries: Sequence[str]) -> dict[str, np.ndarray]:
    """Return examples to train on, see `encoder_decoder.train`."""
    labels = encode(summaries, is_output=True)
    return {**inputs(articles), "labels": np.where(labels == PAD, _IGNORED, labels)}


def summarize(model: Any, articles: Sequence[str]) -> list[str]:
    """Return the summaries that a model writes, the most likely token at each position."""
    found: list[str] = []
    for batch in _batches(model, inputs(articles)):
        made = model.generate(**batch, max_new_tokens=_LONGEST, do_sample=False, num_beams=1)
        found += decode(made.cpu().numpy())
    return found


def perplexities(model: Any, articles: Sequence[str], summaries: Sequence[str]) -> np.ndarray:
    """Return the perplexity of each summary under a model that reads its article, `[k]`; its end counts as a token."""
    import torch
    from torch.nn.functional import cross_entropy

    found = []
    for batch in _batches(model, examples(articles, summaries)):
        with torch.no_grad():
            logits = model(**batch).logits
        nll = cross_entropy(logits.transpose(1, 2), batch["labels"], ignore_index=_IGNORED, reduction="none")
        found.append((nll.sum(dim=1) / (batch["labels"] != _IGNORED).sum(dim=1)).cpu().numpy())
    return np.exp(np.concatenate(found))


def rouge(summaries: Sequence[str], references: Sequence[str]) -> np.ndarray:
    """Return the ROUGE-1 F1 of each summary, 0 to 100, `[k]`.

    Raises:
        UsageError: The package rouge-score is not installed.
    """
    from hf_toedit.scorers.verifier import RougeConfig

    scorer = RougeConfig(reference_column="summary").pinned()
    pairs = zip(summaries, references, strict=True)
    return 100 * np.array([scorer.verify(summary, reference)["rouge1"] for summary, reference in pairs], np.float64)


def _batches(model: Any, arrays: Mapping[str, np.ndarray]) -> Iterator[dict[str, Any]]:
    """Yield the rows of arrays as batches of tensors for a model, which is set to evaluation."""
    import torch

    model.eval()
    for start in range(0, len(arrays["input_ids"]), _BATCH):
        yield {name: torch.tensor(array[start : start + _BATCH], device=model.device) for name, array in arrays.items()}


@dataclass(frozen=True)
class Study(encoder_decoder.Study):
    """One repetition of an item: its news, its models, and their summaries."""

    def new_model(self) -> Any:
        """See `encoder_decoder.Study`."""
        return encoder_decoder.new_model(self.settings, self.seed, len(VOCABULARY), PAD, START, END)

    def news(self, kind: str) -> News:
        """Return the news of a kind: `originals`, `synthetic` or `held_out`."""
        number = ("originals", "synthetic", "held_out").index(kind)
        return news(np.random.default_rng((self.work.seed, self.repetition, number)), self.settings[kind])

    def generator(self) -> Any:
        """Return the model trained on the human summaries of the original articles."""
        return self._of_originals("generator")

    def weak_verifier(self) -> Any:
        """Return a model of another size that is trained on the same human summaries as the generator."""
        study = replace(self, settings={**self.settings, **self.settings["verifier"]})
        return study._of_originals("weak-verifier")

    def _of_originals(self, name: str) -> Any:
        data = self.news("originals")
        return self.trained(name, lambda: examples(data.articles, data.summaries))
