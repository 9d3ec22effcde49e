"""Priors from `transformers`: any causal language model.

Documents are scored in packs without padding or, where an architecture cannot be packed, one window at a time.

The head runs in chunks of rows, so that no logits of a whole pack exist; it, the logsumexp and the comparison with the
threshold are in float32 whatever the dtype of the body.

In float32 on a CPU, results of one document do not depend on its neighbours, to the last bit. Two things would make
them: a matrix product of few rows takes another path than one of many, and elementwise functions treat the last few
elements of each thread's share unlike the others. Padding packs (`_padded_length`) rules out both.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from hf_toedit.config import PriorConfig, Resources
from hf_toedit.editing.alignment import Document
from hf_toedit.editing.selection import SelectionRule
from hf_toedit.errors import OutOfMemory, PriorError
from hf_toedit.priors import chat, loading
from hf_toedit.priors.answer import Answer
from hf_toedit.priors.attention import IMPLEMENTATION, PackedAttention
from hf_toedit.priors.base import DocumentScores
from hf_toedit.priors.head import Head
from hf_toedit.priors.packing import PIECE_TOKENS, Piece, Window, packs, pieces, windows

logger = logging.getLogger(__name__)

_ROWS = 32
"""Rows of a matrix product, and vector elements of an elementwise function, are dealt with by multiples of this."""

_SHARE = 32_768
"""Elements below which torch gives an elementwise function to fewer threads than there are."""

_BUDGET = {"cpu": 2048, "cuda": 16_384}
_PROBE_TOKENS = 24

_EXPERT_KEYS = ("num_experts", "num_local_experts", "n_routed_experts")


class TransformersPrior:
    """A causal language model of `transformers` as a `Prior`.

    Attributes:
        name: as asked for.
        revision: commit sha, or a fingerprint of the local files.
        dtype: of the body's weights.
        tokenizer: backend of the fast tokenizer.
        context: positions that the model reads at once.
        packed: whether documents share forward passes.
    """

    def __init__(self, loaded: loading.LoadedModel, name: str = "local", resources: Resources | None = None) -> None:
        """Take over a loaded model and check, on a few tokens, that it is causal and is scored as it scores itself.

        Args:
            loaded: from `loading.load`.
            name: for messages, plans and cards.
            resources: what it may use of this machine.

        Raises:
            PriorError: the model looks at later tokens, or transforms its logits in a way not known here.
        """
        self.name = name
        self.revision = loaded.revision
        self.dtype = str(loaded.model.dtype).removeprefix("torch.")
        self._chat = loaded.tokenizer
        self.tokenizer = loaded.tokenizer.backend_tokenizer
        self.context = loaded.context
        self.device = loaded.device
        self._token_budget = (resources or Resources()).token_budget or _BUDGET.get(loaded.device.type, _BUDGET["cuda"])
        bos = loaded.tokenizer.bos_token_id
        self._bos = [] if bos is None else [bos]
        self._model = loaded.model
        body = loaded.model.base_model
        # Where the language model of a multimodal family stands alone, `base_model` is the model with its head.
        self._body = getattr(body, "model", body) if body is loaded.model else body
        self._head = Head(loaded.model, loaded.device)
        self.packed = True
        self._check()

    @classmethod
    def from_config(cls, config: PriorConfig, resources: Resources) -> TransformersPrior:
        """Load a prior by its settings; see `hf_toedit.priors.base.load_prior`."""
        return cls(loading.load(config), config.prior, resources)

    def render(self, messages: list[dict[str, Any]]) -> str | None:
        """Write a conversation by the tokenizer's chat template; see `Prior.render`."""
        return chat.render(self._chat, self.name, messages)

    def score(self, documents: Sequence[Document], rule: SelectionRule) -> list[DocumentScores]:
        """Read each document once, whole; see `Prior.score`.

        Where memory runs out, forward passes are halved, from then on, and the documents read again.

        Raises:
            OutOfMemory: even with passes of a single piece.
        """
        while True:
            try:
                return self._score(documents, rule)
            except Exception as error:
                if not _out_of_memory(error):
                    raise
            # Only here, past the handler, has the traceback let go of the tensors of the pass that failed.
            self._halve_token_budget()

    def _halve_token_budget(self) -> None:
        halved = max(self._token_budget // 2, PIECE_TOKENS)
        if not self.packed or halved >= self._token_budget:
            raise OutOfMemory(
                f"prior {self.name!r}: out of memory even at {self._token_budget if self.packed else self.context} "
                f"tokens a forward pass. Use a smaller prior, --dtype bfloat16, or a device with more memory."
            )
        self._token_budget = halved
        logger.warning("prior %r: out of memory; forward passes are halved to %d tokens.", self.name, halved)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    @torch.inference_mode()
    def _score(self, documents: Sequence[Document], rule: SelectionRule) -> list[DocumentScores]:
        answers = [Answer(document) for document in documents]
        attention = PackedAttention()
        for pack in self._packs(documents):
            hidden = self._forward(pack, documents, attention)
            self._read(hidden, pack, answers, rule)
        return [answer.finish() for answer in answers]

    def _packs(self, documents: Sequence[Document]) -> Iterator[list[Piece]]:
        num_bos = len(self._bos)
        cut = (
            window
            for index, document in enumerate(documents)
            for window in windows(index, document.own, self.context, num_bos)
        )
        if self.packed:
            return packs((piece for window in cut for piece in pieces(window, num_bos)), self._token_budget)
        return ([Piece(window, 0, window.stop - window.start + num_bos - 1, True)] for window in cut)

    def _forward(self, pack: list[Piece], documents: Sequence[Document], attention: PackedAttention) -> torch.Tensor:
        """Hidden states of a pack, in the order of its pieces; `[T, hidden]`, T padded where packed."""
        ids = [self._input(piece, documents[piece.window.document]) for piece in pack]
        positions = [np.arange(piece.start, piece.stop) for piece in pack]
        if not self.packed:
            return self._body(input_ids=self._tensor(ids), use_cache=False).last_hidden_state[0]
        length = sum(len(piece) for piece in pack)
        padding = np.zeros(self._padded_length(length) - length, dtype=np.int64)
        with attention.running(pack):
            return self._body(
                input_ids=self._tensor([*ids, padding]),
                position_ids=self._tensor([*positions, padding]),
                use_cache=False,
            ).last_hidden_state[0]

    def _padded_length(self, length: int) -> int:
        """Length with which every thread's share of any activation is whole vectors; as it is on a GPU."""
        if self.device.type != "cpu":
            return length
        threads = torch.get_num_threads()
        least = max(length, -(-_SHARE * threads // self._model.config.get_text_config().hidden_size))
        return least + -least % (_ROWS * threads)

    def _input(self, piece: Piece, document: Document) -> np.ndarray:
        """Token ids at the piece's input positions: BOS, where there is one, is position 0 of a window."""
        shift = piece.window.start - len(self._bos)
        bos = np.array(self._bos[piece.start :], dtype=np.int64)
        return np.concatenate([bos, document.ids[shift + piece.start + len(bos) : shift + piece.stop]])

    def _read(self, hidden: torch.Tensor, pack: list[Piece], answers: list[Answer], rule: SelectionRule) -> None:
        """Score the tokens that a pack predicts, and hand them to their documents."""
        read = [(answer, tokens, rows) for answer, tokens, rows in self._scored(pack, answers) if len(tokens)]
        if not read:
            return
        rows = np.concatenate([rows for _, _, rows in read])
        ids = np.concatenate([answer.document.ids[tokens] for answer, tokens, _ in read])
        eligible = np.concatenate([answer.document.eligible[tokens] for answer, tokens, _ in read])
        scores = self._head.score(hidden, rows, ids.astype(np.int64), eligible, rule, multiple=_ROWS)
        offset = 0
        for answer, tokens, _ in read:
            answer.take(tokens, scores, offset)
            offset += len(tokens)

    def _scored(self, pack: list[Piece], answers: list[Answer]) -> Iterator[tuple[Answer, np.ndarray, np.ndarray]]:
        """(document, tokens to score, rows of the hidden states that predict them) of each piece."""
        row = 0
        for piece in pack:
            window, answer = piece.window, answers[piece.window.document]
            # The token that the piece's first row predicts.
            predicted = window.start - len(self._bos) + 1 + piece.start
            first = max(predicted, window.score_from)
            tokens = first + np.flatnonzero(answer.document.own[first : predicted + len(piece)])
            yield answer, tokens, tokens - predicted + row
            row += len(piece)

    def _tensor(self, parts: list[np.ndarray]) -> torch.Tensor:
        return torch.from_numpy(np.concatenate(parts))[None].to(self.device)

    @torch.inference_mode()
    def _check(self) -> None:
        """Compare this prior's logits, packed and causal, with what the model itself answers; fall back or refuse."""
        ids = np.arange(_PROBE_TOKENS) * 7919 % (min(self._head.vocab_size, self.tokenizer.get_vocab_size()) - 1)
        reference = self._own_logits(ids)
        half = _PROBE_TOKENS // 2
        scale = 1 + reference.abs().max()
        tolerance = scale * (1e-4 if self._model.dtype == torch.float32 else 3e-2)
        # Of the same length, so that a causal model computes the first half in the very same way.
        changed = self._own_logits(np.concatenate([ids[:half], ids[half:] + 1]))
        if (changed - reference)[:half].abs().max() > 1e-6 * scale:
            raise PriorError(
                f"prior {self.name!r} is not a causal language model: its answer for a token depends on later "
                f"tokens. Name a decoder-only model."
            )
        self.packed = self._packs_well(ids, reference, tolerance)
        if not self.packed:
            logger.warning("prior %r cannot be packed: documents are read one at a time, which is slower.", self.name)
            self._check_head(ids, reference, tolerance)

    def _check_head(self, ids: np.ndarray, reference: torch.Tensor, tolerance: torch.Tensor) -> None:
        try:
            hidden = self._body(input_ids=self._tensor([ids]), use_cache=False).last_hidden_state[0]
            same = bool((self._head.logits(hidden) - reference).abs().max() <= tolerance)
        except (AttributeError, RuntimeError, TypeError) as error:
            logger.info("the parts of prior %r do not fit together: %s", self.name, error)
            same = False
        if not same:
            raise PriorError(
                f"prior {self.name!r} changes its logits after the output layer in a way this version does not know. "
                f"Please report its architecture ({self._model.config.model_type})."
            )

    def _own_logits(self, ids: np.ndarray) -> torch.Tensor:
        return self._model(input_ids=self._tensor([ids]), use_cache=False).logits[0].float()

    def _packs_well(self, ids: np.ndarray, reference: torch.Tensor, tolerance: torch.Tensor) -> bool:
        """Switch to packed attention; if two documents in one pack come out otherwise than alone, switch back."""
        if _sees_pack(self._model):
            return False
        own = self._model.config._attn_implementation
        half = len(ids) // 2
        first, second = ids[:half], ids[half:]
        window = Window(0, 0, len(ids) + 1, 0)
        other = Window(1, 0, half + 1, 0)
        pack = [Piece(window, 0, half, False), Piece(other, 0, half, True), Piece(window, half, len(ids), True)]
        # The other document reads unlike the first half, or a model that continues on it would pass.
        expected = torch.cat([reference[:half], self._own_logits(second), reference[half:]])
        positions = np.concatenate([np.arange(half), np.arange(half), np.arange(half, len(ids))])
        attention = PackedAttention()
        try:
            self._model.set_attn_implementation(IMPLEMENTATION)
            with attention.running(pack):
                hidden = self._body(
                    input_ids=self._tensor([first, second, second]),
                    position_ids=self._tensor([positions]),
                    use_cache=False,
                ).last_hidden_state[0]
            if attention.covers(self.context) and (self._head.logits(hidden) - expected).abs().max() <= tolerance:
                return True
        except Exception as error:
            logger.info("packed attention failed on prior %r: %s", self.name, error)
        self._model.set_attn_implementation(own)
        return False


def _sees_pack(model: Any) -> bool:
    """Whether the rest of a pack shows in a document's scores, by what a short probe does not find.

    Rotary frequencies may follow the longest sequence of a forward pass (Phi-3's longrope). Experts multiply as many
    rows as are routed to them, so on a CPU the last bits of float32 would depend on the neighbours.
    """
    kinds = [getattr(module, "rope_type", None) for module in model.modules()]
    if any("longrope" in (kind.values() if isinstance(kind, dict) else [kind]) for kind in kinds):
        return True
    config = model.config.get_text_config()
    return model.device.type == "cpu" and any(getattr(config, key, None) for key in _EXPERT_KEYS)


def _out_of_memory(error: Exception) -> bool:
    """Whether an error means that more memory was asked for than there is; the CPU's allocator has no type for it."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
    )
