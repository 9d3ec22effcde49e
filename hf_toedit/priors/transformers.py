"""Priors from `transformers`: any causal language model.

Documents are scored in packs without padding. If an architecture cannot be packed, they are read one window at a time
on a CPU, which is faster there than padding and keeps neighbours out of the last bits, and in padded batches on a GPU,
which would be idle with a single window.

The head runs in chunks of rows, so that the logits of a whole pack never exist at once. The head, the logsumexp and the
comparison with the threshold are in float32 whatever the dtype of the body.

In float32 on a CPU, the results of a document do not depend on its neighbours, to the last bit. Two effects would cause
such a dependence: a matrix product of few rows takes a different path than one of many, and elementwise functions treat
the last few elements of each thread's share differently. Padding packs (`Body.packed`) prevents both.

On a GPU, several threads that score at once keep it busy: while one waits for results, or processes them, passes of the
others run. `memory` describes the limits on the memory that they use.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any, NoReturn

import numpy as np
import torch

from hf_toedit.config import EditConfig, PriorConfig, Resources
from hf_toedit.editing.alignment import Document
from hf_toedit.editing.prior import BATCH_BYTES, DocumentScores
from hf_toedit.editing.selection import SelectionRule
from hf_toedit.errors import OutOfMemory, PriorError, UsageError
from hf_toedit.priors import chat, loading
from hf_toedit.priors.answer import Answer
from hf_toedit.priors.attention import PackedAttention
from hf_toedit.priors.batch_size import batch_bytes_on_cpu, batch_bytes_on_gpu
from hf_toedit.priors.body import Body
from hf_toedit.priors.head import Head
from hf_toedit.priors.memory import ENOUGH, find_passes, out_of_memory
from hf_toedit.priors.packing import PIECE_TOKENS, Piece, Window, batches, packs, pieces, windows
from hf_toedit.priors.probing import Probe
from hf_toedit.priors.pruning import Pruning, in_sample
from hf_toedit.priors.spread import in_shares, shares
from hf_toedit.priors.varlen import Varlen, find_varlen
from hf_toedit.priors.vocabulary import check_bos, check_tokens

logger = logging.getLogger(__name__)

_CONCURRENCY = {"cuda": 3}
_BUDGET = {"cpu": 2048}
_DEFAULT_BUDGET = 16_384
_IN_EACH_PROCESS = "Use ToEditProcessor in Dataset.map: it loads a prior in each process."


class TransformersPrior:
    """A causal language model of `transformers` as a `Prior`.

    Attributes:
        name: Name as requested.
        revision: Commit sha, or a fingerprint of the local files.
        dtype: Data type of the body's weights.
        tokenizer: Backend of the fast tokenizer.
        context: Number of positions that the model reads at once.
        concurrency: Useful number of threads that call `score` at once; any number is allowed.
        batch_bytes: UTF-8 bytes of text per call of `score` in a run.
        packed: Whether documents share forward passes without padding.
        padded: Whether documents share padded passes if they cannot be packed.
    """

    def __init__(
        self,
        loaded: loading.LoadedModel,
        name: str = "local",
        resources: Resources | None = None,
        varlen: Varlen | None = None,
        prune: bool = False,
    ) -> None:
        """Store a loaded model and check, on a few tokens, that it is causal and scored as it scores itself.

        Args:
            loaded: Model from `loading.load`.
            name: Name for messages, plans and cards.
            resources: Machine resources that it may use.
            varlen: Function that attends over all pieces of a pack at once; None uses what this machine supports.
            prune: See `PriorConfig`.

        Raises:
            PriorError: The model looks at later tokens, or transforms its logits in an unknown way.
        """
        self.name = name
        self._home = os.getpid()
        self.revision = loaded.revision
        self.dtype = str(loaded.model.dtype).removeprefix("torch.")
        self._chat = loaded.tokenizer
        self.tokenizer = loaded.tokenizer.backend_tokenizer
        self.context = loaded.context
        self.device = loaded.device
        bos = loaded.tokenizer.bos_token_id
        self._bos = [] if bos is None else [bos]
        self._body = Body(loaded.model, loaded.device)
        self._head = Head(loaded.model, loaded.device)
        check_bos(name, self._bos, self._head.vocab_size)
        self._pruning = Pruning.of(self._head, name) if prune else None
        self._halving = threading.Lock()
        resources = resources or Resources()
        with self._on_device():
            if loaded.device.type == "cuda":
                torch.cuda.set_per_process_memory_fraction(float(resources.memory_fraction), loaded.device)
            self._probe(varlen or find_varlen(loaded.device, loaded.model.dtype))
            self.concurrency, self._token_budget = self._passes(resources)
        self.batch_bytes = BATCH_BYTES
        if loaded.device.type == "cpu":
            self.batch_bytes = batch_bytes_on_cpu(loaded.model.num_parameters(), torch.get_num_threads())
        elif self.packed or self.padded:
            self.batch_bytes = batch_bytes_on_gpu(self._token_budget)

    def __reduce__(self) -> NoReturn:
        raise UsageError(f"a loaded prior cannot be pickled. {_IN_EACH_PROCESS}")

    @classmethod
    def from_config(cls, config: PriorConfig, resources: Resources) -> TransformersPrior:
        """Load a prior by its settings; see `hf_toedit.priors.registry.load_prior`."""
        try:
            return cls(loading.load(config), config.prior, resources, prune=config.prune)
        except Exception as error:
            if not out_of_memory(error):
                raise
            raise PriorError(
                f"prior {config.prior!r} does not fit into memory: {' '.join(str(error).split())[:300]} "
                f"Use a smaller prior, --dtype bfloat16, or a device with more memory."
            ) from error

    def render(self, messages: list[dict[str, Any]]) -> str | None:
        """Render a conversation with the tokenizer's chat template; see `Prior.render`."""
        return chat.render(self._chat, self.name, messages)

    def score(self, documents: Sequence[Document], rule: SelectionRule) -> list[DocumentScores]:
        """Read each document once, whole; see `Prior.score`.

        If memory runs out, forward passes are halved from then on, and the documents are read again.

        Raises:
            OutOfMemory: Memory runs out even with passes of a single piece.
            ValueError: A token is not in the model's vocabulary.
            UsageError: The process is a fork of the one that loaded the prior, and torch uses a GPU or several threads.
        """
        if os.getpid() != self._home and (self.device.type != "cpu" or torch.get_num_threads() > 1):
            # Its threads did not come along, and torch would wait for them forever.
            raise UsageError(f"a prior cannot be used in a fork of the process that loaded it. {_IN_EACH_PROCESS}")
        check_tokens(self.name, documents, self._head.vocab_size)
        while True:
            token_budget = self._token_budget
            try:
                with self._on_device():
                    return self._score(documents, rule)
            except Exception as error:
                if not out_of_memory(error):
                    raise
            # Only after the handler does the traceback release the tensors of the failed pass.
            self._halve(token_budget)

    def _halve(self, token_budget: int) -> None:
        """Halve passes of `token_budget` tokens, unless another thread has done so."""
        with self._halving:
            if self._token_budget < token_budget:
                return
            halved = max(token_budget // 2, PIECE_TOKENS)
            shared = self.packed or self.padded
            if not shared or halved >= token_budget:
                raise OutOfMemory(
                    f"prior {self.name!r}: out of memory even at {token_budget if shared else self.context} "
                    f"tokens per forward pass. Use a smaller prior, --dtype bfloat16, or a device with more memory."
                )
            self._token_budget = halved
            logger.warning("prior %r: out of memory; forward passes are halved to %d tokens.", self.name, halved)
            if self.device.type == "cuda":
                torch.cuda.empty_cache()

    def _score(self, documents: Sequence[Document], rule: SelectionRule) -> list[DocumentScores]:
        prunes = self._pruning is not None and rule.log_at_least is not None
        answers = [Answer(document, in_sample(document) if prunes else None) for document in documents]

        @torch.inference_mode()
        def read(share: list[Window]) -> None:
            attention = PackedAttention(self._varlen)
            for pack in self._packs(share):
                self._read(self._forward(pack, documents, attention), pack, answers, rule)

        in_shares(read, self._shares(documents))
        return [answer.finish() for answer in answers]

    def _shares(self, documents: Sequence[Document]) -> list[list[Window]]:
        """Return the windows of documents, distributed among threads if that helps."""
        num_bos = len(self._bos)
        cut = [
            window
            for index, document in enumerate(documents)
            for window in windows(index, document.own, self.context, num_bos)
        ]
        # Without padding, the last bits of passes depend on the number of threads, which must stay the same.
        if not self.packed or self.device.type != "cpu":
            return [cut]
        return shares(cut, torch.get_num_threads(), self._body.hidden_size)

    def _packs(self, share: Sequence[Window]) -> Iterator[list[Piece]]:
        num_bos = len(self._bos)
        if self.packed:
            return packs((piece for window in share for piece in pieces(window, num_bos)), self._token_budget)
        whole = (Piece(window, 0, window.stop - window.start + num_bos - 1, True) for window in share)
        return batches(whole, self._token_budget) if self.padded else ([piece] for piece in whole)

    def _forward(
        self, pack: Sequence[Piece], documents: Sequence[Document], attention: PackedAttention
    ) -> torch.Tensor:
        """Compute hidden states of a pack, in the order of its pieces; `[T, hidden]`."""
        ids = [self._input(piece, documents[piece.window.document]) for piece in pack]
        return self._body.packed(ids, pack, attention) if self.packed else self._body.padded(ids)

    def _input(self, piece: Piece, document: Document) -> np.ndarray:
        """Return token ids at the piece's input positions; BOS, if there is one, is position 0 of a window."""
        shift = piece.window.start - len(self._bos)
        bos = np.array(self._bos[piece.start :], dtype=np.int64)
        return np.concatenate([bos, document.ids[shift + piece.start + len(bos) : shift + piece.stop]])

    def _read(self, hidden: torch.Tensor, pack: list[Piece], answers: list[Answer], rule: SelectionRule) -> None:
        """Score the tokens that a pack predicts, and pass the scores to their documents."""
        read = [(answer, tokens, rows) for answer, tokens, rows in self._scored(pack, answers) if len(tokens)]
        if not read:
            return
        rows = np.concatenate([rows for _, _, rows in read])
        ids = np.concatenate([answer.document.ids[tokens] for answer, tokens, _ in read]).astype(np.int64)
        eligible = np.concatenate([answer.document.eligible[tokens] for answer, tokens, _ in read])
        sampled = [answer.sampled[tokens] for answer, tokens, _ in read if answer.sampled is not None]
        if self._pruning is None or not sampled:
            scores = self._head.score(hidden, rows, ids, eligible, rule)
        else:
            sample = np.concatenate(sampled)
            scores = self._pruning.score(hidden, rows, ids, eligible, sample, rule)
        offset = 0
        for answer, tokens, _ in read:
            answer.take(tokens, scores, offset)
            offset += len(tokens)

    def _scored(self, pack: list[Piece], answers: list[Answer]) -> Iterator[tuple[Answer, np.ndarray, np.ndarray]]:
        """Yield (document, tokens to score, rows of the hidden states that predict them) of each piece."""
        row = 0
        for piece in pack:
            window, answer = piece.window, answers[piece.window.document]
            # The token that the piece's first row predicts.
            predicted = window.start - len(self._bos) + 1 + piece.start
            first = max(predicted, window.score_from)
            tokens = first + np.flatnonzero(answer.document.own[first : predicted + len(piece)])
            yield answer, tokens, tokens - predicted + row
            row += len(piece)

    def _probe(self, varlen: Varlen | None) -> None:
        """Compare this prior's logits, packed and causal, with the model's own; fall back or refuse."""
        num_tokens = min(self._head.vocab_size, self.tokenizer.get_vocab_size())
        with torch.inference_mode():
            probe = Probe(self.name, self._body, self._head, num_tokens)
            self._varlen = varlen
            self.packed = probe.packs_well(self.context, varlen)
            if not self.packed and varlen is not None:
                self._varlen = None
                self.packed = probe.packs_well(self.context, None)
            if not self.packed:
                probe.check_head()
        self.padded = not self.packed and self.device.type != "cpu" and not self._body.follows_longest
        if not self.packed:
            how = "in padded batches" if self.padded else "one at a time"
            logger.warning("prior %r cannot be packed: documents are read %s, which is slower.", self.name, how)

    def _passes(self, resources: Resources) -> tuple[int, int]:
        """Return how many forward passes may run at once, and how many tokens each has."""
        concurrency = _CONCURRENCY.get(self.device.type, 1)
        if resources.token_budget or self.device.type != "cuda" or not (self.packed or self.padded):
            return concurrency, resources.token_budget or _BUDGET.get(self.device.type, _DEFAULT_BUDGET)
        while True:
            found = find_passes(self._blank_pass, self.device, resources.memory_fraction, concurrency, self.context)
            if found[1] >= ENOUGH or not self._head.shrink():
                return found

    @torch.inference_mode()
    def _blank_pass(self, num_tokens: int, goes_on: bool, mark: Callable[[], None] = lambda: None) -> int:
        """Run a pass that uses as much memory as any with so many tokens; see `memory.Pass`."""
        length = min(self.context, PIECE_TOKENS)
        pack = [Piece(Window(index, 0, length, 0), 0, length, not goes_on) for index in range(num_tokens // length)]
        ids = [np.zeros(length, dtype=np.int64) for _ in pack]
        attention = PackedAttention(self._varlen)
        hidden = self._body.packed(ids, pack, attention) if self.packed else self._body.padded(ids)
        mark()
        rows = np.arange(len(pack) * length)
        # The most expensive request: a nucleus at every token.
        rule = SelectionRule(EditConfig(threshold=0.0, sampler="top-p"))
        self._head.score(hidden, rows, np.zeros_like(rows), np.ones(len(rows), dtype=bool), rule)
        mark()
        return attention.kept_bytes

    def _on_device(self) -> Any:
        """Set the current device, which is specific to each thread; pinned memory and device-less tensors use it."""
        return torch.cuda.device(self.device) if self.device.type == "cuda" else nullcontext()
