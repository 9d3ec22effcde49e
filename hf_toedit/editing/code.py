"""Code and markup in a text: in backticks, in tables, and lines that look like code without any marks."""

from __future__ import annotations

import re

from hf_toedit.protect import protect_regex

_MARKED = protect_regex("code")
_LINE = re.compile(r"[^\n]+")
_TABLE = re.compile(r"[ \t]*\|.*\|[ \t]*")
_BEGIN = re.compile(
    r"""[ \t]*(?:
      [}\])]+[;,)]*(?:[ \t]|\Z)                                                 # what closes a block,
    | [\w.]+(?:\[[^\]]*\]|\([^)]*\))?[ \t]*(?:[-+*/%&|^:]|<<|>>|\|\||&&)?=(?!=)[ \t]*\S    # an assignment,
    | (?:const|let|var|val|auto|static|public|private|protected)[ \t][^=({]*[=({]    # a declaration,
    | (?:async[ \t]+)?(?:def|class|function|func|fn)[ \t]+\w+[ \t]*[(:{]            # a definition,
    | (?:from[ \t]+[\w.]+[ \t]+)?import[ \t]+[\w.*{}, ]+(?:(?<=[ \t])(?:as|from)[ \t].*)?;?\Z   # an import,
    | \#[ \t]*(?:include|define|ifdef|ifndef|endif|pragma)\b | \#!               # a directive,
    | @\w+(?:\.\w+)*(?:\(.*\))?\Z | >>>[ \t] | \$[ \t]\S                       # a decorator, a prompt,
    | \\\w+\*?(?:\[[^\]]*\])?\{[^}]*\}                                         # a command of LaTeX,
    | [A-Za-z_][\w.]+\((?!e?s\))[^)]*\)+\Z                                      # or a call, and nothing else;
    ) | [ \t]+(?:                                                               # in a body,
      (?:if|elif|else|for|while|with|try|except|finally|switch|case)\b.*[:{]\Z   # a part of it,
    | (?:return|raise|yield|await|assert|break|continue|pass)\b                 # or a keyword that ends one
    )""",
    re.VERBOSE | re.ASCII,
)
"""Beginnings of lines of code that hardly any line of prose has."""

_STATEMENT = re.compile(r"\w\(|[={}\[\]<>]")
_TAGS = re.compile(r"[ \t]*</?[A-Za-z][^<>]*>(?:.*>)?")
_COMMENT = re.compile(r"[ \t]*(?://|\#|/\*|\*|--|\"\"\"|''')")


def code(text: str) -> list[tuple[int, int]]:
    """Return the first character of each span of code or markup, and one past its last; ascending, not overlapping.

    Spans are code in backticks and fences, rows of Markdown tables, and blocks of lines without a blank line in which
    at least half of the lines, comments aside, look like code.
    """
    spans = [match.span() for match in _MARKED.finditer(text)]
    block: list[tuple[int, int]] = []
    for line in _LINE.finditer(text):
        if not line.group().strip():
            continue
        if _TABLE.fullmatch(line.group()):
            spans.append(line.span())
        if block and text[block[-1][1] : line.start()].count("\n") > 1:
            spans += _if_code(text, block)
            block = []
        block.append(line.span())
    spans += _if_code(text, block)
    return _joined(spans)


def _if_code(text: str, block: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return a block of lines as a span, if it is code."""
    lines = [text[start:end].rstrip() for start, end in block]
    said = [line for line in lines if not _COMMENT.match(line)]
    if said and 2 * sum(map(_reads_as_code, said)) >= len(said):
        return [(block[0][0], block[-1][1])]
    return []


def _reads_as_code(line: str) -> bool:
    """Whether a line, without trailing spaces, looks like code, by its end or its beginning."""
    if line.endswith("{") or (line.endswith(";") and _STATEMENT.search(line)):
        return True
    if line.endswith(">") and _TAGS.fullmatch(line):
        return True
    return _BEGIN.match(line) is not None


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if found and start < found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found
