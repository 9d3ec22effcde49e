"""vLLM in its own process and Python environment: loads a model, then reads documents on request.

Requests and answers are JSON, one per line, on standard input and output; vLLM's output goes to standard error. See
`vllm_client.py`, which starts it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import vllm
from sequences import Part, parts
from vllm import LLM, SamplingParams

SCRIPT_BATCH = 100
"""Documents per call, as in the command on the authors' page; see README.md."""

SCRIPT_TEMPERATURE = 1.5


class Reader:
    """A loaded model, and the documents to read."""

    def __init__(self, request: dict[str, Any]) -> None:
        """Load the model and the documents."""
        self.llm = LLM(
            model=request["model"],
            dtype="float32",
            max_model_len=request["context"],
            max_num_batched_tokens=request["max_num_batched_tokens"],
            max_logprobs=64,
            enable_prefix_caching=False,
            disable_log_stats=True,
        )
        self.tokenizer = self.llm.get_tokenizer()
        self.context, self.bos, self.threshold = request["context"], request["bos"], request["threshold"]
        self.texts: list[str] = request["texts"]
        self.ids: list[list[int]] = request["ids"]
        self._random = np.random.default_rng(0)

    def flat(self, documents: slice) -> list[list[int]]:
        """Score token ids with flat lists, and return the positions of the selected tokens by document.

        The candidates of the selected tokens are gathered as well.
        """
        prompts = parts(self.ids[documents], self.context, self.bos)
        asked = SamplingParams(max_tokens=1, prompt_logprobs=8, flat_logprobs=True, detokenize=False)
        answers = self.llm.generate([{"prompt_token_ids": part.ids} for part in prompts], asked, use_tqdm=False)
        selected: list[list[int]] = [[] for _ in self.ids[documents]]
        for part, answer in zip(prompts, answers, strict=True):
            entries = answer.prompt_logprobs
            starts = np.array(entries.start_indices[part.score_from :])
            logprobs, ids = np.array(entries.logprobs), np.array(entries.token_ids)
            chosen = np.flatnonzero(logprobs[starts] >= np.log(self.threshold))
            at = starts[chosen][:, None] + np.arange(1, 9)
            _candidates = ids[at], logprobs[at]
            selected[part.document] += (chosen + part.score_from + self._shift(part)).tolist()
        return selected

    def script(self, documents: slice, top_k: int) -> list[list[int]]:
        """Edit whole texts as the authors' script does, and return the positions of the selected tokens by document."""
        texts = self.texts[documents]
        selected: list[list[int]] = [[] for _ in texts]
        for start in range(0, len(texts), SCRIPT_BATCH):
            self._script_batch(texts[start : start + SCRIPT_BATCH], top_k, selected[start : start + SCRIPT_BATCH])
        return selected

    def _script_batch(self, texts: list[str], top_k: int, selected: list[list[int]]) -> None:
        ids = self.tokenizer(texts, add_special_tokens=False)["input_ids"]
        prompts = parts(ids, self.context, self.bos)
        asked = SamplingParams(max_tokens=1, prompt_logprobs=top_k)
        answers = self.llm.generate([{"prompt_token_ids": part.ids} for part in prompts], asked, use_tqdm=False)
        for part, answer in zip(prompts, answers, strict=True):
            document = ids[part.document]
            for index in range(part.score_from, len(part.ids)):
                # Token by token and through dictionaries, as in the script.
                logprobs = {token: entry.logprob for token, entry in answer.prompt_logprobs[index].items()}
                position = index + self._shift(part)
                if np.exp(logprobs[part.ids[index]]) >= self.threshold:
                    selected[part.document].append(position)
                    document[position] = int(self._drawn(logprobs))
        with open(os.devnull, "w", encoding="utf-8") as stream:
            for document in ids:
                stream.write(json.dumps({"text": self.tokenizer.decode(document)}, ensure_ascii=False) + "\n")

    def _drawn(self, logprobs: dict[int, float]) -> Any:
        """Sample one of the candidates, at a temperature."""
        weights = np.array(list(logprobs.values())) / SCRIPT_TEMPERATURE
        weights = np.exp(weights - weights.max())
        return self._random.choice(list(logprobs), p=weights / weights.sum())

    def _shift(self, part: Part) -> int:
        """Return the offset from an index into the part's ids to a token of the document."""
        return part.start - (self.bos is not None)


def main() -> None:
    """Answer requests until standard input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    reader = Reader(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    print(json.dumps({"version": vllm.__version__}), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        documents = slice(request["num_documents"])
        began = time.perf_counter()
        if request["column"] == "flat":
            selected = reader.flat(documents)
        else:
            selected = reader.script(documents, request["top_k"])
        seconds = time.perf_counter() - began
        answer = {"seconds": seconds, "selected": selected if request["selected"] else []}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
