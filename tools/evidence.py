"""Records the results of `hf-toedit reproduce --scale tiny`, and writes docs/papers.md from them: `make evidence`."""

from __future__ import annotations

import json
import os
import platform
import re
import shlex
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hf_toedit.cards.escape import Markdown, code, markdown
from hf_toedit.cards.tables import table
from hf_toedit.papers.item import Item
from hf_toedit.papers.registry import find_item, items
from hf_toedit.papers.report import cell_text
from hf_toedit.papers.reproduce import reproduce

ROOT = Path(__file__).parents[1]
EVIDENCE = ROOT / "evidence"
PAGE = ROOT / "docs" / "papers.md"

_LIBRARIES = ("numpy", "torch", "transformers")


def main(names: Sequence[str]) -> None:
    """Record some items, or all, then rewrite the page."""
    EVIDENCE.mkdir(exist_ok=True)
    for item in map(find_item, names) if names else items():
        with tempfile.TemporaryDirectory() as folder:
            report = reproduce(item.title, Path(folder) / "report")
        record = {
            "command": f"hf-toedit reproduce {shlex.quote(item.title)} -o report",
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "libraries": {name: version(name) for name in _LIBRARIES},
            **report,
        }
        path_of(item).write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"{item.title}: {report['holds']}, {report['seconds']:.0f} s", flush=True)  # noqa: T201
    PAGE.write_text(page(recorded()), encoding="utf-8")


def path_of(item: Item) -> Path:
    """Return the path of an item's record."""
    return EVIDENCE / (re.sub(r"[^a-z0-9.]+", "-", item.title.lower()) + ".json")


def recorded() -> dict[str, dict[str, Any]]:
    """Return all records, by the title of their item, in the order of the papers."""
    found = {item.title: path_of(item) for item in items()}
    return {title: json.loads(path.read_bytes()) for title, path in found.items() if path.exists()}


def page(records: dict[str, dict[str, Any]]) -> str:
    """Return the documentation of the results.

    Args:
        records: Output of `recorded`.
    """
    parts = [
        "# The papers, measured again",
        "What `hf-toedit reproduce` found at `--scale tiny`, written by `make evidence`. These are small models and "
        "little text: *yes* and *no* say whether the claim holds in this setting, and each item says how it differs "
        "from the paper's. [theory.md](theory.md) explains the theorems, and says [which versions](theory.md#versions) "
        "of the papers have these names.",
    ]
    if missing := [item.title for item in items() if item.title not in records]:
        parts.append(f"Not recorded yet: {', '.join(map(markdown, missing))}.")
    for arxiv in dict.fromkeys(record["paper"]["arxiv"] for record in records.values()):
        own = [record for record in records.values() if record["paper"]["arxiv"] == arxiv]
        rows = [(Markdown(f"[{markdown(one['name'])}](#{_anchor(one)})"), Markdown(f"**{one['holds']}**"),
                 markdown(one["claim"])) for one in own]  # fmt: skip
        parts += [f"## {markdown(own[0]['paper']['title'])}", table(("item", "holds here", "claim"), rows, left=3)]
        for one in own:
            renamed = f" ({markdown(one['renamed'])})" if one["renamed"] else ""
            parts += [f'<a id="{_anchor(one)}"></a>\n\n### {markdown(one["name"])}{renamed}', *_section(one)]
    return "\n\n".join(parts) + "\n"


def _section(record: dict[str, Any]) -> list[str]:
    parts = [
        f"> {markdown(record['claim'])}",
        f"**{record['holds'].capitalize()}:** {markdown(record['reason'])}",
        markdown(record["differs"]),
    ]
    for one in record["tables"]:
        columns = list(one["rows"][0])
        rows = [[cell_text(row[name]) for name in columns] for row in one["rows"]]
        if len(record["tables"]) > 1:
            parts.append(f"**{markdown(one['title'])}**")
        parts.append(table(columns, rows, left=sum(isinstance(one["rows"][0][name], str) for name in columns)))
    how = f"seed {record['seed']}, {record['seconds']:,.0f} s on {record['machine']}"
    parts.append(f"{code(record['command'])}: {markdown(how)}.")
    return parts


def _anchor(record: dict[str, Any]) -> str:
    return re.sub(r"[^a-z0-9]+", "-", f"{record['paper']['arxiv']} {record['name']}".lower())


if __name__ == "__main__":
    main(sys.argv[1:])
