"""Example texts from the bundled sample."""

from __future__ import annotations

_ROWS = {"A story": "doc-001", "An article": "doc-011", "A letter": "doc-015", "Some code": "doc-005"}


def example_texts() -> dict[str, str]:
    """Return example texts by description."""
    import pyarrow.parquet as pq

    from hf_toedit import sample

    table = pq.read_table(sample.path(), columns=["id", "text"])
    texts = dict(zip(table["id"].to_pylist(), table["text"].to_pylist(), strict=True))
    return {name: texts[row] for name, row in _ROWS.items()}
