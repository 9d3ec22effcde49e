"""The interface of generators: prompts in, continuations out, independent of the backend."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tokenizers import Tokenizer

from hf_toedit.config import PriorConfig
from hf_toedit.errors import PriorError
from hf_toedit.generation.config import GenerateConfig, Stop
from hf_toedit.priors import chat
from hf_toedit.priors.loading import FoundModel
from hf_toedit.priors.vocabulary import check_bos, obstacle

_BROKEN = "\ufffd"
"""The output of tokenizers for bytes that are not a complete character."""


@dataclass(frozen=True)
class Prompt:
    """The input of the model for one row.

    Attributes:
        ids: Token ids, with BOS if the model has one.
        key: Text that keys the samples of this row.
    """

    ids: list[int]
    key: str


class Continuation(NamedTuple):
    """One candidate.

    Attributes:
        ids: Token ids, including the one that ends the text.
        logprob: Sum of the tokens' log-probabilities under the model itself, at temperature 1, in nats.
        stop: Why it ends.
    """

    ids: list[int]
    logprob: float
    stop: Stop


class Generator(ABC):
    """A causal language model that generates text.

    Attributes:
        name: Name as the user gave it.
        dtype: Dtype of the model's weights.
        context: Maximum number of positions, prompt and candidate together.
        batch_rows: Preferred number of rows in a call of `generate` in a run.
    """

    dtype: str
    batch_rows: int

    def __init__(self, prior: PriorConfig, found: FoundModel, config: GenerateConfig) -> None:
        """Store the tokenizer and the settings; subclasses load the model.

        Args:
            prior: Settings of the model.
            found: The model before its weights are loaded.
            config: How to generate.

        Raises:
            PriorError: The model does not have the BOS token.
        """
        self.name = prior.prior
        self.context = found.context
        self.config = config
        self._chat = found.tokenizer
        self._tokenizer = Tokenizer.from_str(found.tokenizer.backend_tokenizer.to_str())
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        bos = found.tokenizer.bos_token_id
        self._bos = [] if bos is None else [int(bos)]
        self._vocab_size = found.config.get_text_config().vocab_size
        check_bos(self.name, self._bos, self._vocab_size)
        self.eos = eos_ids(found)

    @abstractmethod
    def generate(self, prompts: Sequence[Prompt], num_new: int | None = None) -> list[list[Continuation]]:
        """Generate the candidates of each prompt, which must be shorter than the context.

        Args:
            prompts: Prompts of any number of rows.
            num_new: Generate exactly this many tokens, for timing; None to generate as the settings specify.
        """

    @property
    def has_chat(self) -> bool:
        """Whether the tokenizer has a chat template."""
        return bool(self._chat.chat_template)

    def render(self, messages: list[dict[str, Any]]) -> str | None:
        """Render a conversation with the chat template, up to the start of an answer; None without a template.

        Raises:
            PriorError: The template refuses the conversation.
        """
        return chat.render(self._chat, self.name, messages, answers=True)

    def prompt(self, text: str, key: str) -> Prompt:
        """Return a whole text as a prompt.

        Raises:
            PriorError: The model does not have one of its tokens.
        """
        return self._prompt(self._tokenizer.encode(text, add_special_tokens=False).ids, key)

    def beginning(self, context: str, text: str, num_tokens: int) -> Prompt:
        """Return a context and the first tokens of a text as a prompt.

        Args:
            context: Read whole, before the text.
            text: The text; it keys the samples.
            num_tokens: Number of tokens of the text; a token that spans its beginning belongs to the context.

        Raises:
            PriorError: The model does not have one of their tokens.
        """
        encoded = self._tokenizer.encode(context + text, add_special_tokens=False)
        before = sum(1 for start, _ in encoded.offsets if start < len(context))
        return self._prompt(encoded.ids[: before + num_tokens], context + text)

    def room(self, prompt: Prompt) -> int:
        """Return the maximum number of tokens of a prompt's candidates."""
        return min(self.config.max_new_tokens, self.context - len(prompt.ids))

    def text(self, prompt: Prompt, continuation: Continuation) -> str:
        """Decode a candidate, without special tokens.

        Tokenizers drop the space before a text's first word, so a candidate is decoded together with its prompt. If the
        prompt ends in the middle of a character's bytes, the character belongs to the candidate.
        """
        before = self._decode(prompt.ids).rstrip(_BROKEN)
        whole = self._decode(prompt.ids + continuation.ids)
        return whole[len(before) :] if whole.startswith(before) else self._decode(continuation.ids)

    def stop(self, prompt: Prompt, ids: Sequence[int]) -> Stop:
        """Return why a candidate ends."""
        if ids and ids[-1] in self.eos:
            return "eos"
        return "limit" if len(ids) >= self.config.max_new_tokens else "context"

    def _prompt(self, ids: list[int], key: str) -> Prompt:
        if why := obstacle(self.name, ids, self._vocab_size):
            raise PriorError(f"{why} Name another model.")
        return Prompt(self._bos + ids, key)

    def _decode(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True))


def eos_ids(found: FoundModel) -> frozenset[int]:
    """Return the end-of-text tokens of `generation_config.json` or the model's configuration, and of the tokenizer."""
    from transformers import GenerationConfig

    try:
        said = GenerationConfig.from_pretrained(found.location, revision=found.commit).eos_token_id
    except OSError:
        said = getattr(found.config.get_text_config(), "eos_token_id", None)
    ids = [*(said if isinstance(said, list) else [said]), found.tokenizer.eos_token_id]
    return frozenset(int(token) for token in ids if token is not None)
