"""A hook of MkDocs: files such as CONTRIBUTING.md are pages of the site, without a second copy."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

_INCLUDE = re.compile(r'--8<-- "([\w/]+\.md)"\n')
_NESTED = re.compile(r"^ {2}(?=- )", re.MULTILINE)


def on_page_markdown(markdown: str, config: Any, **_: Any) -> str:
    """Put the file in place of its name; lists in lists are indented by four spaces, as Python-Markdown reads them."""
    include = _INCLUDE.fullmatch(markdown)
    if include is None:
        return markdown
    text = Path(config.config_file_path).parent.joinpath(include[1]).read_text(encoding="utf-8")
    return _NESTED.sub("    ", text)
