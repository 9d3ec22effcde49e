"""Edit documents inside a datatrove pipeline: read JSON lines, edit each text, write JSON lines.

    pip install hf-toedit datatrove orjson
    python examples/datatrove_step.py documents/ edited/ --tasks 4

`ToEdit` is an ordinary `PipelineStep`: put it between any reader and any writer, in any executor. Equal texts get equal
edits whatever the number of tasks is, so a task that is repeated gives the same files.
"""

import argparse

from datatrove.data import DocumentsPipeline
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter
from datatrove.utils.batching import batched

from hf_toedit import ToEditor


class ToEdit(PipelineStep):
    """Edits the text of each document, and puts the edit log into its metadata.

    Args:
        prior: `embedded`, a local folder, or a Hub id.
        batch_size: Documents per call of the editor.
        **settings: Other arguments of `ToEditor.from_pretrained`.
    """

    type = "📝 - EDITOR"
    name = "🎲 ToEdit"

    def __init__(self, prior: str = "embedded", batch_size: int = 64, **settings):
        super().__init__()
        self.prior, self.batch_size, self.settings = prior, batch_size, settings

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        """Edit the documents of one task; the prior is loaded here, once per task."""
        editor = ToEditor.from_pretrained(self.prior, **self.settings)
        for batch in batched(data, self.batch_size):
            with self.track_time("batch"):
                result = editor.edit([document.text for document in batch])
            for document, edited in zip(batch, result.documents, strict=True):
                log = edited.to_log()
                document.text = edited.text
                document.metadata["toedit"] = log
                self.stat_update("tokens", value=log["num_tokens"])
                self.stat_update("tokens_changed", value=log["num_changed"])
                self.update_doc_stats(document)
                yield document


def main() -> None:
    """Run the pipeline."""
    parser = argparse.ArgumentParser(description="Edit JSON lines in a datatrove pipeline.")
    parser.add_argument("input", help="folder of .jsonl files with a field named text")
    parser.add_argument("output", help="folder for the edited files, the logs and the statistics")
    parser.add_argument("--prior", default="embedded", help="model that scores and resamples tokens")
    parser.add_argument("--tasks", type=int, default=1, help="number of datatrove tasks")
    args = parser.parse_args()
    executor = LocalPipelineExecutor(
        pipeline=[
            JsonlReader(args.input),
            ToEdit(args.prior, seed=0),
            JsonlWriter(f"{args.output}/data", compression=None),
        ],
        logging_dir=f"{args.output}/logs",
        tasks=args.tasks,
    )
    executor.run()  # logs the statistics of each step


if __name__ == "__main__":
    main()
