"""Where a run comes from, in words: its source, its prior, how it was edited, by which command, under which licence."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

from hf_toedit.cards.data import CardData
from hf_toedit.cards.escape import Markdown, code, markdown, shell, url
from hf_toedit.cards.method import rule_in, sampler_in
from hf_toedit.config import URL_LIST
from hf_toedit.runs.plan import Plan
from hf_toedit.stats import decimal

_HUB = "https://huggingface.co"
_LOCAL_PATH = re.compile(r"(?:^|(?<==)|(?<=^urls:))(?:file://|~|\.{0,2}/)")
_SEPARATOR = re.compile(r"[/\\]")


def source_name(data: CardData) -> str:
    """What to call the source: as its card does, or by its Hub id, or by the last part of its path."""
    pretty = data.plan.provenance.get("source_card", {}).get("pretty_name")
    return str(pretty or data.source_repo or _last_part(_place(data.plan.source.source).removeprefix(URL_LIST)))


def title(data: CardData) -> str:
    """Of the dataset."""
    return f"{source_name(data)}, edited with ToEdit"


def prior_words(data: CardData) -> Markdown:
    """The prior, with a link where it is on the Hub."""
    if data.prior_repo:
        return _link(data.prior_repo, f"{_HUB}/{url(data.prior_repo)}")
    if data.plan.prior.prior == "embedded":
        return Markdown("the embedded prior of hf-toedit")
    return code(_last_part(data.plan.prior.prior))


def method_words(plan: Plan) -> str:
    """What was done with which tokens, as the end of a sentence."""
    edit, rule, sampler = plan.edit, rule_in(plan), sampler_in(plan)
    excluded = ", the token that was there excluded" if edit.exclude_original else ""
    done = []
    if rule.selects:
        done.append(f"tokens {rule.describe_in_sentence()} were drawn again from {sampler.describe()}{excluded}")
    if edit.drop_below is not None:
        done.append(f"tokens with a probability below {decimal(edit.drop_below)} were deleted")
    return ", and ".join(done) or "no token was selected"


def origin_rows(data: CardData) -> Iterator[tuple[str, Markdown]]:
    """Everything that decides the result, each with its name."""
    plan, source, edit = data.plan, data.plan.source, data.plan.edit
    if data.source_repo:
        place = _link(data.source_repo, f"{_HUB}/datasets/{url(data.source_repo)}/tree/{url(plan.source_revision)}")
        yield "source", Markdown(f"{place} @ {code(plan.source_revision)}")
        if "://" in source.source:
            yield "list of its files" if source.source.startswith(URL_LIST) else "path in it", code(source.source)
    else:
        yield "source", Markdown(f"{code(_place(source.source))}, fingerprint {code(plan.source_revision)}")
    yield from _given(
        {
            "configuration": source.config_name,
            "split": source.split,
            "rows of each split, at most": source.limit,
            "columns": source.columns,
        }
    )
    yield from _given(
        {"edited conversations": source.messages_column, "of the roles": source.roles}
        if source.messages_column
        else {"edited texts": source.text_columns, "read before them as context": source.context_columns}
    )
    pinned = " @" if data.prior_repo else ", fingerprint"
    yield "prior", Markdown(f"{prior_words(data)}{pinned} {code(plan.prior_revision)}, in {markdown(plan.prior.dtype)}")
    yield from _given(
        {
            "run by": "vLLM" if plan.prior.backend == "vllm" else None,
            "code of the prior's repository": "was run" if plan.prior.trust_remote_code else None,
        }
    )
    rule, sampler = rule_in(plan), sampler_in(plan)
    if not rule.selects:
        yield "selected", markdown("no token")
    else:
        yield "selected", markdown(rule.describe())
        yield from _given({"selection rule": edit.own.get("select"), "sampler": edit.sampler})
        yield from _given({name.replace("_", " "): getattr(edit, name) for name in sampler.settings})
        yield "the token that was there", markdown("never drawn" if edit.exclude_original else "may be drawn")
    yield from _given({"deleted below p": edit.drop_below, "protected": edit.protect})
    yield "seed", markdown(edit.seed)
    yield "generations", markdown(plan.run.generations)
    yield from _given({"edit log in column": plan.run.edit_log_column})
    versions = {"Python": plan.provenance.get("python"), **plan.provenance.get("versions", {})}
    yield "hf-toedit", markdown(plan.version)
    told = [f"{name} {version}" for name, version in versions.items() if version and name != "hf-toedit"]
    if told:
        yield "versions", markdown(", ".join(told))


def command(data: CardData) -> str | None:
    """What was typed, with the folders of local paths left out; None where it is not known."""
    typed = data.plan.provenance.get("command")
    if not typed:
        return None
    try:
        words = shlex.split(typed)
    except ValueError:  # a secret that was taken out held a quotation mark
        words = typed.split()
    local = set() if data.prior_repo else {data.plan.prior.prior}
    local |= set() if data.source_repo else {data.plan.source.source}
    return shell(_place(word) if word in local else _shortened(word) for word in words)


def prints_fingerprints(data: CardData) -> bool:
    """Whether the command, with `--dry-run --json`, prints the fingerprints of this card for a copy of the source."""
    typed = str(data.plan.provenance.get("command") or "")
    by_content = any(isinstance(file.stamp, str) for file in data.plan.files)
    return by_content and typed.startswith(("hf-toedit edit ", "hf-toedit plan "))


def license_link(data: CardData) -> Any:
    """Where the licence of the source can be read; a file that lies beside it is named by its address."""
    link = data.plan.provenance.get("source_card", {}).get("license_link")
    if isinstance(link, str) and data.source_repo and "://" not in link:
        return f"{_HUB}/datasets/{url(data.source_repo)}/blob/{url(data.plan.source_revision)}/{url(link)}"
    return link


def license_words(card: dict[str, Any], link: Any = None) -> Markdown | None:
    """The licence that a card names, with its link; None where it names none."""
    names = card.get("license")
    if not names or names == "unknown" or (names == "other" and not (card.get("license_name") or link)):
        return None
    told = ", ".join(names) if isinstance(names, list) else str(names)
    if card.get("license_name"):
        told += f" ({card['license_name']})"
    if isinstance(link, str) and re.fullmatch(r"https?://[\w./%~:?=+,-]+", link):
        return _link(told, link)
    return markdown(told)


def _given(values: dict[str, Any]) -> Iterator[tuple[str, Markdown]]:
    """Those that were set; several of one kind side by side."""
    for name, value in values.items():
        if isinstance(value, tuple):
            if value:
                yield name, Markdown(", ".join(code(item) for item in value))
        elif value is not None:
            yield name, code(value) if isinstance(value, str) else markdown(decimal(value))


def _link(words: str, address: str) -> Markdown:
    return Markdown(f"[{markdown(words)}]({address})")


def _place(name: str) -> str:
    """A source or a prior: of a path on this machine the last part, of an address all but its query."""
    if "://" in name and not name.startswith("file://"):
        return name.partition("?")[0]
    prefix = URL_LIST if name.startswith(URL_LIST) else ""
    return prefix + _last_part(name.removeprefix(prefix))


def _last_part(path: str) -> str:
    return next((part for part in reversed(_SEPARATOR.split(path)) if part), path)


def _shortened(word: str) -> str:
    """A word of a command; of a path on this machine only the last part."""
    found = _LOCAL_PATH.search(word)
    return word if found is None else word[: found.start()] + _last_part(word[found.start() :])
