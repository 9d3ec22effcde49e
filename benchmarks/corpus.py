"""Benchmark documents: real text, cut and joined so that the lengths in tokens are log-normal."""

from __future__ import annotations

import json
from itertools import cycle
from pathlib import Path
from statistics import NormalDist

import numpy as np
from tokenizers import Tokenizer

from hf_toedit import sample

MEDIAN_TOKENS = 300
SIGMA = 1.2
"""Standard deviation of the log length: the mean is 616 tokens, and 1.5 % of the documents are longer than 4,000."""

_MIXED = ("web_dolma_cc_en_head", "book_tiny_shakespeare", "code_humaneval", "math_gsm8k_train")
_STORIES = ("synthetic_tinystories_500",)
_JOIN = "\n\n"


def lengths(num_tokens: int) -> list[int]:
    """Return lengths in tokens that add up to about `num_tokens`.

    They are evenly spaced quantiles of the distribution, so that even a few documents represent its shape.
    """
    mean = MEDIAN_TOKENS * np.exp(SIGMA**2 / 2)
    count = max(round(num_tokens / mean), 1)
    quantiles = [NormalDist().inv_cdf((index + 0.5) / count) for index in range(count)]
    sizes = MEDIAN_TOKENS * np.exp(SIGMA * np.array(quantiles))
    sizes = np.maximum(sizes * num_tokens / sizes.sum(), 2) if count < 10 else np.maximum(sizes, 2)
    return np.random.default_rng(0).permutation(sizes.astype(int)).tolist()


def documents(tokenizer: Tokenizer, sizes: list[int], shared: Path, stories: bool = False) -> list[str]:
    """Return texts of the given numbers of tokens, up to changes at a cut; the same at every call.

    Args:
        tokenizer: Counts the tokens.
        sizes: Number of tokens of each document.
        shared: Folder that contains `data/`; without it, the bundled sample is used.
        stories: Use TinyStories instead of web, books, code and mathematics.
    """
    texts = _texts(shared / "data", _STORIES if stories else _MIXED)
    source = cycle(texts)
    needed = sum(sizes)
    ends: list[int] = []  # end of each token, as a character of the stream
    parts: list[str] = []
    offset = 0
    while len(ends) < needed:
        part = next(source) + _JOIN
        encoding = tokenizer.encode(part, add_special_tokens=False)
        ends += [offset + end for _, end in encoding.offsets]
        parts.append(part)
        offset += len(part)
    stream = "".join(parts)
    cuts = [0, *(ends[int(last) - 1] for last in np.cumsum(sizes))]
    return [stream[start:end] or "." for start, end in zip(cuts, cuts[1:], strict=False)]


def _texts(folder: Path, names: tuple[str, ...]) -> list[str]:
    """Return texts of several files, interleaved, or of the bundled sample."""
    files = [folder / f"{name}.jsonl" for name in names]
    if not all(file.is_file() for file in files):
        import pyarrow.parquet as pq  # `gpu.py` runs without it

        return [text for text in pq.read_table(sample.path()).column("text").to_pylist() if text]
    columns = [_column(file) for file in files]
    order = np.random.default_rng(0)
    columns = [[column[index] for index in order.permutation(len(column))] for column in columns]
    return [column[turn % len(column)] for turn in range(max(map(len, columns))) for column in columns]


def _column(file: Path) -> list[str]:
    with file.open(encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line in lines]
