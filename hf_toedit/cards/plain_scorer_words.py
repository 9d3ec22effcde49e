"""Card words for scorers that need no model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hf_toedit.cards.data import CardData
from hf_toedit.cards.escape import Markdown, code
from hf_toedit.cards.origin import given, place_name
from hf_toedit.cards.tables import short
from hf_toedit.cards.words_of import ScorerWords
from hf_toedit.scorers.column import ColumnConfig
from hf_toedit.scorers.density import DensityConfig
from hf_toedit.scorers.dsir import DsirConfig
from hf_toedit.scorers.function import FunctionConfig
from hf_toedit.scorers.length import LengthConfig
from hf_toedit.scorers.random import RandomConfig
from hf_toedit.scorers.verifier import ExactConfig, MathAnswerConfig, NumericConfig, RougeConfig, VerifierConfig


class _DsirWords(ScorerWords[DsirConfig]):
    @property
    def title(self) -> str:
        return "weighed by DSIR"

    def scores(self, data: CardData) -> Markdown:
        return Markdown(f"the log-weight of its text for a target, {code(place_name(self.scorer.target))}")

    def rows(self, data: CardData) -> Iterator[tuple[str, Markdown]]:
        yield "scorer", Markdown("DSIR, of hashed words and pairs of words (arXiv 2302.03169)")
        yield "target", Markdown(f"{code(place_name(self.scorer.target))} @ {code(self.scorer.target_revision)}")

    def what(self, name: str) -> str:
        return {"mean_log_weight": "mean log-weight of its n-grams"}.get(name, "log-weight")

    def meaning(self, name: str) -> str:
        ratio = "log-ratio of the probabilities of the row's text in the target and in the source"
        return f"{ratio}, by its number of words and pairs" if name == "mean_log_weight" else ratio

    def limits(self) -> Iterator[str]:
        yield "Weights compare words and pairs of words, not what a text means. They grow with the length of a text."
        yield "Kept rows share the biases of the target."


class _DensityWords(ScorerWords[DensityConfig]):
    @property
    def title(self) -> str:
        return "weighed by density"

    def scores(self, data: CardData) -> Markdown:
        return Markdown("how much its text is like others of the dataset")

    def rows(self, data: CardData) -> Iterator[tuple[str, Markdown]]:
        yield "scorer", Markdown("density, of words and pairs of words (arXiv 2402.09668)")

    def what(self, name: str) -> str:
        return "density" if name == "density" else "log of the inverse density"

    def meaning(self, name: str) -> str:
        mean = "mean similarity (Jaccard) of the row's text to a sample of the dataset's"
        return mean if name == "density" else f"negative logarithm of the {mean}"

    def limits(self) -> Iterator[str]:
        yield "Densities compare words and pairs of words, not what a text means."


class _LengthWords(ScorerWords[LengthConfig]):
    @property
    def title(self) -> str:
        return "with lengths"

    def scores(self, data: CardData) -> Markdown:
        return Markdown(f"the number of {self._unit} of its text")

    def rows(self, data: CardData) -> Iterator[tuple[str, Markdown]]:
        yield from given({"scorer": self.scorer.kind})
        if self.scorer.tokenizer is not None:
            name = code(place_name(self.scorer.tokenizer))
            yield "tokenizer", Markdown(f"{name} @ {code(self.scorer.revision)}")

    def what(self, name: str) -> str:
        return f"number of {self._unit}"

    def meaning(self, name: str) -> str:
        return f"{self._unit} of the row's text; null where there is none"

    def limits(self) -> Iterator[str]:
        yield "A number of tokens depends on the tokenizer, and does not measure the quality of a text."

    @property
    def _unit(self) -> str:
        return "words" if self.scorer.tokenizer is None else "tokens"


class _RandomWords(ScorerWords[RandomConfig]):
    @property
    def title(self) -> str:
        return "with random numbers"

    def scores(self, data: CardData) -> Markdown:
        return Markdown("a random number from 0 to 1")

    def rows(self, data: CardData) -> Iterator[tuple[str, Markdown]]:
        yield from given({"scorer": self.scorer.kind, "seed of the numbers": self.scorer.seed})

    def what(self, name: str) -> str:
        return "random number"

    def meaning(self, name: str) -> str:
        return "random number from 0 to 1, by the row's text and the seed; null where there is no text"

    def limits(self) -> Iterator[str]:
        yield "Rows of equal texts have equal numbers."


class _ColumnWords(ScorerWords[ColumnConfig]):
    @property
    def title(self) -> str:
        return f"scored by column {short(self.scorer.column)}"

    def scores(self, data: CardData) -> Markdown:
        return Markdown(f"the number in its column {code(self.scorer.column)}")

    def rows(self, data: CardData) -> Iterator[tuple[str, Markdown]]:
        yield from given({"scorer": self.scorer.kind, "column": self.scorer.column})

    def what(self, name: str) -> str:
        return short(self.scorer.column)

    def meaning(self, name: str) -> str:
        return "the number in the column; null where there is none"

    def limits(self) -> Iterator[str]:
        yield "The numbers were in the source. See its card for what they mean."


class _VerifierWords(ScorerWords[VerifierConfig]):
    tags = ("verifier",)

    @property
    def title(self) -> str:
        return f"verified by {self.scorer.kind}"

    def scores(self, data: CardData) -> Markdown:
        return Markdown(f"whether its text is right by the reference in {code(self.scorer.reference_column)}")

    def rows(self, data: CardData) -> Iterator[tuple[str, Markdown]]:
        yield from given({"scorer": self.scorer.kind, "reference": self.scorer.reference_column})
        if isinstance(self.scorer, NumericConfig):
            yield from given({"largest relative error that is right": self.scorer.tolerance})

    def what(self, name: str) -> str:
        return {"passed": "mark for being right (1 or 0)", "error": "relative error", "rouge1": "ROUGE-1 F1"}[name]

    def meaning(self, name: str) -> str:
        return {
            "passed": "1 where the text is right, 0 where it is wrong; null where there is no reference",
            "error": "relative L1 error of its numbers; null where their number differs, or there is no reference",
            "rouge1": "ROUGE-1 F1 of text and reference; null where there is no reference",
        }[name]

    def limits(self) -> Iterator[str]:
        yield "A verifier compares with a reference by a rule. It does not see how an answer came about."


class _FunctionWords(ScorerWords[FunctionConfig]):
    tags = ("verifier",)

    @property
    def title(self) -> str:
        return f"verified by {self.scorer.function}"

    def scores(self, data: CardData) -> Markdown:
        return Markdown(f"what a function, {code(self.scorer.function)}, returns for its text")

    def rows(self, data: CardData) -> Iterator[tuple[str, Markdown]]:
        yield "scorer", Markdown(f"{code(self.scorer.function)}, fingerprint {code(self.scorer.revision)}")

    def what(self, name: str) -> str:
        return "number from the function"

    def meaning(self, name: str) -> str:
        return "as the function returned it, true as 1; null where it returned none"

    def limits(self) -> Iterator[str]:
        yield "The function is Python code that is not part of this dataset. Ask its author what the values mean."


PLAIN_WORDS: dict[type, type[ScorerWords[Any]]] = {
    ColumnConfig: _ColumnWords,
    DensityConfig: _DensityWords,
    DsirConfig: _DsirWords,
    ExactConfig: _VerifierWords,
    FunctionConfig: _FunctionWords,
    LengthConfig: _LengthWords,
    MathAnswerConfig: _VerifierWords,
    NumericConfig: _VerifierWords,
    RougeConfig: _VerifierWords,
    RandomConfig: _RandomWords,
}
"""Card words by class of scorer settings."""
