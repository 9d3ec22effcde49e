"""Merging of a generated section into a README; text and metadata that people wrote are kept."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import yaml

from hf_toedit.cards.escape import url
from hf_toedit.errors import RunError
from hf_toedit.front_matter import check_bounded

_FRONT_MATTER = re.compile(r"\A\s*---[ \t]*\r?\n(?P<yaml>.*?)^---[ \t]*\r?(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_FENCE = re.compile(r"\A\s*---[ \t]*\r?(?:\n|\Z)")
_WROTE = re.compile(r"(?m)^<!-- hf-toedit:wrote (.*) -->\r?$")
_BY_NAME = ("configs", "dataset_info")
"""Keys that hold a list of entries, each with a `config_name`."""


def merged(existing: str | None, metadata: Mapping[str, Any], section: str, name: str, title: str) -> str:
    """Return a README with its generated section and its metadata brought up to date.

    Text outside the section is kept. A metadata key is set if it is missing, or if its value is unchanged since the
    last section wrote it; tags are united, configurations merged by name.

    Args:
        existing: The existing README; None or blank for none.
        metadata: New values for the front matter.
        section: The section, in Markdown.
        name: Name of the section, so that one README can hold several; may be empty.
        title: Markdown to put before a new section.

    Raises:
        RunError: The README cannot be parsed.
    """
    text, old, body = _split((existing or "").removeprefix("\ufeff"))
    before, wrote, after = _around(body, name)
    new, written = _united(old, metadata, wrote or {})
    marker = f" {url(name)}" if name else ""
    record = " ".join(f"{url(key)}={written[key]}" for key in sorted(written))
    if wrote is None:
        before = f"{before.rstrip()}\n\n{title}\n\n".lstrip()
    lines = [
        f"{before}<!-- hf-toedit:begin{marker} -->",
        f"<!-- hf-toedit:wrote {record} -->\n",
        f"{section.strip()}\n",
        f"<!-- hf-toedit:end{marker} -->{after}",
    ]
    return f"---\n{_rewritten(text, old, new)}---\n\n" + "\n".join(lines).lstrip()


def _split(existing: str) -> tuple[str, dict[str, Any], str]:
    """Return the front matter as text, the front matter as values, and the text after it."""
    found = _FRONT_MATTER.match(existing)
    if found is None:
        if _FENCE.match(existing):
            raise _broken("its front matter has no end")
        return "", {}, existing
    try:
        values = yaml.safe_load(found["yaml"])
        check_bounded(values)
    except RecursionError as error:
        raise _broken("its front matter is nested too deeply") from error
    except (yaml.YAMLError, ValueError) as error:
        raise _broken(f"its front matter is not valid YAML ({' '.join(str(error).split())})") from error
    if not isinstance(values, dict) and values is not None:
        raise _broken("its front matter is not a mapping of keys to values")
    return found["yaml"], values or {}, existing[found.end() :]


def _around(body: str, name: str) -> tuple[str, dict[str, str] | None, str]:
    """Return the text before and after a section, and the hashes that the section records of the metadata it wrote."""
    marker = re.escape(f" {url(name)}" if name else "")
    begin = re.search(rf"(?m)^<!-- hf-toedit:begin{marker} -->\r?$", body)
    if begin is None:
        return body, None, "\n"
    end = re.compile(rf"(?m)^<!-- hf-toedit:end{marker} -->").search(body, begin.end())
    if end is None:
        raise _broken(f"the line {begin[0].strip()} has no end that belongs to it")
    found = _WROTE.search(body, begin.end(), end.start())
    pairs = (pair.rpartition("=") for pair in found[1].split()) if found else ()
    return body[: begin.start()], {key: digest for key, _, digest in pairs}, body[end.end() :]


def _united(
    old: Mapping[str, Any], ours: Mapping[str, Any], wrote: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the metadata of both, and hashes of the values that are ours."""
    new = dict(old)
    written: dict[str, str] = {}
    for key in dict.fromkeys([*ours, *(key for key in wrote if "/" not in key)]):
        before = wrote.get(key)
        if key in _BY_NAME:
            new[key] = _by_name(key, old.get(key), ours[key], wrote, written)
        elif key == "tags":
            tags = old.get(key) or []
            tags = tags if isinstance(tags, list) else [tags]
            tags = [*tags, *(tag for tag in ours[key] if tag not in tags and f"{key}/{url(tag)}" not in wrote)]
            if tags or key in old:
                new[key] = tags
            written |= {f"{key}/{tag}": _digest(tag) for tag in ours[key]}
        elif key not in old:
            if before is None:
                new[key] = ours[key]
                written[key] = _digest(ours[key])
            else:
                written[key] = before  # a person removed it
        elif before == _digest(old[key]):
            if key in ours:
                new[key] = ours[key]
                written[key] = _digest(ours[key])
            else:
                del new[key]
    return new, written


