r"""Build `sample.parquet` from the files in `documents/`.

Run it as ``python -m hf_toedit.sample.build``.

A document file is UTF-8 and starts with a front matter: a line ``---``, some YAML, and another line ``---``, each
ended by one ``\n``. Everything after that second line is the text, verbatim: no newline or space is added, removed or
converted, at the beginning or at the end. A file that ends with the second ``---\n`` has the empty string as its text.
"""

import logging
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from datasets import ClassLabel, Features, List, Value

from hf_toedit.sample import path

DOCUMENTS = Path(__file__).with_name("documents")
FENCE = "---\n"
CATEGORIES = ["story", "encyclopedia", "recipe", "email", "code", "math", "dialogue", "table", "list", "note"]
FEATURES = Features(
    {
        "id": Value("string"),
        "text": Value("string"),
        "category": ClassLabel(names=CATEGORIES),
        "metadata": {
            "title": Value("string"),
            "language": Value("string"),
            "stats": {"num_characters": Value("int32"), "num_words": Value("int32")},
        },
        "topics": List(Value("string")),
        "editor_note": Value("string"),
    }
)

logger = logging.getLogger(__name__)


def split_document(content: str) -> tuple[dict[str, Any], str]:
    """Split the content of a document file into its front matter and its text.

    Args:
        content: The content of the file, with its line endings as they are on disk.

    Returns:
        The parsed front matter, and the text verbatim.

    Raises:
        ValueError: If there is no front matter.
    """
    end = content.find("\n" + FENCE)
    if not content.startswith(FENCE) or end < 0:
        raise ValueError("no front matter between two '---' lines")
    return yaml.safe_load(content[len(FENCE) : end + 1]), content[end + 1 + len(FENCE) :]


def read_row(file: Path) -> dict[str, Any]:
    """Read one document file as a row that has the shape of ``FEATURES``."""
    try:
        front, text = split_document(file.read_bytes().decode("utf-8"))
    except ValueError as error:
        raise ValueError(f"{file.name}: {error}") from error
    return {
        "id": front["id"],
        "text": text,
        "category": FEATURES["category"].str2int(front["category"]),
        "metadata": {
            "title": front["title"],
            "language": front["language"],
            "stats": {"num_characters": len(text), "num_words": len(text.split())},
        },
        "topics": front["topics"],
        "editor_note": front.get("editor_note"),
    }


def build(target: Path) -> int:
    """Write the dataset to ``target`` and return the number of its rows.

    The bytes depend only on the documents and on the version of pyarrow.
    """
    rows = [read_row(file) for file in sorted(DOCUMENTS.glob("*.txt"))]
    if len({row["id"] for row in rows}) != len(rows):
        raise ValueError("two documents have the same id")
    table = pa.Table.from_pylist(rows, schema=FEATURES.arrow_schema)
    pq.write_table(table, target, compression="zstd")
    return len(rows)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logger.info("wrote %d rows to %s", build(path()), path().name)
