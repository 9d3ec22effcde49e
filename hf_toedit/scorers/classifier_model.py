"""Sequence classifiers of `transformers`, over texts of any length.

On CPU, each window is scored by itself and on one core: padding, the number of rows of a matrix product and the number
of threads would affect the last bits, and a row's logits must not depend on other rows or on workers. On GPU, windows
are scored in padded batches, sorted by length.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from hf_toedit.checked import checked
from hf_toedit.config import Dtype, Resources
from hf_toedit.editing.alignment import CONTEXT, ELIGIBLE, Document
from hf_toedit.errors import OutOfMemory, PriorError, UsageError
from hf_toedit.priors import chat
from hf_toedit.priors.batch_size import batch_bytes_on_cpu
from hf_toedit.priors.body import has_longrope
from hf_toedit.priors.linear import use_onednn
from hf_toedit.priors.loading import (
    DEFAULT_CONTEXT,
    Kind,
    check_fast,
    context_of,
    device_of,
    dtype_on,
    loaded,
    locate_model,
)
from hf_toedit.priors.memory import out_of_memory
from hf_toedit.priors.spread import in_threads
from hf_toedit.scorers.scorer import Score
from hf_toedit.scorers.whole_rows import Tokenized, WholeRowScorer, num_own

logger = logging.getLogger(__name__)

CLASSIFIER = Kind(
    "classifier",
    "a folder or a Hub id (org/name)",
    "AutoModelForSequenceClassification",
    "It is not a sequence classifier; name a model that is one.",
    "a complete sequence classifier",
)

_BUDGET = 16_384
"""Number of tokens of a batch on a GPU, including padding."""

_NO_LIMIT = 10**9
"""Tokenizers without a limit have a `model_max_length` larger than this."""


@dataclass(frozen=True)
class FoundClassifier:
    """A classifier before its weights are loaded.

    Attributes:
        name: Name as the user gave it.
        location: Folder, or Hub id.
        revision: Commit or fingerprint of the model.
        commit: Commit to load from the Hub; None for a folder.
        config: Its configuration, of `transformers`.
        labels: Names of its logits, in order.
    """

    name: str
    location: str
    revision: str
    commit: str | None
    trust_remote_code: bool
    config: Any
    labels: tuple[str, ...]

    @property
    def options(self) -> dict[str, Any]:
        """Arguments for the loaders of `transformers`."""
        return {"revision": self.commit, "trust_remote_code": self.trust_remote_code}


def find(name: str, commit: str | None, trust_remote_code: bool) -> FoundClassifier:
    """Load the configuration of a classifier; for the arguments see `ClassifierConfig`.

    Raises:
        PriorError: The classifier cannot be found, or two of its labels have the same name.
    """
    location, revision = locate_model(CLASSIFIER, name, Path(os.path.expanduser(name)), commit, trust_remote_code)
    commit = None if Path(location).is_dir() else revision
    options = {"revision": commit, "trust_remote_code": trust_remote_code}
    found = loaded(CLASSIFIER, name, "configuration", AutoConfig.from_pretrained, location, **options)
    labels = tuple(str(found.id2label[index]) for index in sorted(found.id2label))
    if len(set(labels)) < len(labels):
        raise PriorError(f"two labels of classifier {name!r} have one name: {', '.join(labels)}. Fix its config.json.")
    return FoundClassifier(name, location, revision, commit, trust_remote_code, found, labels)


class ClassifierScorer(WholeRowScorer):
    """A sequence classifier; see `Scorer` and `ClassifierConfig`.

    Attributes:
        dtype: Dtype of the weights.
        context: Maximum number of tokens of a window, including special tokens.
    """

    what = "classifier"

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        found: FoundClassifier,
        labels: Sequence[str],
        truncate: bool = False,
        resources: Resources | None = None,
        batched: bool | None = None,
    ) -> None:
        """Wrap a loaded model.

        Args:
            model: A model of `transformers`, in evaluation mode.
            tokenizer: Its fast tokenizer, of `transformers`.
            found: The classifier that was loaded.
            labels: The labels to keep, in this order.
            truncate: Score only the first window of a text.
            resources: Resources of this machine that it may use.
            batched: Whether windows share forward passes; None decides by device.
        """
        resources = resources or Resources()
        self.name = found.name
        self.fields = dict.fromkeys(labels, "float32")
        self.dtype: Dtype = checked(str(model.dtype).removeprefix("torch."), Dtype, "dtype")
        self.device = model.device
        self.context = _context(model, tokenizer)
        self._model, self._chat = model, tokenizer
        self._columns = [found.labels.index(label) for label in labels]
        self._truncate = truncate
        self._tokenizer = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self.context, direction=tokenizer.truncation_side)
        self._has_types = "token_type_ids" in tokenizer.model_input_names
        # A causal model uses it to find the last token; without it, `transformers` can process only one text at a time.
        self._padding = model.config.get_text_config().pad_token_id
        on_gpu = self.device.type != "cpu"
        self._batched = self._padding is not None and (on_gpu if batched is None else batched)
        self._turn: Any = threading.Lock() if has_longrope(model) else nullcontext()
        self._token_budget = resources.token_budget or _BUDGET
        if not on_gpu:
            self.batch_bytes = batch_bytes_on_cpu(model.num_parameters(), torch.get_num_threads())
        elif self.device.type == "cuda":
            torch.cuda.set_per_process_memory_fraction(float(resources.memory_fraction), self.device)

    @classmethod
    def load(
        cls,
        found: FoundClassifier,
        labels: Sequence[str],
        truncate: bool,
        dtype: Dtype,
        device: str,
        resources: Resources,
    ) -> ClassifierScorer:
        """Load a classifier; for the arguments see `ClassifierConfig`.

        Raises:
            PriorError: The classifier cannot be loaded, or its weights are not those of a classifier.
            UsageError: The classifier cannot use these resources.
        """
        if resources.tensor_parallel > 1:
            raise UsageError("--tensor-parallel is for the vLLM backend. Leave it out.")
        where = device_of(device)
        name, location = found.name, found.location
        tokenizer = loaded(CLASSIFIER, name, "tokenizer", AutoTokenizer.from_pretrained, location, **found.options)
        check_fast(CLASSIFIER, name, tokenizer)
        load = AutoModelForSequenceClassification.from_pretrained
        options = {"config": found.config, "dtype": dtype_on(dtype, where.type), "use_safetensors": True}
        model, loading = loaded(
            CLASSIFIER, name, "model", load, location, output_loading_info=True, **options, **found.options
        )
        if missing := sorted(loading["missing_keys"]):
            # `transformers` would initialize them randomly.
            raise PriorError(
                f"the weights of classifier {name!r} lack {missing[0]}, so it was not trained as a classifier. "
                f"{CLASSIFIER.advice}"
            )
        try:
            model = model.eval().to(where)
            use_onednn(model)
            return cls(model, tokenizer, found, labels, truncate, resources)
        except Exception as error:
            if not out_of_memory(error):
                raise
            raise PriorError(
                f"classifier {name!r} does not fit into memory. Use --dtype bfloat16, or a device with more memory."
            ) from error

    def _render(self, messages: list[dict[str, Any]]) -> str | None:
        return chat.render(self._chat, self.name, messages, self.what)

    def _tokenize(self, texts: Sequence[str]) -> list[Tokenized]:
        read = []
        for text, encoding in zip(texts, self._tokenizer.encode_batch(list(texts)), strict=True):
            windows = [encoding, *([] if self._truncate else encoding.overflowing)]
            read.append(
                Tokenized(
                    text,
                    [_window(text, window) for window in windows],
                    [np.array(window.type_ids, np.int64) for window in windows],
                )
            )
        return read

    def _answers(self, read: Sequence[Tokenized], reasons: list[str]) -> list[dict[str, Score] | None]:
        windows = [window for entry in read for window in entry.windows]
        types = [kind for entry in read for kind in entry.type_ids] or [np.zeros(len(each), int) for each in windows]
        logits = self._logits([window.ids.astype(np.int64) for window in windows], types)
        answers: list[dict[str, Score] | None] = []
        at = 0
        for entry in read:
            own = _mean(logits[at : at + len(entry.windows)], [num_own(window) for window in entry.windows])
            at += len(entry.windows)
            values = {
                label: float(own[column]) if np.isfinite(own[column]) else None
                for label, column in zip(self.fields, self._columns, strict=True)
            }
            is_read = any(value is not None for value in values.values())
            answers.append(values if is_read else None)
            if not is_read:
                reasons.append("its scores are not finite numbers.")
        return answers

    def _logits(self, ids: Sequence[np.ndarray], types: Sequence[np.ndarray]) -> np.ndarray:
        """Return the logits of windows; float32 `[n, labels]`. When out of memory, permanently halve the batches.

        Raises:
            OutOfMemory: Even a single window does not fit.
        """
        while True:
            batches = list(self._batches(ids))
            try:
                if self.device.type == "cpu":
                    answers = in_threads(
                        lambda batch: self._forward(batch, ids, types), batches, torch.get_num_threads()
                    )
                else:
                    answers = [self._forward(batch, ids, types) for batch in batches]
                return np.concatenate(answers)[np.argsort(np.concatenate(batches))]
            except Exception as error:
                if not out_of_memory(error):
                    raise
            # Outside the handler, because the traceback holds the tensors of the failed pass until here.
            self._halve(max(map(len, ids)))

    def _halve(self, longest: int) -> None:
        if not self._batched or self._token_budget <= longest:
            raise OutOfMemory(
                f"classifier {self.name!r}: out of memory even at one window of {longest} tokens. Use a smaller "
                f"model, --dtype bfloat16, or a device with more memory."
            )
        self._token_budget = max(self._token_budget // 2, longest)
        logger.warning("classifier %r: out of memory; batches are cut to %d tokens.", self.name, self._token_budget)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _batches(self, ids: Sequence[np.ndarray]) -> Iterator[list[int]]:
        """Yield batches of window indices, similar lengths together; one window each without batching."""
        batch: list[int] = []
        for index in sorted(range(len(ids)), key=lambda index: -len(ids[index])):
            if batch and (not self._batched or (len(batch) + 1) * len(ids[batch[0]]) > self._token_budget):
                yield batch
                batch = []
            batch.append(index)
        if batch:
            yield batch

    @torch.inference_mode()
    def _forward(self, batch: Sequence[int], ids: Sequence[np.ndarray], types: Sequence[np.ndarray]) -> np.ndarray:
        """Run one forward pass; float32 `[windows, labels]`."""
        longest = max(len(ids[index]) for index in batch)
        inputs = {
            "input_ids": [_padded(ids[index], longest, self._padding or 0) for index in batch],
            "attention_mask": [_padded(np.ones(len(ids[index]), np.int64), longest, 0) for index in batch],
        }
        if self._has_types:
            inputs["token_type_ids"] = [_padded(types[index], longest, 0) for index in batch]
        given = {name: torch.from_numpy(np.stack(rows)).to(self.device) for name, rows in inputs.items()}
        with self._turn:
            return self._model(**given).logits.float().cpu().numpy()


def _window(text: str, encoding: Any) -> Document:
    """Return a window as a document whose special tokens are context."""
    offsets = np.array(encoding.offsets, np.int32).reshape(-1, 2)
    special = np.array(encoding.special_tokens_mask, bool)
    causes = np.where(special, CONTEXT, ELIGIBLE).astype(np.uint8)
    return Document(text, np.array(encoding.ids, np.int32), offsets[:, 0], offsets[:, 1], causes)


def _mean(logits: np.ndarray, weights: list[int]) -> np.ndarray:
    """Return the mean of the logits of windows, weighted by their tokens; those of a single window unchanged."""
    if len(logits) == 1:
        return logits[0]
    return np.average(logits.astype(np.float64), axis=0, weights=weights).astype(np.float32)


def _padded(values: np.ndarray, length: int, padding: int) -> np.ndarray:
    return np.pad(values, (0, length - len(values)), constant_values=padding)


def _context(model: Any, tokenizer: Any) -> int:
    """Return the maximum number of tokens that a classifier's tokenizer, configuration and positions allow."""
    limits = [context_of(model.config), tokenizer.model_max_length]
    for name, module in model.named_modules():
        padding = getattr(module, "padding_idx", None)
        if name.endswith("position_embeddings") and padding is not None:
            limits.append(module.num_embeddings - padding - 1)  # RoBERTa's positions start there
    return int(min((limit for limit in limits if limit and limit < _NO_LIMIT), default=DEFAULT_CONTEXT))
