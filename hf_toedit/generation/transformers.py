"""Generation by `generate` of transformers, for any causal language model.

On CPU, each prompt has its own call, in one thread, with its candidates as the batch: padding to the length of other
rows would change the last bits, and so might sums that are divided among another number of threads. So in float32 on
CPU, the candidates of a row depend only on its text. Several prompts run concurrently, one per core.

On GPU, prompts of similar length share a call, as many as fit into memory. The composition of a batch can affect the
last bits, and so, rarely, a candidate.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from transformers import GenerationConfig

from hf_toedit.config import PriorConfig, Resources
from hf_toedit.errors import OutOfMemory, PriorError
from hf_toedit.generation.config import GenerateConfig
from hf_toedit.generation.generator import Continuation, Generator, Prompt
from hf_toedit.generation.picking import Picking, uniforms
from hf_toedit.priors import loading
from hf_toedit.priors.body import Body
from hf_toedit.priors.head import Head
from hf_toedit.priors.memory import out_of_memory
from hf_toedit.priors.probing import Probe
from hf_toedit.priors.spread import in_threads

_MOST_THREADS = 8
"""Python's global interpreter lock would block more of them."""

_ROWS_PER_THREAD = 2
_ROWS_ON_GPU = 256

_LOGITS_COPIES = 6
"""Maximum number of float32 copies of a step's logits that sampling holds at once."""


