"""Train the embedded prior: read the corpus, train tokenizer and model, evaluate, write the model folder.

The repositories and documentation packages are in one subfolder each, named after the repository or the package;
`corpus.SOURCES` lists them. Needs a C++ compiler, for `torch.compile`.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import random
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch.nn.functional import cross_entropy
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tools.embedded_prior import corpus, evaluation

LOG = logging.getLogger("embedded")
BOS = "<|bos|>"
OUT = Path(__file__).resolve().parents[2] / "hf_toedit/priors/embedded"


@dataclass(frozen=True)
class Stage:
    """A part of the training with its own mixture and schedule.

    Attributes:
        name: Name of its files, and the field of `corpus.Source` with the repeats of its mixture.
        steps: Number of updates.
        warm_up: Number of updates over which the learning rates rise to their full value.
        decay: Number of updates at the end over which they fall to 0.
    """

    name: str
    steps: int
    warm_up: int
    decay: int

    def share(self, step: int) -> float:
        """Return the share of the full learning rates in a step; both ends of the schedule are linear."""
        return min(1.0, (step + 1) / self.warm_up, (self.steps - step) / max(1, self.decay))


def parse_args() -> argparse.Namespace:
    """Parse the command line; its defaults are the values with which the shipped weights were made."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of JSON-lines files")
    parser.add_argument("--docs", type=Path, required=True, help="folder of repositories and unpacked packages")
    parser.add_argument("--embeddings", type=Path, help="folder of a larger model, whose embeddings to start from")
    parser.add_argument("--out", type=Path, default=OUT, help="model folder to write")
    parser.add_argument("--work", type=Path, default=Path("work"), help="folder for the checkpoint and the token cache")
    parser.add_argument("--steps", type=int, default=4600, help="updates at the full learning rates")
    parser.add_argument("--tune-steps", type=int, default=2800, help="further updates, while the rates fall to 0")
    parser.add_argument("--tokens-per-step", type=int, default=4096)
    parser.add_argument("--learning-rate", type=float, default=6e-3, help="of the matrices, by Muon")
    parser.add_argument("--embedding-rate", type=float, default=3e-3, help="of all other weights, by AdamW")
    parser.add_argument("--warm-up", type=int, default=150)
    parser.add_argument("--weight-decay", type=float, default=0.1)
    parser.add_argument("--vocabulary", type=int, default=4096)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--intermediate", type=int, default=848)
    parser.add_argument("--context", type=int, default=1024)
    parser.add_argument("--held-out", type=float, default=0.02, help="share of the documents of each source")
    parser.add_argument("--least-held-out", type=int, default=12)
    parser.add_argument("--evaluate-bytes", type=int, default=100_000, help="most held-out text to measure, by source")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--checkpoint-every", type=int, default=200)
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in the work folder")
    parser.add_argument("--evaluate-only", action="store_true", help="only measure the model that is in the out folder")
    return parser.parse_args()


def one_pass(documents: list[corpus.Document], seed: int, stage: str) -> list[corpus.Document]:
    """Return one pass over the corpus in random order, with each document repeated as its source specifies."""
    repeats = {s.name: getattr(s, stage) for s in corpus.SOURCES}
    rng = random.Random(seed)
    chosen = []
    for document in documents:
        whole = int(repeats[document.source])
        chosen += [document] * (whole + (rng.random() < repeats[document.source] - whole))
    rng.shuffle(chosen)
    return chosen


