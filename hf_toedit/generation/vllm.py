"""Generation by vLLM, which batches prompts itself. Imports vLLM only when a model is loaded.

Each prompt has its own seed, derived from the run's seed and its text. The prompts that share a step still affect the
last bits of its probabilities; so unlike with transformers on CPU, a candidate may depend on neighbouring rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hf_toedit.config import PriorConfig, Resources
from hf_toedit.errors import PriorError, in_one_line
from hf_toedit.generation.config import GenerateConfig
from hf_toedit.generation.generator import Continuation, Generator, Prompt
from hf_toedit.priors import loading
from hf_toedit.priors.vllm import cache_bytes, import_vllm, vllm_device_type

_BATCH_ROWS = 256
_SEQUENCES_ON_CPU = 32
"""Number of sequences whose keys and values a CPU keeps in memory."""

_SEED_BITS = 32


class VLLMGenerator(Generator):
    """A generator that runs a causal language model with vLLM; see `Generator`."""

    batch_rows = _BATCH_ROWS

    def __init__(self, prior: PriorConfig, config: GenerateConfig, resources: Resources) -> None:
        """Load a model by its settings.

        Raises:
            PriorError: The model cannot be found or loaded, or vLLM is not installed.
        """
        import_vllm()
        from vllm import LLM

        device_type = vllm_device_type(prior.device)
        found = loading.find(prior)
        super().__init__(prior, found, config)
        self.dtype = loading.dtype_on(prior.dtype, device_type)
        cached = _SEQUENCES_ON_CPU * found.context
        budget = {} if resources.token_budget is None else {"max_num_batched_tokens": resources.token_budget}
        try:
            self._llm = LLM(
                found.location,
                revision=found.commit,
                tokenizer_revision=found.commit,
                code_revision=found.commit,
                runner="generate",
                generation_config="vllm",
                load_format="safetensors",
                use_tqdm_on_load=False,
                trust_remote_code=prior.trust_remote_code,
                dtype=self.dtype,
                hf_overrides={"head_dtype": "float32"},
                max_model_len=found.context,
                max_logprobs=max(2 * config.num_candidates, 20),
                logprobs_mode="raw_logprobs",
                gpu_memory_utilization=resources.memory_fraction,
                kv_cache_memory_bytes=cache_bytes(found.config, self.dtype, cached) if device_type == "cpu" else None,
                tensor_parallel_size=resources.tensor_parallel,
                enforce_eager=device_type == "cpu",
                disable_log_stats=True,
                **budget,
            )
        except Exception as error:
            raise PriorError(
                f"vLLM cannot load prior {self.name!r}: {in_one_line(error)} Try --backend transformers, or where "
                f"memory is short another --memory-fraction, --token-budget or --tensor-parallel."
            ) from error

    def generate(self, prompts: Sequence[Prompt], num_new: int | None = None) -> list[list[Continuation]]:
        """See `Generator.generate`."""
        given: Any = [{"prompt_token_ids": prompt.ids} for prompt in prompts]
        if self.config.decoding == "beam":
            return self._searched(prompts, given, num_new)
        params = [self._params(prompt, num_new) for prompt in prompts]
        found = self._llm.generate(given, params, use_tqdm=False)
        return [
            [self._continuation(prompt, made.token_ids, made.cumulative_logprob) for made in output.outputs]
            for prompt, output in zip(prompts, found, strict=True)
        ]

    def _params(self, prompt: Prompt, num_new: int | None) -> Any:
        from vllm import SamplingParams

        config = self.config
        return SamplingParams(
            n=config.num_candidates,
            temperature=config.temperature or 0.0,
            top_k=config.top_k or 0,
            top_p=config.top_p or 1.0,
            seed=keyed_seed(config.seed, prompt.key),
            max_tokens=num_new or self.room(prompt),
            ignore_eos=num_new is not None,
            stop_token_ids=sorted(self.eos) if num_new is None else None,
            logprobs=0,
            detokenize=False,
        )

    def _searched(self, prompts: Sequence[Prompt], given: Any, num_new: int | None) -> list[list[Continuation]]:
        """Generate with beam search, which has one limit for all of its prompts and supports one end-of-text token."""
        from vllm.sampling_params import BeamSearchParams

        found = []
        for prompt, one in zip(prompts, given, strict=True):
            params = BeamSearchParams(
                beam_width=self.config.num_candidates,
                max_tokens=num_new or self.room(prompt),
                ignore_eos=num_new is not None,
            )
            [output] = self._llm.beam_search([one], params)
            found.append(
                [
                    self._continuation(prompt, beam.tokens[len(prompt.ids) :], beam.cum_logprob)
                    for beam in output.sequences
                ]
            )
        return found

    def _continuation(self, prompt: Prompt, ids: Sequence[int], logprob: float | None) -> Continuation:
        own = list(ids)
        return Continuation(own, float(logprob or 0.0), self.stop(prompt, own))


def keyed_seed(seed: int, key: str) -> int:
    """Return the seed of a prompt.

    Args:
        seed: The run's random seed.
        key: Text that keys the row.
    """
    from hf_toedit.editing.sampling import KeyedUniforms

    return int(KeyedUniforms(seed, 0, key).stream(0, 1)[0] * 2**_SEED_BITS)
