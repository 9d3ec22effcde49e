"""Scoring speed relative to the limits of a GPU, with a Llama-3-8B-shaped prior of random weights.

Every round runs every column once, in rotated order, on the same documents. There are no texts: only the prior is
measured. See benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from corpus import MEDIAN_TOKENS, SIGMA
from sequences import padded
from transformers import AttentionInterface, AutoModelForCausalLM, AutoTokenizer, LlamaConfig

from hf_toedit import EditConfig
from hf_toedit.config import Resources
from hf_toedit.editing.alignment import ELIGIBLE, Document
from hf_toedit.editing.selection import SelectionRule
from hf_toedit.priors import embedded
from hf_toedit.priors.allocator import use_expandable_segments
from hf_toedit.priors.answer import Answer
from hf_toedit.priors.attention import IMPLEMENTATION, PackedAttention
from hf_toedit.priors.loading import LoadedModel
from hf_toedit.priors.transformers import TransformersPrior

SELECTED = 0.12
BYTES_PER_TOKEN = 4
"""Bytes of text per token, which converts the size of a call in production to tokens."""

PLAIN_POSITIONS = 16_384
"""Positions of a padded batch of the plain column.

With 128,256 logits each in bfloat16, in float32 and in its softmax, they take 21 GB.
"""


@dataclass(frozen=True)
class Size:
    """A model shape and the amount that it reads."""

    num_tokens: int
    matmul: int
    model: dict[str, int]


def llama(vocabulary: int, hidden: int, inner: int, layers: int, heads: int, kv_heads: int, context: int) -> dict:
    return {
        "vocab_size": vocabulary,
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "max_position_embeddings": context,
    }


SIZES = {
    "8b": Size(500_000, 8192, llama(128_256, 4096, 14_336, 32, 32, 8, 8192)),
    "small": Size(500_000, 8192, llama(128_256, 2048, 8192, 16, 32, 8, 8192)),
    "tiny": Size(4_000, 256, llama(1024, 64, 128, 2, 4, 2, 1024)),
}


def prepared(name: str) -> torch.device:
    """Return a device, after setting up its memory as workers do."""
    use_expandable_segments()
    device = torch.empty(0, device=name).device
    if device.type == "cuda":
        torch.cuda.set_device(device)  # for events, and for what `stages` calls without `score`
    return device


def make_prior(shape: dict[str, int], device: torch.device, resources: Resources) -> TransformersPrior:
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    torch.manual_seed(0)
    with device:
        model = AutoModelForCausalLM.from_config(LlamaConfig(**shape), dtype=dtype).eval()
    # Token ids are generated here: the tokenizer only provides BOS.
    tokenizer = AutoTokenizer.from_pretrained(embedded.path())
    context = shape["max_position_embeddings"]
    return TransformersPrior(LoadedModel(model, tokenizer, "random", context, device), "random", resources)


def make_documents(num_tokens: int, vocabulary: int, context: int) -> list[Document]:
    """Return documents of random tokens, each short enough for one window, as plain transformers needs."""
    generator = np.random.default_rng(0)
    documents: list[Document] = []
    while sum(map(len, documents)) < num_tokens:
        length = int(np.clip(generator.lognormal(np.log(MEDIAN_TOKENS), SIGMA), 2, context - 1))
        ids = generator.integers(0, vocabulary, length, dtype=np.int32)
        nowhere = np.zeros(length, dtype=np.int32)
        documents.append(Document("", ids, nowhere, nowhere, np.full(length, ELIGIBLE, dtype=np.uint8)))
    return documents


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def matmul_rate(size: int, device: torch.device, dtype: torch.dtype) -> float:
    """Return the FLOP/s of a large square matrix product; the best of three runs of twenty."""
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    seconds = []
    for _ in range(4):
        synchronize(device)
        began = time.perf_counter()
        for _ in range(20):
            torch.mm(left, right)
        synchronize(device)
        seconds.append((time.perf_counter() - began) / 20)
    return 2 * size**3 / min(seconds[1:])


def flops(prior: TransformersPrior, documents: list[Document]) -> dict[str, float]:
    """Return the FLOP of one reading: two per parameter and token, and attention to the previous tokens."""
    model = prior._body.model
    config = model.config
    head = config.vocab_size * config.hidden_size
    body = sum(parameter.numel() for parameter in model.model.parameters()) - model.model.embed_tokens.weight.numel()
    num_tokens = sum(map(len, documents))
    pairs = sum(len(document) * (len(document) + 1) // 2 for document in documents)
    attention = 4 * pairs * config.num_hidden_layers * config.num_attention_heads * config.head_dim
    return {"body": 2.0 * body * num_tokens, "attention": float(attention), "head": 2.0 * head * num_tokens}


def calls(prior: TransformersPrior, documents: list[Document]) -> list[list[Document]]:
    """Group documents as a run passes them to the prior: as many at a time as fit into `batch_bytes`."""
    parts: list[list[Document]] = []
    most, num_tokens = prior.batch_bytes // BYTES_PER_TOKEN, 0
    for document in documents:
        if not parts or num_tokens + len(document) > most:
            parts.append([])
            num_tokens = 0
        parts[-1].append(document)
        num_tokens += len(document)
    return parts


def score(prior: TransformersPrior, documents: list[Document], rule: SelectionRule, threads: int) -> list[Any]:
    with ThreadPoolExecutor(threads) as pool:
        return [
            each
            for scores in pool.map(lambda part: prior.score(part, rule), calls(prior, documents))
            for each in scores
        ]


def plain_batches(documents: list[Document]) -> Iterator[list[Document]]:
    batch: list[Document] = []
    for document in documents:
        if batch and (len(batch) + 1) * max(map(len, [*batch, document])) > PLAIN_POSITIONS:
            yield batch
            batch = []
        batch.append(document)
    yield batch


@torch.inference_mode()
def plain(prior: TransformersPrior, documents: list[Document], top_k: int) -> None:
    """Run padded batches in the order of the dataset, with the softmax of all logits and candidates of every token."""
    model = prior._body.model
    model.set_attn_implementation("sdpa")
    try:
        for batch in plain_batches(documents):
            ids, mask = (each.to(prior.device) for each in padded([document.ids for document in batch]))
            logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
            logprobs = torch.log_softmax(logits.float(), dim=-1)[:, :-1]
            best, best_ids = logprobs.topk(top_k, dim=-1)
            for answer in (logprobs.gather(2, ids[:, 1:, None]), best, best_ids):
                answer.cpu()
    finally:
        model.set_attn_implementation(IMPLEMENTATION)


class Clock:
    """Measures seconds of work on a device, with its own clock if it has one."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._marks: list[Any] = []

    def mark(self) -> None:
        if self._cuda:
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self._marks.append(event)
        else:
            self._marks.append(time.perf_counter())

    def seconds(self) -> np.ndarray:
        """Return the seconds between consecutive marks."""
        if not self._cuda:
            return np.diff(self._marks)
        torch.cuda.synchronize()
        return np.array([a.elapsed_time(b) / 1000 for a, b in zip(self._marks, self._marks[1:], strict=False)])


