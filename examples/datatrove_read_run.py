"""Read the files of a finished run in a datatrove pipeline, and keep the documents that changed little.

    hf-toedit edit sample -o run
    pip install datatrove orjson
    python examples/datatrove_read_run.py run/data/gen1 kept/

A run's data are plain Parquet files. All columns but the text become metadata, with the edit log under `toedit`.
"""

import argparse

from datatrove.data import Document
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.filters import LambdaFilter
from datatrove.pipeline.readers import ParquetReader
from datatrove.pipeline.writers import JsonlWriter


def main() -> None:
    """Run the pipeline."""
    parser = argparse.ArgumentParser(description="Keep the documents of a run that changed little.")
    parser.add_argument("input", help="folder of one generation, such as run/data/gen1")
    parser.add_argument("output", help="folder for the kept documents")
    parser.add_argument("--at-most", type=float, default=0.01, help="largest share of changed tokens (default: 0.01)")
    args = parser.parse_args()

    def changed_little(document: Document) -> bool:
        log = document.metadata["toedit"]
        return log["num_changed"] <= args.at_most * log["num_tokens"]

    executor = LocalPipelineExecutor(
        pipeline=[
            ParquetReader(args.input, glob_pattern="*.parquet"),
            LambdaFilter(changed_little),
            JsonlWriter(f"{args.output}/data", compression=None),
        ],
        logging_dir=f"{args.output}/logs",
    )
    executor.run()  # logs the statistics of each step


if __name__ == "__main__":
    main()
