"""A self-contained HTML page that makes no network requests."""

from __future__ import annotations

import base64
import hashlib

from hf_toedit.cards.escape import html


def page(title: str, css: str, body: str, javascript: str = "", *, mark: str = "", classes: str = "") -> str:
    """Return an HTML page with a content security policy that loads nothing and allows only its own style and script.

    Args:
        title: Title; any text.
        css: Style sheet.
        body: HTML without `style` attributes; pictures are `data:` URLs.
        javascript: Script.
        mark: Comment after the document type, by which its files can be recognized.
        classes: Classes of the root element.
    """
    sources = [f"style-src '{_digest(css)}'"]
    if javascript:
        sources.append(f"script-src '{_digest(javascript)}'")
    if 'src="data:' in body:
        sources.append("img-src data:")
    policy = f"default-src 'none'; {'; '.join(sources)}; base-uri 'none'; form-action 'none'"
    begins = "<!DOCTYPE html>" + (f"\n<!-- {mark} -->" if mark else "")
    root = f' class="{classes}"' if classes else ""
    return (
        f'{begins}\n<html lang="en"{root}>\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html(title)}</title>\n<style>{css}</style>\n</head>\n"
        f"<body>\n{body}" + (f"<script>{javascript}</script>\n" if javascript else "") + "</body>\n</html>\n"
    )


def _digest(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
