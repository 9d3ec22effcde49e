"""Attention over all pieces at once: what is asked of an implementation, and that none is taken that does otherwise."""

from __future__ import annotations

from dataclasses import replace

import torch

from hf_toedit.priors.varlen import agrees, causal_mask, find_varlen, fits, reference

CPU = torch.device("cpu")


def test_an_implementation_is_taken_only_if_it_does_what_is_asked():
    assert agrees(reference, CPU, torch.float32)
    assert agrees(reference, CPU, torch.bfloat16)

    def at_the_first_key(query, key, value, lengths, scaling, sliding_window):
        """Aligned top left: queries that go on in a window would not see its last keys."""
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
