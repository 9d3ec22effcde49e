"""Attention over packs, compared with that of each document alone: pieces that continue, and their neighbours."""

from __future__ import annotations

import pytest
import torch

from hf_toedit.priors.attention import PackedAttention, UnsupportedAttention, packed_attention
from hf_toedit.priors.packing import Piece, Window
from hf_toedit.priors.varlen import Lengths, Varlen, reference

LONG, SHORT, OTHER = Window(0, 0, 90, 0), Window(1, 0, 30, 0), Window(2, 0, 40, 0)
PACKS = (
    (Piece(SHORT, 0, 30, True), Piece(LONG, 0, 30, False)),
    (Piece(LONG, 30, 60, False),),
    (Piece(LONG, 60, 90, True), Piece(OTHER, 0, 40, True)),
)


@pytest.mark.parametrize("scaling", [None, 0.3])
@pytest.mark.parametrize("sliding_window", [None, 1, 30, 40])
@pytest.mark.parametrize("varlen", [None, reference])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.inference_mode()
def test_pieces_attend_as_their_documents(
    dtype: torch.dtype, varlen: Varlen | None, sliding_window: int | None, scaling: float | None
) -> None:
    torch.manual_seed(0)
    shapes = ((4, 16), (2, 16), (2, 16))
    states = {window: [torch.randn(1, heads, window.stop, size).to(dtype) for heads, size in shapes]
              for window in (LONG, SHORT, OTHER)}  # fmt: skip
    expected = {
        window: reference(*(each[0].transpose(0, 1).float() for each in given),
                          Lengths.of([(window.stop, window.stop)], torch.device("cpu")), scaling, sliding_window)
        for window, given in states.items()
    }  # fmt: skip
    attention = PackedAttention(varlen)
    for pack in PACKS:
        given = [
            torch.cat([*(states[piece.window][index][:, :, piece.start : piece.stop] for piece in pack),
                       torch.full((1, *(shape[0], 5, shape[1])), 9.0, dtype=dtype)], dim=2)
            for index, shape in enumerate(shapes)
        ]  # fmt: skip
        with attention.running(list(pack)):
            # Neither the keys nor the window of another layer serve this one.
            attention.attend(1, *(-each for each in given), scaling, 3)
            answer = attention.attend(0, *given, scaling, sliding_window)
        start = 0
        for piece in pack:
            found = answer[0, start : start + len(piece)].float()
            wanted = expected[piece.window][piece.start : piece.stop]
            torch.testing.assert_close(found, wanted, atol=1e-5 if dtype == torch.float32 else 2e-2, rtol=1e-2)
            start += len(piece)
        assert answer.shape[1] == start + 5 and not answer[0, start:].any()
    assert not attention.kept_bytes


def test_calls_that_would_be_answered_wrongly_are_refused() -> None:
    layer, other_way = torch.nn.Module(), torch.nn.Module()
    other_way.is_causal = False  # type: ignore[assignment]
    given = [torch.randn(1, 2, 30, 8) for _ in range(3)]
    attention = PackedAttention()
    with attention.running([Piece(SHORT, 0, 30, True)]):
        for option in ("softcap", "s_aux", "position_bias", "head_mask"):
            with pytest.raises(UnsupportedAttention, match=option):
                packed_attention(layer, *given, None, **{option: 1.0})
        with pytest.raises(UnsupportedAttention):
            packed_attention(layer, *given, torch.zeros(1, 1, 30, 30))
        with pytest.raises(UnsupportedAttention):
            packed_attention(other_way, *given, None)
        packed_attention(layer, *given, None, softcap=None)
        with pytest.raises(UnsupportedAttention, match="twice"):
            packed_attention(layer, *given, None)
    with pytest.raises(UnsupportedAttention):  # not in a pack
        packed_attention(torch.nn.Module(), *given, None)