def train_tokenizer(documents: list[corpus.Document], args: argparse.Namespace) -> PreTrainedTokenizerFast:
    """Train a lossless byte-level BPE tokenizer."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=args.vocabulary,
        special_tokens=[BOS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator((d.text for d in one_pass(documents, args.seed, "main")), trainer)
    template = processors.TemplateProcessing(single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[(BOS, 0)])
    # Untrimmed offsets let an editor cover a text by its tokens without gaps at the spaces.
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=BOS,
        pad_token=BOS,
        clean_up_tokenization_spaces=False,
        model_max_length=args.context,
    )


def pack(
    documents: list[corpus.Document], tokenizer: PreTrainedTokenizerFast, stage: Stage, args: argparse.Namespace
) -> np.ndarray:
    """Tokenise enough passes over the corpus for a stage into rows of the full context, in random order.

    In the order of the documents, a long one would fill many updates in a row.
    """
    cache = args.work / f"{stage.name}.npy"
    if args.resume and cache.exists():
        return np.load(cache)
    used = {s.name for s in corpus.SOURCES if getattr(s, stage.name)}
    unique = sorted({d.text for d in documents if d.source in used})
    ids: dict[str, np.ndarray] = {}
    for start in range(0, len(unique), 2000):
        part = unique[start : start + 2000]
        for text, encoding in zip(part, tokenizer.backend_tokenizer.encode_batch(part), strict=True):
            ids[text] = np.array(encoding.ids, dtype=np.uint16)
    wanted, number = stage.steps * args.tokens_per_step // args.context, 0
    rows: list[np.ndarray] = []
    while sum(map(len, rows)) < wanted:
        parts = [ids[d.text] for d in one_pass(documents, args.seed + number, stage.name)]
        whole = np.concatenate(parts)
        whole = whole[: len(whole) // args.context * args.context].reshape(-1, args.context)
        rows.append(np.random.default_rng(args.seed + number).permutation(whole))
        number += 1
    LOG.info("%s: %d rows wanted, %d in %d passes over the corpus", stage.name, wanted, sum(map(len, rows)), number)
    stream = np.concatenate(rows)[:wanted].reshape(-1)
    np.save(cache, stream)
    return stream


def batch(stream: np.ndarray, step: int, bos: int, args: argparse.Namespace) -> tuple[torch.Tensor, torch.Tensor]:
    """Return input and target of a step; one step in four has rows of the full context, the others of half of it."""
    length = args.context if step % 4 == 3 else args.context // 2
    part = stream[step * args.tokens_per_step : (step + 1) * args.tokens_per_step].astype(np.int64)
    target = torch.from_numpy(part.reshape(-1, length))
    # Every row starts with the token that starts every text when the model is used.
    return torch.cat([torch.full((len(target), 1), bos), target[:, :-1]], dim=1), target


def new_model(tokenizer: PreTrainedTokenizerFast, args: argparse.Namespace) -> LlamaForCausalLM:
    """Return a model with random weights."""
    token = tokenizer.bos_token_id
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=args.hidden,
        intermediate_size=args.intermediate,
        num_hidden_layers=args.layers,
        num_attention_heads=args.heads,
        num_key_value_heads=args.heads,
        max_position_embeddings=args.context,
        tie_word_embeddings=True,
        bos_token_id=token,
        eos_token_id=token,
        pad_token_id=token,
        attn_implementation="sdpa",
    )
    return LlamaForCausalLM(config)


def borrow_embeddings(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Start the embeddings from those of a larger model: what it knows of words does not have to be learned again.

    A token gets the mean of the larger model's embeddings of its text, reduced to the hidden size by their principal
    components, at the standard deviation that random weights have.
    """
    teacher, teacher_tokenizer = LlamaForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    theirs = teacher.get_input_embeddings().weight.detach().float()
    ours = model.get_input_embeddings().weight
    texts = (tokenizer.decode([token]) for token in range(len(tokenizer)))
    spelled = (teacher_tokenizer(text, add_special_tokens=False).input_ids for text in texts)
    means = torch.stack([theirs[ids].mean(dim=0) for ids in spelled]).nan_to_num()
    means -= means.mean(dim=0)
    reduced = means @ torch.linalg.svd(means, full_matrices=False).Vh[: ours.shape[1]].T
    with torch.no_grad():
        ours.copy_(reduced * (model.config.initializer_range / reduced.std()))


def new_optimizers(model: LlamaForCausalLM, args: argparse.Namespace) -> list[torch.optim.Optimizer]:
    """Return Muon for the matrices inside the layers and AdamW for the rest.

    In such a short training, the number of updates is the bottleneck, and Muon makes the most of each.
    """
    inner = [p for p in model.model.layers.parameters() if p.dim() == 2]
    rest = [p for p in model.parameters() if all(p is not q for q in inner)]
    return [
        torch.optim.Muon(inner, lr=args.learning_rate, weight_decay=args.weight_decay, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, lr=args.embedding_rate, betas=(0.9, 0.95), weight_decay=0.0, fused=True),
    ]


