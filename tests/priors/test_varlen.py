"""Attention over all pieces at once: requirements of an implementation, and rejection of those that deviate."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from hf_toedit.priors import varlen
from hf_toedit.priors.varlen import Lengths, agrees, causal_mask, find_varlen, fits, reference

CPU = torch.device("cpu")


def test_an_implementation_is_taken_only_if_it_does_what_is_asked():
    assert agrees(reference, CPU, torch.float32)
    assert agrees(reference, CPU, torch.bfloat16)

    def at_the_first_key(query, key, value, lengths, scaling, sliding_window):
        """Aligned top left: queries that continue a window would not see its last keys."""
        key, value = key[: len(query)], value[: len(query)]
        return reference(query, key, value, replace(lengths, keys=lengths.queries), scaling, sliding_window)

    def without_window(query, key, value, lengths, scaling, sliding_window):
        return reference(query, key, value, lengths, scaling, None)

    def unscaled(query, key, value, lengths, scaling, sliding_window):
        return reference(query, key, value, lengths, None, sliding_window)

    assert not any(agrees(wrong, CPU, torch.float32) for wrong in (at_the_first_key, without_window, unscaled))


def test_there_is_none_on_a_cpu():
    assert find_varlen(CPU, torch.bfloat16) is None


def test_head_sizes():
    head = torch.empty(1, 2, 3, 128)
    assert fits(head, head)
    assert not fits(head, head[..., :64]) and not fits(head[..., :100], head[..., :100])
    assert not fits(torch.empty(1, 1, 1, 512), torch.empty(1, 1, 1, 512))


def test_masks():
    seen = causal_mask(2, 5, 3, torch.empty(0)) == 0
    assert seen.tolist() == [[False, True, True, True, False], [False, False, True, True, True]]
    assert (causal_mask(3, 3, None, torch.empty(0)) == 0).equal(torch.ones(3, 3, dtype=torch.bool).tril())


OPERATOR = (
    "aten::_flash_attention_forward(Tensor query, Tensor key, Tensor value, Tensor? cum_seq_q, Tensor? cum_seq_k, "
    "SymInt max_q, SymInt max_k, float dropout_p, bool is_causal, bool return_debug_mask, *, float? scale=None, "
    "SymInt? window_size_left=None, SymInt? window_size_right=None, Tensor? seqused_k=None, Tensor? alibi_slopes=None{}"
    ") -> (Tensor output, Tensor softmax_logsumexp, Tensor {}, Tensor unused, Tensor debug_attn_mask)"
)
"""PyTorch's operator: the part that is common to versions 2.6 and later."""

_LATER = ", Tensor? block_table=None, int? num_splits=None"


@pytest.mark.parametrize("sliding_window", [None, 20])
def test_the_operator_of_pytorch_is_called_as_every_version_has_it(sliding_window: int | None) -> None:
    asked = {}

    def operator(*args: Any, **options: Any) -> tuple[torch.Tensor]:
        asked["args"], asked["options"] = args, options
        return (args[0],)

    meta = torch.device("meta")
    query, key = (torch.empty(rows, heads, 64, dtype=torch.bfloat16, device=meta) for rows, heads in ((10, 4), (12, 2)))
    lengths = Lengths(*(torch.empty(3, dtype=torch.int32, device=meta) for _ in range(2)), 5, 6)
    answer = varlen._of_torch(query, key, key, lengths, 0.2, sliding_window)  # the installed operator accepts it
    assert answer.shape == query.shape and answer.dtype == query.dtype

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.ops.aten, "_flash_attention_forward", operator)
        varlen._of_torch(query, key, key, lengths, 0.2, sliding_window)
    for more, state in (("", "rng_state"), ("", "philox_seed, Tensor philox_offset"), (_LATER, "rng_state")):
        schema = torch._C.parse_schema(OPERATOR.format(more, state))
        positional = [argument for argument in schema.arguments if not argument.kwarg_only]
        assert len(asked["args"]) == len(positional)
        assert asked["options"].keys() <= {argument.name for argument in schema.arguments if argument.kwarg_only}


def test_a_gpu_without_it_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """The device is a CUDA one and nothing is executed, so this works without a GPU."""
    if torch.cuda.is_available():
        pytest.skip("has a GPU")
    assert find_varlen(torch.device("cuda"), torch.bfloat16) is None
    [record] = caplog.records
    assert record.levelname == "WARNING"
    for words in ("that of PyTorch does not run here", "flash-attn does not run here", "update torch or install"):
        assert words in record.getMessage()
    caplog.clear()
    assert find_varlen(torch.device("cuda"), torch.float32) is None and not caplog.records
