"""Amount of text per call of a prior: on a CPU little to lose if killed, on a GPU enough to fill passes."""

from __future__ import annotations

from hf_toedit.editing.prior import BATCH_BYTES

_CALL_FLOPS = 1.5e12
"""FLOPs per CPU thread: about a quarter of a minute. With fewer, threads that share documents would idle."""

_BYTES_PER_TOKEN = 4


def batch_bytes_on_cpu(num_parameters: int, num_threads: int) -> int:
    """Return the bytes of text that take a large prior about as long as `BATCH_BYTES` take a small one.

    They do not depend on any measurement, so that a continued run has the same batches as before.

    Args:
        num_parameters: Parameters of the prior; a token takes two operations for each.
        num_threads: Number of threads that share a call.
    """
    tokens = _CALL_FLOPS * num_threads / (2 * num_parameters)
    return min(BATCH_BYTES, int(tokens * _BYTES_PER_TOKEN))


def batch_bytes_on_gpu(token_budget: int) -> int:
    """Return the bytes of text that fill two forward passes of a GPU.

    The number of tokens is a power of two. So a run that continues with slightly more or less free memory mostly has
    the same batches as before, and finds them in its journal.

    Args:
        token_budget: Tokens per pass.
    """
    tokens = 2 ** (token_budget.bit_length() - 1)
    return max(BATCH_BYTES, 2 * tokens * _BYTES_PER_TOKEN)
