"""A hook of MkDocs: examples in the help of a command keep their lines."""

from __future__ import annotations

import re
from typing import Any

_EXAMPLES = re.compile(r"<p>(Examples?):\n((?: {2}.*\n?)+?)</p>")


def on_page_content(html: str, **_: Any) -> str:
    """Turn the paragraphs that mkdocs-click makes of examples into blocks of code."""
    return _EXAMPLES.sub(_block, html)


def _block(match: re.Match[str]) -> str:
    lines = "\n".join(line.removeprefix("  ") for line in match[2].rstrip().splitlines())
    return f'<p><strong>{match[1]}:</strong></p>\n<div class="highlight"><pre><code>{lines}</code></pre></div>'
