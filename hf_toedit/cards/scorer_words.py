"""How a scorer scores, in words; code that a plan refers to is never imported."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hf_toedit.cards.data import CardData
from hf_toedit.cards.escape import Markdown, code
from hf_toedit.cards.origin import given, model_name, model_words, pinned_model, prior_rows
from hf_toedit.cards.plain_scorer_words import PLAIN_WORDS
from hf_toedit.cards.tables import short
from hf_toedit.cards.words_of import ScorerWords
from hf_toedit.scorers.classifier import ClassifierConfig
from hf_toedit.scorers.own import OwnScorerConfig
from hf_toedit.scorers.perplexity import PerplexityConfig
from hf_toedit.scorers.scorer import ScorerConfig


class _PerplexityWords(ScorerWords[PerplexityConfig]):
    role = "prior"
    tags = ("perplexity",)

    @property
    def title(self) -> str:
        return "scored by perplexity"

    def scores(self, data: CardData) -> Markdown:
        return Markdown(
            f"the mean negative log-likelihood of its text under a language model, {model_words(data)}, whose "
            f"exponential is the perplexity, and the number of tokens that were read"
        )

    def rows(self, data: CardData) -> Iterator[tuple[str, Markdown]]:
        yield from given({"scorer": self.scorer.kind})
        yield from prior_rows(data, self.scorer.prior, self.scorer.revision)

    def what(self, name: str) -> str:
        return {"nll": "perplexity", "num_tokens": "number of tokens"}.get(name, name)

    def meaning(self, name: str) -> str:
        return {
            "nll": "mean negative log-likelihood of the row's tokens, in nats per token; null where no token has one",
            "num_tokens": "tokens of the row's texts that were read",
        }.get(name, "")

    def limits(self) -> Iterator[str]:
        yield (
            "The scores are those of one model. They depend on the languages and topics that it was trained on, and "
            "are not the quality of a text: the perplexity of repetitive text is low as well."
        )
        yield (
            "The perplexity of a short text is a mean over few tokens with little context: it is noisy, and higher "
            "than that of a long one."
        )
        yield "Perplexities of models with different tokenizers are not comparable."


class _ClassifierWords(ScorerWords[ClassifierConfig]):
    role = "classifier"
    tags = ("text-classification",)

    @property
    def title(self) -> str:
        return f"scored by the classifier {model_name(self.scorer.model_name)}"

    def scores(self, data: CardData) -> Markdown:
        logits = "a logit" if len(self.scorer.labels) == 1 else f"{len(self.scorer.labels):,} logits"
        return Markdown(f"{logits} of its text by a classifier, {model_words(data)}")

    def rows(self, data: CardData) -> Iterator[tuple[str, Markdown]]:
        yield from given({"scorer": self.scorer.kind})
        yield "classifier", pinned_model(data, self.scorer.revision, self.scorer.dtype)
        long_texts = "first window only" if self.scorer.truncate else "all windows, logits averaged by their tokens"
        yield from given({"labels": tuple(map(short, self.scorer.labels))})
        yield "long texts", Markdown(long_texts)
        if self.scorer.trust_remote_code:
            yield "code of the classifier's repository", Markdown("was run")

    def what(self, name: str) -> str:
        return f"logit of {name}"

    def meaning(self, name: str) -> str:
        return "logit of this label; null where there was nothing to read"

    def limits(self) -> Iterator[str]:
        yield (
            "The scores are those of one classifier, with the biases of the data that it was trained on: the "
            "languages, topics and lengths of the texts, and the judgement of the people or models that labelled them."
        )
        yield "Logits are not probabilities. See the classifier's card for what they mean."
        if self.scorer.truncate:
            yield "Of a text that is longer than the classifier reads at once, only the beginning was read."
        else:
            yield (
                "A text that is longer than the classifier reads at once was read in windows. Its logits are means "
                "over them, weighted by their tokens, and differ from those of its beginning alone."
            )


class _OwnWords(ScorerWords[OwnScorerConfig]):
    @property
    def title(self) -> str:
        return f"scored by {self.scorer.kind}"

    def scores(self, data: CardData) -> Markdown:
        return Markdown(f"what a scorer, {code(self.scorer.name)}, returns for its text")

    def rows(self, data: CardData) -> Iterator[tuple[str, Markdown]]:
        yield "scorer", Markdown(f"{code(self.scorer.name)}, fingerprint {code(self.scorer.revision)}")

    def what(self, name: str) -> str:
        return name

    def meaning(self, name: str) -> str:
        return "as the scorer returned it; null where there was nothing to read, or it returned no number"

    def limits(self) -> Iterator[str]:
        yield (
            "The scorer is Python code that is not part of this dataset. Ask its author what the values mean and where "
            "they are wrong."
        )
        yield "Tokens in the figures above are words, separated by whitespace."


_WORDS: dict[type, type[ScorerWords[Any]]] = {
    **PLAIN_WORDS,
    PerplexityConfig: _PerplexityWords,
    ClassifierConfig: _ClassifierWords,
    OwnScorerConfig: _OwnWords,
}


def scorer_words(scorer: ScorerConfig) -> ScorerWords[Any]:
    """Return the card words of a scorer."""
    return _WORDS[type(scorer)](scorer)