def _by_name(
    key: str, old: Any, ours: list[dict[str, Any]], wrote: Mapping[str, str], written: dict[str, str]
) -> list[dict[str, Any]] | dict[str, Any]:
    """Merge entries by `config_name`: ours replace those of the same name, except configurations changed by hand."""
    entries = [] if old is None else [old] if isinstance(old, dict) and key == "dataset_info" else old
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise _broken(f"its {key!r} is not a list of mappings")
    mine = {entry["config_name"]: entry for entry in ours}
    theirs: dict[str, dict[str, Any]] = {}
    for entry in entries:
        name = _name(entry)
        before = wrote.get(url(f"{key}/{name}"))
        if before is None and name not in mine:
            theirs[name] = entry
        elif before is not None and key == "configs" and before != _digest(entry):
            theirs[name] = entry
            written[f"{key}/{name}"] = before
    mine = {name: entry for name, entry in mine.items() if name not in theirs}
    if any(entry.get("default") or name == "default" for name, entry in theirs.items()):
        mine = {name: {k: v for k, v in entry.items() if k != "default"} for name, entry in mine.items()}
    written |= {f"{key}/{name}": _digest(entry) for name, entry in mine.items()}
    both = {**theirs, **mine}
    names = dict.fromkeys([*(_name(entry) for entry in entries if _name(entry) in both), *both])
    if key == "dataset_info" and len(names) == 1:
        return both[next(iter(names))]  # the form in which `datasets` writes a single entry
    return [{"config_name": name, **both[name]} for name in names]


def _name(entry: Mapping[str, Any]) -> str:
    return str(entry.get("config_name", "default"))


def _rewritten(text: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Return front matter with new values; unchanged keys keep their layout and comments."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    if node is None:
        return text.lstrip() + _dump(new)
    if not isinstance(node, yaml.MappingNode) or node.flow_style or len(node.value) != len(old):
        return _dump(new)
    starts = [key.start_mark.index for key, _ in node.value] + [len(text)]
    pieces = [text[: starts[0]]]
    for key, start, stop in zip(old, starts, starts[1:], strict=False):
        piece = text[start:stop]
        if key in new and new[key] == old[key]:
            pieces.append(piece)
        else:
            comments = re.search(r"(?m)(?:^[ \t]*(?:#.*)?\r?\n)*\Z", piece)
            pieces += [_dump({key: new[key]}) if key in new else "", comments[0] if comments else ""]
    added = {key: value for key, value in new.items() if key not in old}
    rewritten = "".join(pieces) + (_dump(added) if added else "")
    try:
        return rewritten if yaml.safe_load(rewritten) == new else _dump(new)
    except yaml.YAMLError:  # a reference to a removed anchor
        return _dump(new)


def _dump(values: Mapping[str, Any]) -> str:
    """Dump YAML without invisible characters."""
    text = yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True)
    if all(line.isprintable() for line in text.split("\n")):
        return text
    return yaml.safe_dump(dict(values), sort_keys=False)


def _digest(value: Any) -> str:
    return hashlib.sha256(yaml.safe_dump(value).encode()).hexdigest()[:8]


def _broken(reason: str) -> RunError:
    return RunError(
        f"the existing README.md cannot be kept: {reason}. Fix it, or move it away; it was not overwritten."
    )