@torch.inference_mode()
def stages(prior: TransformersPrior, documents: list[Document], rule: SelectionRule) -> dict[str, float]:
    """Return the seconds of body and head in one thread, and between the passes, from events on the device."""
    clock = Clock(prior.device)
    for part in calls(prior, documents):
        answers = [Answer(document) for document in part]
        attention = PackedAttention(prior._varlen)
        for pack in (pack for share in prior._shares(part) for pack in prior._packs(share)):
            clock.mark()
            hidden = prior._forward(pack, part, attention)
            clock.mark()
            prior._read(hidden, pack, answers, rule)
            clock.mark()
    seconds = clock.seconds()
    return {name: float(seconds[at::3].sum()) for at, name in enumerate(("body", "head", "between passes"))}


def idle_share(run: Callable[[], Any], device: torch.device) -> float | None:
    """Return the share of the time in which no kernel runs; None if it cannot be measured."""
    if device.type != "cuda":
        return None
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        began = time.perf_counter()
        run()
        synchronize(device)
        wall = time.perf_counter() - began
    kind = torch.autograd.DeviceType.CUDA
    busy = sum(each.self_device_time_total for each in profile.key_averages() if each.device_type == kind) / 1e6
    return 1 - busy / wall if busy else None


def compiled(prior: TransformersPrior) -> Callable[[Callable[[], Any]], Any]:
    """Return a function that runs another with a compiled body; attention over packs is not compiled.

    Modules get their own `forward` back: one that was replaced is compiled anew in each layer, up to a limit beyond
    which layers are not compiled at all.
    """
    eager = prior._body._layers
    AttentionInterface.register(IMPLEMENTATION, torch._dynamo.disable(AttentionInterface()[IMPLEMENTATION]))
    layers = torch.compile(eager, dynamic=True)

    def run(what: Callable[[], Any]) -> Any:
        replaced = {module: vars(module).pop("forward") for module in eager.modules() if "forward" in vars(module)}
        prior._body._layers = layers
        try:
            return what()
        finally:
            prior._body._layers = eager
            for module, forward in replaced.items():
                module.forward = forward

    return run