class TransformersGenerator(Generator):
    """A generator that runs a causal language model of transformers; see `Generator`."""

    def __init__(self, prior: PriorConfig, config: GenerateConfig, resources: Resources) -> None:
        """Load a model by its settings.

        Raises:
            PriorError: The model cannot be found or loaded, or is not a causal language model.
        """
        self._device = loading.device_of(prior.device)
        found = loading.find(prior)
        super().__init__(prior, found, config)
        try:
            self._model: Any = loading.load_found(found, prior, self._device)
        except Exception as error:
            if not out_of_memory(error):
                raise
            raise PriorError(
                f"prior {prior.prior!r} does not fit into memory. Use a smaller prior, --dtype bfloat16, or a device "
                f"with more memory."
            ) from error
        self.dtype = str(self._model.dtype).removeprefix("torch.")
        # A model's recommended sampling settings would fill in those that the user left out.
        self._model.generation_config = GenerationConfig()
        self._threads = min(torch.get_num_threads(), _MOST_THREADS)
        self._on_cpu = self._device.type == "cpu"
        self.batch_rows = self._threads * _ROWS_PER_THREAD if self._on_cpu else _ROWS_ON_GPU
        self._memory_fraction = float(resources.memory_fraction)
        with torch.inference_mode(), self._here():
            if not self._on_cpu:
                torch.cuda.set_per_process_memory_fraction(self._memory_fraction, self._device)
            head = Head(self._model, self._device)
            num_tokens = min(head.vocab_size, self._tokenizer.get_vocab_size())
            Probe(self.name, Body(self._model, self._device), head, num_tokens)  # raises if not causal
        self._most_rows = _ROWS_ON_GPU

    def generate(self, prompts: Sequence[Prompt], num_new: int | None = None) -> list[list[Continuation]]:
        """See `Generator.generate`.

        Raises:
            OutOfMemory: Not even the candidates of one prompt fit into memory.
        """
        if not self._on_cpu:
            return self._batched(prompts, num_new)
        return in_threads(lambda prompt: self._together([prompt], num_new)[0], prompts, self._threads)

    def _batched(self, prompts: Sequence[Prompt], num_new: int | None) -> list[list[Continuation]]:
        found: dict[int, list[Continuation]] = {}
        left = sorted(range(len(prompts)), key=lambda index: len(prompts[index].ids))
        while left:
            # The longest come last: a call must fit as many rows as if all had the length of its last one.
            count = self._fitting([prompts[index] for index in left], num_new)
            batch = left[:count]
            try:
                made = self._together([prompts[index] for index in batch], num_new)
            except Exception as error:
                if not out_of_memory(error):
                    raise
                made = None
            if made is None:  # outside the handler, whose traceback holds tensors
                self._halve(len(batch))
                continue
            found |= zip(batch, made, strict=True)
            left = left[count:]
        return [found[index] for index in range(len(prompts))]

    def _halve(self, num_rows: int) -> None:
        torch.cuda.empty_cache()
        if num_rows == 1:
            raise OutOfMemory(
                f"prior {self.name!r}: out of memory with the {self.config.num_candidates} candidates of one row. Use "
                f"fewer --num-candidates or --max-new-tokens, a smaller prior, or --dtype bfloat16."
            )
        self._most_rows = max(num_rows // 2, 1)

    def _fitting(self, prompts: Sequence[Prompt], num_new: int | None) -> int:
        """Return how many prompts, the shortest first, fit into one call."""
        free = self._free_bytes()
        for count, prompt in enumerate(prompts[: self._most_rows], start=1):
            room = num_new or self.room(prompt)
            length = len(prompt.ids) + room
            if count > 1 and room < (num_new or self.config.max_new_tokens):
                return count - 1  # near the end of the context: alone, because others would exceed it
            if count * self.config.num_candidates * self._bytes_per_row(length) > free:
                return max(count - 1, 1)
        return min(len(prompts), self._most_rows)

    def _bytes_per_row(self, length: int) -> int:
        """Return the memory of a candidate: keys and values of all positions, and the logits of a step."""
        config = self._model.config.get_text_config()
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        kept = 2 * config.num_hidden_layers * heads * size * self._model.dtype.itemsize
        return int(2 * length * kept + _LOGITS_COPIES * 4 * config.vocab_size)  # a cache is copied when it grows

    def _free_bytes(self) -> float:
        free, total = torch.cuda.mem_get_info(self._device)
        held = torch.cuda.memory_reserved(self._device) - torch.cuda.memory_allocated(self._device)
        return (min(free + held, self._memory_fraction * total)) * 0.8

    def _here(self) -> Any:
        """Return a context that sets the current device, which is per thread."""
        return nullcontext() if self._on_cpu else torch.cuda.device(self._device)

    @torch.inference_mode()
    def _together(self, prompts: Sequence[Prompt], num_new: int | None) -> list[list[Continuation]]:
        """Generate the candidates of several prompts in one call, padded on the left."""
        config, is_beam = self.config, self.config.decoding == "beam"
        room = num_new or max(map(self.room, prompts))
        rows = [prompt for prompt in prompts for _ in range(1 if is_beam else config.num_candidates)]
        width = max(len(prompt.ids) for prompt in rows)
        pads = [width - len(prompt.ids) for prompt in rows]
        eos = sorted(self.eos) if num_new is None else []
        ids = torch.tensor([[0] * pad + prompt.ids for pad, prompt in zip(pads, rows, strict=True)])
        mask = torch.tensor([[0] * pad + [1] * (width - pad) for pad in pads])
        drawn = None
        if config.decoding == "sample":
            drawn = uniforms(config.seed, [prompt.key for prompt in prompts], config.num_candidates, room)
        picking = Picking(config, drawn)
        how = GenerationConfig(
            do_sample=False,
            max_new_tokens=room,
            num_beams=config.num_candidates if is_beam else 1,
            num_return_sequences=config.num_candidates if is_beam else 1,
            eos_token_id=eos or None,
            pad_token_id=eos[0] if eos else 0,
        )
        with self._here():
            made = self._model.generate(
                ids.to(self._device),
                attention_mask=mask.to(self._device),
                generation_config=how,
                logits_processor=None if is_beam else [picking],
            )
        generated = [self._ended(row) for row in made[:, width:].tolist()]
        each = config.num_candidates
        of_rows = [generated[index * each : (index + 1) * each] for index in range(len(prompts))]
        cut = [
            [ids[: num_new or self.room(prompt)] for ids in of_row]
            for prompt, of_row in zip(prompts, of_rows, strict=True)
        ]
        if is_beam:
            sums = [[self._logprob(prompt, ids) for ids in of_row] for prompt, of_row in zip(prompts, cut, strict=True)]
        else:
            logprobs = picking.logprobs()
            sums = [
                [float(logprobs[index * each + number, : len(ids)].sum()) for number, ids in enumerate(of_row)]
                for index, of_row in enumerate(cut)
            ]
        return [
            [Continuation(ids, total, self.stop(prompt, ids)) for ids, total in zip(of_row, totals, strict=True)]
            for prompt, of_row, totals in zip(prompts, cut, sums, strict=True)
        ]

    def _ended(self, ids: list[int]) -> list[int]:
        """Return token ids up to the first end-of-text token; the rest is padding."""
        stop = next((place for place, token in enumerate(ids) if token in self.eos), None)
        return ids if stop is None else ids[: stop + 1]

    def _logprob(self, prompt: Prompt, ids: list[int]) -> float:
        """Recompute the log-probability of a candidate, which beam search only returns with the scores of all steps."""
        whole = torch.tensor([prompt.ids + ids], device=self._device)
        with self._here():
            logits = self._model(whole).logits[0, len(prompt.ids) - 1 : -1].float()
        picked = torch.tensor(ids, device=self._device)[:, None]
        return float(logits.log_softmax(dim=-1).gather(1, picked).double().sum())
