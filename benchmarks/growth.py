"""Time and memory per token as datasets, shards and documents grow."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from command import command, work_seconds
from corpus import documents, lengths
from priors import SHARED, random_llama

from hf_toedit import PriorConfig, ToEditor, load_prior
from hf_toedit.priors import embedded
from hf_toedit.priors.packing import windows
from hf_toedit.runs.store import RunFolder

BLOCK_TOKENS = 10_000
"""Datasets of any size are copies of a block of this many tokens, so that tokens cost the same in all of them."""

NARROW = {"hidden_size": 64, "num_attention_heads": 1, "num_key_value_heads": 1, "intermediate_size": 128}
LONG = {"hidden_size": 256, "num_attention_heads": 4, "num_key_value_heads": 4, "intermediate_size": 848}
LONG_CONTEXT = 65_536
ROW_GROUP = 1000
"""Rows per row group, as `datasets` writes texts."""


def embedded_tokenizer() -> Any:
    """Return the tokenizer of the embedded prior, which the priors created here use too."""
    return load_prior(PriorConfig("embedded")).tokenizer


def write_rows(path: Path, texts: list[str]) -> Path:
    """Write a Parquet file of texts."""
    pq.write_table(pa.table({"text": texts}), path, row_group_size=ROW_GROUP)
    return path


def blocks(folder: Path, num_tokens: int) -> tuple[Path, int]:
    """Write a Parquet file of about `num_tokens` tokens; return it with its number of rows."""
    block = documents(embedded_tokenizer(), lengths(BLOCK_TOKENS), SHARED)
    texts = block * max(num_tokens // BLOCK_TOKENS, 1)
    return write_rows(folder / f"{num_tokens}.parquet", texts), len(texts)


def measured_run(folder: Path, source: Path, num_tokens: int, num_shards: int) -> dict[str, float]:
    """Return microseconds per token: wall-clock and CPU time of `run` minus start-up (a one-row run), and its work."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        one, run = Path(scratch, "one"), Path(scratch, "run")
        command("plan", source, "-o", one, "--limit", "1", "--quiet")
        command("plan", source, "-o", run, "--num-shards", num_shards, "--quiet")
        if len(RunFolder(run).plan().shards) != num_shards:
            raise SystemExit(f"{source} has too few rows for {num_shards} shards")
        startup, whole = command("run", one, "--quiet"), command("run", run, "--quiet")
        work, work_on_one = work_seconds(run), work_seconds(one)
    seconds = {
        "run_us": whole.seconds - startup.seconds + work_on_one,
        "cpu_us": whole.cpu_seconds - startup.cpu_seconds + work_on_one,
        "work_us": work,
    }
    return {name: 1e6 * value / num_tokens for name, value in seconds.items()}


def measure_growth(folder: Path, points: list[tuple[int, int]], rounds: int) -> list[dict[str, Any]]:
    """Measure the cost per token by (tokens of the source, shards), interleaved; by round."""
    sources = {num_tokens: blocks(folder, num_tokens) for num_tokens, _ in points}
    table: list[dict[str, Any]] = [
        {"num_tokens": num_tokens, "num_shards": num_shards, "num_rows": sources[num_tokens][1]}
        | {"run_us": [], "cpu_us": [], "work_us": []}
        for num_tokens, num_shards in points
    ]
    for number in range(rounds):
        for row in table if number % 2 == 0 else table[::-1]:
            measured = measured_run(folder, sources[row["num_tokens"]][0], row["num_tokens"], row["num_shards"])
            for name, value in measured.items():
                row[name].append(value)
    return table


def measure_lengths(folder: Path, sizes: list[int], num_tokens: int, rounds: int) -> dict[str, list[dict[str, Any]]]:
    """Measure the cost per token by the length of its document, with the operations that it requires.

    Measured for the embedded prior, which reads windows of its context, and for one that reads all documents whole.
    """
    tokenizer = embedded.path() / "tokenizer.json"
    long = random_llama(folder / "long", tokenizer, LONG | {"num_hidden_layers": 2, "vocab_size": 1024}, LONG_CONTEXT)
    return {
        name: measure_lengths_of(load_prior(PriorConfig(prior)), sizes, num_tokens, rounds)
        for name, prior in (("embedded", "embedded"), ("Llama of a long context", str(long)))
    }


def measure_lengths_of(prior: Any, sizes: list[int], num_tokens: int, rounds: int) -> list[dict[str, Any]]:
    """Measure one prior; about `num_tokens` of each length are read, on one thread, in CPU time."""
    editor = ToEditor(prior)
    texts = {size: documents(prior.tokenizer, [size] * max(num_tokens // size, 1), SHARED) for size in sizes}
    editor.edit(texts[sizes[0]][:10])
    table: list[dict[str, Any]] = [{"length": size, **reading(prior, size), "us": []} for size in sizes]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for number in range(rounds):
        for row in table if number % 2 == 0 else table[::-1]:
            began = time.process_time()
            count = editor.edit(texts[row["length"]]).stats.num_tokens
            row["us"].append(1e6 * (time.process_time() - began) / count)
    torch.set_num_threads(threads)
    return table


def reading(prior: Any, length: int) -> dict[str, float]:
    """Return the requirements per token of a document of that length: positions read, and MFLOP of attention.

    A query of `d` numbers is multiplied with the key and the value of each position up to its own, at 2 d operations
    each,
    in every head and layer. Windows after the first repeat some positions as context.
    """
    config = prior._body.model.config.get_text_config()
    width = config.num_attention_heads * config.head_dim
    num_bos = len(prior._bos)
    own = np.ones(length, dtype=bool)
    sizes = [window.stop - window.start + num_bos - 1 for window in windows(0, own, prior.context, num_bos)]
    num_pairs = sum(size * (size + 1) / 2 for size in sizes)
    mflop = 4 * width * config.num_hidden_layers * num_pairs / 1e6
    return {"positions": sum(sizes) / length, "attention_mflop": mflop / length}


def measure_document_memory(folder: Path, sizes: list[int]) -> dict[str, float]:
    """Measure the peak memory of a worker by the length of the only document, in tokens."""
    table = {}
    for size in sizes:
        source = write_rows(folder / "document.parquet", documents(embedded_tokenizer(), [size], SHARED))
        table[str(size)] = _worker_mb(folder, source, "embedded")
    return table


def measure_vocabulary_memory(folder: Path, vocabularies: list[int], counts: list[int]) -> list[dict[str, float]]:
    """Measure the peak memory of a worker by the size of the vocabulary and the number of rows read at once."""
    texts = documents(embedded_tokenizer(), [100] * max(counts), SHARED)
    table = []
    for vocab_size in vocabularies:
        shape = NARROW | {"num_hidden_layers": 2, "vocab_size": vocab_size}
        prior = random_llama(folder / f"vocabulary-{vocab_size}", embedded.path() / "tokenizer.json", shape)
        weights_mb = sum(file.stat().st_size for file in prior.glob("*.safetensors")) / 1e6
        for count in counts:
            source = write_rows(folder / "rows.parquet", texts[:count])
            worker_mb = _worker_mb(folder, source, str(prior))
            table.append(
                {"vocab_size": vocab_size, "num_rows": count, "weights_mb": weights_mb, "worker_mb": worker_mb}
            )
    return table


def _worker_mb(folder: Path, source: Path, prior: str) -> float:
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        return command("edit", source, "-o", Path(scratch, "run"), "--prior", prior, "--quiet").worker_mb
