"""The texts of items: human, held-out, and synthetic ones that a prior generates."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hf_toedit.papers.item import Scale, Work
from hf_toedit.storage.files import whole_file

TINY: Mapping[str, Any] = {
    "human": "sample",
    "held_out_rows": 20,
    "prior": "embedded",
    "synthetic": None,
    "prompt_tokens": 32,
    "max_new_tokens": 640,
}
"""The bundled sample: its last rows are held out, and the prior continues the beginnings of the others."""

PAPER: Mapping[str, Any] = {
    "human": "allenai/dolma",
    "held_out_rows": 0,
    "held_out": "allenai/paloma",
    "prior": "meta-llama/Meta-Llama-3-8B",
    "synthetic": "HuggingFaceTB/cosmopedia",
}
"""Dolma and Cosmopedia, with Paloma for evaluation; the prior reads both."""

DIFFERS = (
    "The paper has Dolma as human and Cosmopedia as synthetic text. Here the human text is the bundled sample, 70 "
    "original documents of 122,000 characters, and the synthetic text are continuations of the first 32 tokens of 50 "
    "of them by the embedded prior, a toy."
)


def settings_of(scale: Scale, **more: Any) -> dict[str, Any]:
    """Return the settings of a scale, with those of an item."""
    return {**(TINY if scale == "tiny" else PAPER), **more}


@dataclass(frozen=True)
class Data:
    """Sources, as `edit` and `compare` take them.

    Attributes:
        human: Human text.
        held_out: Human text for evaluation, never trained on.
        synthetic: Text that a model wrote.
    """

    human: str
    held_out: str
    synthetic: str


def texts_of(settings: Mapping[str, Any], work: Work) -> Data:
    """Find the texts, and generate the synthetic ones if none are named.

    Args:
        settings: Settings of the item, see `settings_of`.
        work: Environment of the item; generated texts are stored in its folder.
    """
    human, held_out = settings["human"], settings.get("held_out", "")
    if human == "sample":
        human, held_out = _split(work.folder, settings["held_out_rows"])
    return Data(human, held_out, settings["synthetic"] or _continued(human, settings, work))


def write_texts(path: Path, texts: Sequence[str]) -> str:
    """Write a dataset of texts, one per row, and return its path.

    Args:
        path: Path of the Parquet file.
        texts: The rows.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with whole_file(path) as temporary:
        pq.write_table(pa.table({"text": texts}), temporary)
    return str(path)


def write_conversations(source: str, path: Path, request_words: int) -> str:
    """Write each text as a conversation, in `messages`: its first words are the request, the others the answer.

    Args:
        source: Parquet file of texts.
        path: Path of the Parquet file.
        request_words: Number of words of a request; shorter texts are left out.

    Returns:
        The path.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    begun = re.compile(rf"\s*(?:\S+\s+){{{request_words}}}")
    rows = []
    for text in pq.read_table(source)["text"].to_pylist():
        if request := begun.match(text):
            parts = {"user": request[0].strip(), "assistant": text[request.end() :]}
            rows.append([{"role": role, "content": content} for role, content in parts.items()])
    with whole_file(path) as temporary:
        pq.write_table(pa.table({"messages": rows}), temporary)
    return str(path)


def of_the_same_size(variants: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Truncate each variant to the number of words of the smallest, because many figures depend on that number.

    Args:
        variants: Parquet files of texts, by name.
        folder: Folder for the truncated files.
    """
    import pyarrow.parquet as pq

    from hf_toedit.features.ngrams import words

    texts = {name: pq.read_table(path)["text"].to_pylist() for name, path in variants.items()}
    ends = {name: np.cumsum([len(words(text)) for text in found]) for name, found in texts.items()}
    fewest = min(found[-1] for found in ends.values())
    counts = {name: int(np.searchsorted(found, fewest)) + 1 for name, found in ends.items()}
    return {name: write_texts(folder / f"{name}-same-size.parquet", texts[name][: counts[name]]) for name in variants}


def _split(folder: Path, held_out_rows: int) -> tuple[str, str]:
    import pyarrow.parquet as pq

    from hf_toedit import sample

    texts = pq.read_table(sample.path(), columns=["text"])["text"].to_pylist()
    cut = len(texts) - held_out_rows
    parts = {"human": texts[:cut], "held-out": texts[cut:]}
    human, held_out = (write_texts(folder / f"{name}.parquet", rows) for name, rows in parts.items())
    return human, held_out


def _continued(human: str, settings: Mapping[str, Any], work: Work) -> str:
    """Generate texts with the prior from the beginnings of the human ones; a prompt is not part of its text."""
    from hf_toedit.api.generated import generate

    run = generate(
        human,
        work.folder / "generated",
        prior=settings["prior"],
        num_candidates=settings.get("num_candidates", 1),
        prompt_tokens=settings["prompt_tokens"],
        max_new_tokens=settings["max_new_tokens"],
        **work.of_runs,
    )
    texts = [text for rows in run.dataset().values() for found in rows["candidates"] for text in found]
    return write_texts(work.folder / "synthetic.parquet", [text for text in texts if text.strip()])
