"""Evaluation of the stored model on the documents held out of its training."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from tools.embedded_prior import corpus

Piece = tuple[str, list[int]]
Losses = dict[str, list[torch.Tensor]]


def limited(held: list[corpus.Document], most: int) -> list[corpus.Document]:
    """Keep as many whole documents of each source as fit into `most` bytes, but at least one."""
    used: dict[str, int] = {}
    kept = []
    for document in sorted(held, key=lambda d: corpus.fraction(d.key)):
        size = len(document.text.encode())
        if document.source not in used or used[document.source] + size <= most:
            used[document.source] = used.get(document.source, 0) + size
            kept.append(document)
    return kept


def windows(
    documents: list[corpus.Document], tokenizer: PreTrainedTokenizerBase, context: int
) -> Iterator[list[Piece]]:
    """Yield batches of windows of similar length; a document longer than the context is split."""
    pieces: list[Piece] = []
    for document in documents:
        ids = tokenizer(document.text, add_special_tokens=False, verbose=False)["input_ids"]
        size = context - 1
        pieces += [(document.source, ids[i : i + size]) for i in range(0, len(ids), size)]
    pieces.sort(key=lambda piece: len(piece[1]))
    for start in range(0, len(pieces), 16):
        yield pieces[start : start + 16]


@torch.inference_mode()
def token_losses(model: torch.nn.Module, pieces: list[Piece], bos: int) -> list[torch.Tensor]:
    """Return the loss of each token of each piece, in nats."""
    longest = max(len(ids) for _, ids in pieces)
    rows = torch.tensor([[bos, *ids] + [bos] * (longest - len(ids)) for _, ids in pieces])
    logits = model(input_ids=rows[:, :-1], use_cache=False).logits.float().flatten(0, 1)
    losses = cross_entropy(logits, rows[:, 1:].flatten(), reduction="none").view(len(pieces), -1)
    return [row[: len(ids)] for row, (_, ids) in zip(losses, pieces, strict=True)]


def summary(losses: list[torch.Tensor], documents: int, size: int) -> dict[str, float]:
    """Condense the losses of documents of `size` bytes."""
    loss = torch.cat(losses).double()
    return {
        "documents": documents,
        "bytes": size,
        "tokens": loss.numel(),
        "loss_nats_per_token": round(loss.mean().item(), 4),
        "bits_per_byte": round(loss.sum().item() / math.log(2) / size, 4),
        "share_p_at_least_0.99": round((loss <= -math.log(0.99)).double().mean().item(), 4),
        "share_p_at_least_0.9": round((loss <= -math.log(0.9)).double().mean().item(), 4),
    }


def table(losses: Losses, held: list[corpus.Document]) -> dict[str, dict]:
    """Summarise the losses of the prose sources together, of all sources together, and of each source."""
    prose = [s.name for s in corpus.SOURCES if s.group == corpus.PROSE and s.name in losses]
    rows = {"prose": prose, "all": list(losses)} | {s.name: [s.name] for s in corpus.SOURCES if s.name in losses}
    result = {}
    for title, names in rows.items():
        texts = [d.text for d in held if d.source in names]
        size = sum(len(text.encode()) for text in texts)
        result[title] = summary([row for name in names for row in losses[name]], len(texts), size)
    return result


def report(folder: Path, held: list[corpus.Document], most: int) -> dict[str, dict]:
    """Evaluate the model in a folder, in float32, as it is stored.

    Args:
        folder: Model folder.
        held: Held-out documents.
        most: Maximum number of bytes of text per source.

    Returns:
        The figures of the prose sources together, of all together, and of each.
    """
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    held = limited(held, most)
    losses: Losses = {}
    for pieces in windows(held, tokenizer, model.config.max_position_embeddings):
        for (source, _), row in zip(pieces, token_losses(model, pieces, tokenizer.bos_token_id), strict=True):
            losses.setdefault(source, []).append(row)
    return table(losses, held)


def corpus_table(documents: list[corpus.Document]) -> dict[str, dict]:
    """Count the training documents and bytes of each source."""
    result = {}
    for source in corpus.SOURCES:
        sizes = [len(d.text.encode()) for d in documents if d.source == source.name]
        counts = {"documents": len(sizes), "bytes": sum(sizes), "main": source.main, "tune": source.tune}
        result[source.name] = counts | {"licence": source.licence}
    return result