def loss_of(model: LlamaForCausalLM, inputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the mean loss of the target tokens, in nats."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(input_ids=inputs, use_cache=False).logits
    return cross_entropy(logits.float().flatten(0, 1), target.flatten())


def update(
    loss: torch.Tensor, model: LlamaForCausalLM, optimizers: list, full: list[float], share: float
) -> tuple[float, float]:
    """Follow the gradient of the loss of one step, and return the loss and the norm of the gradient."""
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer, rate in zip(optimizers, full, strict=True):
        optimizer.param_groups[0]["lr"] = rate * share
        optimizer.step()
        optimizer.zero_grad()
    return loss.item(), norm.item()


class Pace:
    """Choice of the number of threads, for a machine with other work to do.

    Threads wait for the slowest of them, so one on a busy core makes a step slower than a single thread would be.
    """

    def __init__(self, threads: int) -> None:
        """Start with all threads."""
        self.threads, self.fastest, self.alone = threads, math.inf, 0

    def after(self, seconds: float) -> None:
        """Record the duration of a step; after a very slow one, use a single thread for a while."""
        if self.alone:
            self.alone -= 1
        else:
            self.fastest = min(self.fastest, seconds)
            self.alone = 16 if seconds > 2 * self.fastest else 0
        torch.set_num_threads(1 if self.alone else self.threads)


def restore(checkpoint: Path, model: LlamaForCausalLM, optimizers: list[torch.optim.Optimizer]) -> tuple[int, float]:
    """Load a checkpoint and return the number of finished steps and their duration in seconds."""
    state = torch.load(checkpoint, weights_only=True)
    model.load_state_dict(state["model"])
    for optimizer, stored in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(stored)
    return state["step"], state["seconds"]


def train(model: LlamaForCausalLM, stream: np.ndarray, bos: int, stage: Stage, args: argparse.Namespace) -> None:
    """Run a stage, with occasional checkpoints and a log line every 20 steps."""
    optimizers = new_optimizers(model, args)
    checkpoint, log_file = args.work / f"{stage.name}.pt", args.work / f"{stage.name}.jsonl"
    first, seconds, losses = 0, 0.0, []
    if args.resume and checkpoint.exists():
        first, seconds = restore(checkpoint, model, optimizers)
    lines = log_file.read_text(encoding="utf-8").splitlines()[: first // 20] if first else []
    model.train()
    compiled = torch.compile(loss_of)
    rates = [args.learning_rate, args.embedding_rate]
    pace = Pace(args.threads)
    for step in range(first, stage.steps):
        started = time.perf_counter()
        found = compiled(model, *batch(stream, step, bos, args))
        loss, norm = update(found, model, optimizers, rates, stage.share(step))
        losses.append(loss)
        seconds += time.perf_counter() - started
        pace.after(time.perf_counter() - started)
        if (step + 1) % 20 == 0:
            figures = {"loss": sum(losses) / len(losses), "norm": norm, "rate": stage.share(step), "seconds": seconds}
            lines.append(json.dumps({"step": step + 1} | {k: float(f"{v:.4g}") for k, v in figures.items()}))
            LOG.info("%s %s", stage.name, lines[-1])
            losses.clear()
        if (step + 1) % args.checkpoint_every == 0 or step + 1 == stage.steps:
            state = {"model": model.state_dict(), "optimizers": [o.state_dict() for o in optimizers]}
            torch.save(state | {"step": step + 1, "seconds": seconds}, checkpoint.with_suffix(".new"))
            checkpoint.with_suffix(".new").replace(checkpoint)
            log_file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def save(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, stages: list[Stage], args: argparse.Namespace
) -> None:
    """Write the model folder, in half precision."""
    tokenizer.save_pretrained(args.out)
    config_file = args.out / "tokenizer_config.json"
    config = json.loads(config_file.read_text(encoding="utf-8"))
    # Every release of transformers that can load the model supports this name.
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    config_file.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    model.to(torch.float16).save_pretrained(args.out)
    with (Path(__file__).with_name("training_log.jsonl")).open("w", encoding="utf-8") as log:
        for stage in stages:
            for line in (args.work / f"{stage.name}.jsonl").read_text(encoding="utf-8").splitlines():
                log.write(json.dumps({"stage": stage.name} | json.loads(line)) + "\n")


def make(documents: list[corpus.Document], args: argparse.Namespace) -> None:
    """Train the tokenizer and the model and write the model folder."""
    stages = [
        Stage("main", args.steps, args.warm_up, 0),
        Stage("tune", args.tune_steps, 20, args.tune_steps),
    ]
    tokenizer = train_tokenizer(documents, args)
    model = new_model(tokenizer, args)
    if args.embeddings:
        borrow_embeddings(model, tokenizer, args.embeddings)
    LOG.info("%d parameters, vocabulary %d", model.num_parameters(), len(tokenizer))
    for stage in stages:
        train(model, pack(documents, tokenizer, stage, args), tokenizer.bos_token_id, stage, args)
    save(model, tokenizer, stages, args)


def main() -> None:
    """Run all steps."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    args = parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    args.work.mkdir(parents=True, exist_ok=True)
    documents, held = corpus.split(corpus.read(args.data, args.docs), args.held_out, args.least_held_out)
    LOG.info("%d training documents, %d held out", len(documents), len(held))
    if not args.evaluate_only:
        make(documents, args)
    report = evaluation.report(args.out, held, args.evaluate_bytes)
    report = {"held_out": report, "training_corpus": evaluation.corpus_table(documents)}
    (args.out / "evaluation.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    LOG.info("%s", json.dumps(report["held_out"]["prose"]))


if __name__ == "__main__":
    main()
