"""How much text a prior is given in one call: on a CPU so that a kill loses little, on a GPU so that passes fill up."""

from __future__ import annotations

from hf_toedit.editing.prior import BATCH_BYTES

_CALL_FLOPS = 1.5e12
"""Per thread of a CPU: about a quarter of a minute. With fewer, threads that divide documents would be idle."""

_BYTES_PER_TOKEN = 4


def batch_bytes_on_cpu(num_parameters: int, num_threads: int) -> int:
    """Bytes of text that take a large prior about as long as `BATCH_BYTES` take a small one.

    They depend on no measurement, so that a run that goes on has the same batches as before.

    Args:
        num_parameters: Of the prior; a token takes two operations for each.
        num_threads: Threads that share a call.
    """
    tokens = _CALL_FLOPS * num_threads / (2 * num_parameters)
    return min(BATCH_BYTES, int(tokens * _BYTES_PER_TOKEN))


def batch_bytes_on_gpu(token_budget: int) -> int:
    """Bytes of text that fill two forward passes of a GPU.

    A power of two of tokens, so that a run that goes on where a little more or less memory is free has mostly the same
    batches as before, and finds them in its journal.

    Args:
        token_budget: Tokens of a pass.
    """
    tokens = 2 ** (token_budget.bit_length() - 1)
    return max(BATCH_BYTES, 2 * tokens * _BYTES_PER_TOKEN)