def measure(
    columns: dict[str, Callable[[], Any]],
    rounds: int,
    device: torch.device,
    table: dict[str, dict[str, Any]],
    done: Callable[[], None],
) -> None:
    """Fill the table with the seconds of each column in each round, and its peak memory; a warm-up round is left out.

    Args:
        columns: Timed functions by name.
        rounds: Number of rounds.
        device: Their device.
        table: Rows by column.
        done: Callback; called after each column of each round.
    """
    table |= {name: {"seconds": [], "peak_bytes": None} for name in columns}
    for number in range(rounds + 1):
        names = [name for name in columns if "failed" not in table[name]]
        if not names:
            return
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            row = table[name]
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
            synchronize(device)
            began = time.perf_counter()
            try:
                columns[name]()
            except Exception as error:  # a column that fails must not affect the others
                row["failed"] = f"{type(error).__name__}: {str(error)[:300]}"
                done()
                continue
            synchronize(device)
            if number:
                row["seconds"].append(time.perf_counter() - began)
            if device.type == "cuda":
                row["peak_bytes"] = torch.cuda.max_memory_allocated(device)
            done()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="8b")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tokens", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--token-budget", type=int)
    parser.add_argument("--columns", nargs="+", help="only those whose names begin so, such as 'score, alone' or plain")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, help="default: on a GPU")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "gpu.json")
    options = parser.parse_args()
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        sys.exit("benchmarks/gpu.py needs a CUDA GPU; --device cpu --size tiny runs it through without one.")

    size, device = SIZES[options.size], prepared(options.device)
    began = time.perf_counter()
    prior = make_prior(size.model, device, Resources(options.token_budget))
    start_up = time.perf_counter() - began
    documents = make_documents(options.tokens or size.num_tokens, size.model["vocab_size"], prior.context)
    num_tokens = sum(map(len, documents))
    config = EditConfig(threshold=0.0)
    logprobs = np.concatenate([each.logprobs for each in prior.score(documents[:16], SelectionRule(config))])
    config = EditConfig(threshold=float(np.exp(np.nanquantile(logprobs, 1 - SELECTED))))
    rule = SelectionRule(config)
    selected = sum(len(each.positions) for each in prior.score(documents, rule)) / num_tokens

    def as_a_run() -> Any:
        return score(prior, documents, rule, prior.concurrency)

    columns: dict[str, Callable[[], Any]] = {
        f"score, threads: {prior.concurrency}": as_a_run,
        "score, alone": lambda: score(prior, documents, rule, 1),
        "plain transformers": lambda: plain(prior, documents, config.top_k),
    }
    if device.type == "cuda" if options.compile is None else options.compile:
        with_compile = compiled(prior)
        columns["score, compiled"] = lambda: with_compile(as_a_run)
    if options.columns:
        columns = {name: run for name, run in columns.items() if name.startswith(tuple(options.columns))}
        if not columns:
            sys.exit(f"no column begins with {' or '.join(options.columns)}.")
    rate = matmul_rate(size.matmul, device, prior._body.model.dtype)
    work = flops(prior, documents)
    table: dict[str, dict[str, Any]] = {}
    facts: dict[str, Any] = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "torch": torch.__version__,
        "size": options.size,
        "num_documents": len(documents),
        "num_tokens": num_tokens,
        "selected": selected,
        "start_up_seconds": start_up,
        "token_budget": prior._token_budget,
        "varlen": prior._varlen.__name__.lstrip("_") if prior._varlen else None,
        "mixed_head": prior._head._mixed,
        "tf32_head": prior._head._tf32,
        "fused_norms": prior._body.fused_norms,
        "matmul_flops_per_second": rate,
        "flops": work,
        "columns": table,
    }

    def save() -> None:
        """Write the results so far: the machine may disappear at any time."""
        for row in table.values():
            if row["seconds"]:
                seconds = statistics.median(row["seconds"])
                row["tokens_per_second"] = num_tokens / seconds
                row["share_of_matmul_rate"] = sum(work.values()) / seconds / rate
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")

    measure(columns, options.rounds, device, table, save)
    report(facts)
    facts["stages_seconds"] = stages(prior, documents, rule)
    save()
    report_stages(facts)
    facts["idle_share"] = idle_share(as_a_run, device)
    save()
    if facts["idle_share"] is not None:
        print(f"the device is idle {facts['idle_share']:.1%} of the time")
    sys.exit(any("failed" in row for row in table.values()))


def report(facts: dict[str, Any]) -> None:
    print(
        f"{facts['device']}, prior of size {facts['size']}, {facts['num_documents']} documents, "
        f"{facts['num_tokens']:,} tokens, {facts['selected']:.1%} selected"
    )
    head = "into float32" if facts["mixed_head"] else "in TF32" if facts["tf32_head"] else "in float32"
    print(
        f"passes of {facts['token_budget']:,} tokens; attention {facts['varlen'] or 'piece by piece'}; head {head}; "
        f"norms of one kernel: {facts['fused_norms']}"
    )
    print(f"matrix product: {facts['matmul_flops_per_second'] / 1e12:.1f} TFLOP/s")
    print(f"{'':20} {'tokens/s':>12} {'of that rate':>13} {'peak GB':>8}")
    for name, row in facts["columns"].items():
        if "failed" in row:
            print(f"{name:20} failed: {row['failed']}")
            continue
        peak = f"{row['peak_bytes'] / 1e9:.1f}" if row["peak_bytes"] else "-"
        print(f"{name:20} {row['tokens_per_second']:12,.0f} {row['share_of_matmul_rate']:13.1%} {peak:>8}")


def report_stages(facts: dict[str, Any]) -> None:
    spent, work = facts["stages_seconds"], facts["flops"]
    total = sum(spent.values())
    parts = ", ".join(f"{name} {seconds / total:.1%}" for name, seconds in spent.items())
    print(f"one thread's time: {parts}; the head is {work['head'] / sum(work.values()):.1%} of the FLOPs")


if __name__ == "__main__":
    main()
