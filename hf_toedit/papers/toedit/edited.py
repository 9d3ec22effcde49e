"""Tables 2 to 4: models trained on edited text and on its source, from scratch, further, and on responses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from hf_toedit.papers.item import TOEDIT, Cell, Holds, Item, Outcome, Scale, Table, Work
from hf_toedit.papers.toedit.data import Data, settings_of, texts_of, write_conversations
from hf_toedit.papers.toedit.training import COLUMNS, NEEDS, TITLE, differences, interval, probed

PAPER_TITLE = "The paper: average over tasks, %"


class _Edited(Item):
    """An item that trains on edited text and on its source.

    Attributes:
        training: Settings of the training, by scale.
        paper_columns: Headings of the paper's numbers.
        paper_rows: Averages of the paper over tasks, in %.
    """

    paper = TOEDIT
    needs = NEEDS
    minutes = 3
    training: ClassVar[Mapping[Scale, Mapping[str, Any]]]
    paper_columns: ClassVar[tuple[str, ...]]
    paper_rows: ClassVar[Sequence[Sequence[Cell]]]

    def settings(self, scale: Scale) -> Mapping[str, Any]:
        """See `Item.settings`."""
        return {**settings_of(scale), **self.training[scale]}

    def data(self, settings: Mapping[str, Any], work: Work) -> Data:
        """Return what is edited and trained on, and the held-out data."""
        return texts_of({**settings, "synthetic": "none"}, work)

    def run(self, settings: Mapping[str, Any], work: Work) -> Outcome:
        """See `Item.run`."""
        from hf_toedit.api.edits import edit

        data = self.data(settings, work)
        how = {name: settings[name] for name in ("prior", "messages_column") if name in settings}
        run = edit(data.human, work.folder / "edited", **work.of_runs, **how)
        report = probed({"source": data.human, "edited": str(run.path)}, data.held_out, settings, work)
        rows, [difference] = differences(report)
        changed = run.stats(1).changed_rate
        reason = (
            f"the edit changed {changed:.2%} of the tokens; perplexity on held-out text against that of the source is "
            f"{interval(difference)}."
        )
        holds: Holds = "yes" if difference["high"] < 0 else "no" if difference["low"] > 0 else "not decided"
        labels = self.paper_columns.index("source")
        theirs = Table(PAPER_TITLE, self.paper_columns, self.paper_rows, labels)
        tables = [Table(TITLE, COLUMNS, rows), theirs]
        return Outcome(holds, reason, tables, (), {"changed_rate": changed, "probe": report["comparisons"]})


class Table2(_Edited):
    """Table 2 of version 3: pre-training from scratch."""

    name = "Table 2"
    claim = "Models that are trained from scratch on text edited by ToEdit are better than those trained on its source."
    differs = (
        "The paper trains OLMo-1B on text edited by Llama-3-8B, and reports tasks. Here a model of a million "
        "parameters is trained on the bundled sample edited by the embedded prior, a toy, and perplexity is reported."
    )
    training = {
        "tiny": {"model": "tiny", "context": 128, "seeds": 2, "learning_rates": [0.003]},
        "paper": {"model": "gpt2", "context": 1024, "seeds": 2, "learning_rates": [6e-4]},
    }
    paper_columns = ("model", "source", "edited")
    paper_rows = (("OLMo-1B", 32.75, 33.11),)


class Table3(_Edited):
    """Table 3 of version 3: continual pre-training."""

    name = "Table 3"
    claim = "Models that are trained further on text edited by ToEdit are better than those trained on its source."
    minutes = 6
    differs = (
        "The paper trains OLMo-1B and Llama-3-8B further on biomedical, financial and mathematical text, and reports "
        "tasks. Here the embedded prior, a toy, is trained further on the bundled sample, and perplexity is reported."
    )
    training = {
        "tiny": {"model": "embedded", "context": 128, "seeds": 2, "learning_rates": [1e-4]},
        "paper": {"model": "allenai/OLMo-1B-hf", "context": 2048, "seeds": 2, "learning_rates": [2e-5]},
    }
    paper_columns = ("domain", "model", "source", "edited", "before")
    paper_rows = (
        ("biomedicine", "OLMo-1B", 38.83, 40.89, 36.63),
        ("biomedicine", "Llama-3-8B", 56.04, 56.48, 54.13),
        ("finance", "OLMo-1B", 47.92, 50.21, 46.22),
        ("finance", "Llama-3-8B", 71.40, 72.24, 70.37),
        ("mathematics", "OLMo-1B", 16.26, 16.59, 16.23),
    )


class Table4(_Edited):
    """Table 4: fine-tuning on responses."""

    name = "Table 4"
    claim = "Models that are fine-tuned on responses edited by ToEdit are better than those fine-tuned on their source."
    differs = (
        "The paper fine-tunes Llama-3-8B with LoRA on instructions and answers, and reports tasks. Here the first 40 "
        "words of a document of the bundled sample are the request and the others the answer, the embedded prior, a "
        "toy, is trained further with all weights, and the perplexity of held-out answers is reported. Only answers "
        "are edited, and only their tokens have a loss."
    )
    training = {
        "tiny": {
            "request_words": 40,
            "messages_column": "messages",
            "model": "embedded",
            "context": 128,
            "seeds": 2,
            "learning_rates": [1e-4],
            "num_tokens": 8_000,
        },
        "paper": {
            "human": "allenai/tulu-v2-sft-mixture",
            "held_out": "HuggingFaceH4/no_robots",
            "messages_column": "messages",
            "model": "meta-llama/Meta-Llama-3-8B",
            "lora": True,
            "context": 2048,
            "seeds": 2,
            "learning_rates": [1e-4],
        },
    }
    paper_columns = ("fine-tuned on", "source", "edited")
    paper_rows = (
        ("Natural Instructions", 69.34, 69.70),
        ("CoT", 69.01, 69.26),
        ("FLAN v2", 70.18, 70.65),
        ("Open Assistant", 69.19, 69.44),
        ("OSS-Instruct-75K", 45.76, 46.13),
        ("Evol-Instruct-110K", 46.62, 46.92),
    )

    def data(self, settings: Mapping[str, Any], work: Work) -> Data:
        """See `_Edited.data`; texts become conversations."""
        found = super().data(settings, work)
        words = settings.get("request_words")
        if words is None:
            return found
        human = write_conversations(found.human, work.folder / "conversations.parquet", words)
        held_out = write_conversations(found.held_out, work.folder / "held-out-conversations.parquet", words)
        return Data(human, held_out, found.synthetic)
