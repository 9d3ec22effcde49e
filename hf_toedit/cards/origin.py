"""The origin of a run, in words: source, model, command and licence."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

from hf_toedit.cards.data import CardData
from hf_toedit.cards.escape import Markdown, code, markdown, shell, url
from hf_toedit.config import URL_LIST, PriorConfig
from hf_toedit.priors.names import ModelName
from hf_toedit.stats import decimal

HUB = "https://huggingface.co"

_OF_THE_MACHINE = {"--quiet": 0, "-q": 0, "--json": 0, "--workers": 1, "--token-budget": 1, "--memory-fraction": 1}
"""Options that do not affect the output, with the number of arguments of each."""

_LOCAL_PATH = re.compile(r"(?:^|(?<==)|(?<=^urls:))(?:file://|~|\.{0,2}/)")
_SEPARATOR = re.compile(r"[/\\]")


def source_name(data: CardData) -> str:
    """Return the source's name: its title from its card, its Hub id, or the last part of its path."""
    pretty = data.plan.provenance.get("source_card", {}).get("pretty_name")
    return str(pretty or data.source_repo or _last_part(place_name(data.plan.source.source).removeprefix(URL_LIST)))


def title(data: CardData, words: str) -> str:
    """Return the title of the dataset.

    Args:
        data: The card data.
        words: What was done to the source.
    """
    return f"{source_name(data)}, {words}"


def model_words(data: CardData) -> Markdown:
    """Return the model that the task needs, with a link if it is on the Hub."""
    model = data.plan.task.model
    if data.model_repo:
        return _link(data.model_repo, f"{HUB}/{url(data.model_repo)}")
    if model is None:
        return Markdown("no model")
    if model.name == "embedded":
        return Markdown("the embedded prior of hf-toedit")
    return code(model_name(model))


def model_name(model: ModelName) -> str:
    """Return a model's Hub id, or the last part of a local path."""
    return model.name if model.commit else _last_part(model.name)


def pinned_model(data: CardData, revision: str, dtype: str) -> Markdown:
    """Return the model that the task needs, with its revision or fingerprint and the dtype of its weights."""
    pinned = " @" if data.model_repo else ", fingerprint"
    return Markdown(f"{model_words(data)}{pinned} {code(revision)}, in {markdown(dtype)}")


def prior_rows(data: CardData, prior: PriorConfig, revision: str) -> Iterator[tuple[str, Markdown]]:
    """Yield the settings of the prior, with their names."""
    yield "prior", pinned_model(data, revision, prior.dtype)
    yield from given(
        {
            "run by": "vLLM" if prior.backend == "vllm" else None,
            "code of the prior's repository": "was run" if prior.trust_remote_code else None,
        }
    )


def source_rows(data: CardData) -> Iterator[tuple[str, Markdown]]:
    """Yield which rows and texts were used, as setting names and values."""
    plan, source, done = data.plan, data.plan.source, data.plan.task.done
    if data.source_repo:
        place = _link(data.source_repo, f"{HUB}/datasets/{url(data.source_repo)}/tree/{url(plan.source_revision)}")
        yield "source", Markdown(f"{place} @ {code(plan.source_revision)}")
        if "://" in source.source:
            yield "list of its files" if source.source.startswith(URL_LIST) else "path in it", code(source.source)
    else:
        yield "source", Markdown(f"{code(place_name(source.source))}, fingerprint {code(plan.source_revision)}")
    yield from given(
        {
            "configuration": source.config_name,
            "split": source.split,
            "rows of each split, at most": source.limit,
            "columns": source.columns,
        }
    )
    yield from given(
        {f"{done} conversations": source.messages_column, "of the roles": source.roles}
        if source.messages_column
        else {f"{done} texts": source.text_columns, "read before them as context": source.context_columns}
    )


def version_rows(data: CardData) -> Iterator[tuple[str, Markdown]]:
    """Yield the versions of the software."""
    plan = data.plan
    versions = {"Python": plan.provenance.get("python"), **plan.provenance.get("versions", {})}
    yield "hf-toedit", markdown(plan.version)
    parts = [f"{name} {version}" for name, version in versions.items() if version and name != "hf-toedit"]
    if parts:
        yield "versions", markdown(", ".join(parts))


def command(data: CardData) -> str | None:
    """Return the command, without local folders and machine-specific options; None if unknown."""
    typed = data.plan.provenance.get("command")
    if not typed:
        return None
    try:
        words = shlex.split(typed)
    except ValueError:  # a removed secret contained a quotation mark
        words = typed.split()
    model = data.plan.task.model
    local = {model.name} if model and not data.model_repo else set()
    local |= set() if data.source_repo else {data.plan.source.source}
    return shell(place_name(word) if word in local else shortened(word) for word in _deciding(words))


def _deciding(words: list[str]) -> Iterator[str]:
    """Yield the words of a command without those of `_OF_THE_MACHINE`."""
    rest = iter(words)
    for word in rest:
        name, is_given, _ = word.partition("=")
        if name not in _OF_THE_MACHINE:
            yield word
        elif not is_given:
            for _ in range(_OF_THE_MACHINE[name]):
                next(rest, None)


def prints_fingerprints(data: CardData) -> bool:
    """Whether the command with `--dry-run --json` prints the fingerprints of this card for a copy of the source."""
    typed = str(data.plan.provenance.get("command") or "")
    by_content = any(isinstance(file.stamp, str) for file in data.plan.files)
    commands = ("edit", "generate", "plan", "score")
    return by_content and typed.startswith(tuple(f"hf-toedit {name} " for name in commands))


def license_link(data: CardData) -> Any:
    """Return the link to the source's licence; a file beside the source becomes its full address."""
    link = data.plan.provenance.get("source_card", {}).get("license_link")
    if isinstance(link, str) and data.source_repo and "://" not in link:
        return f"{HUB}/datasets/{url(data.source_repo)}/blob/{url(data.plan.source_revision)}/{url(link)}"
    return link


def license_words(card: dict[str, Any], link: Any = None) -> Markdown | None:
    """Return the licence of a card, with its link; None if it has none."""
    names = card.get("license")
    if not names or names == "unknown" or (names == "other" and not (card.get("license_name") or link)):
        return None
    parts = ", ".join(names) if isinstance(names, list) else str(names)
    if card.get("license_name"):
        parts += f" ({card['license_name']})"
    if isinstance(link, str) and re.fullmatch(r"https?://[\w./%~:?=+,-]+", link):
        return _link(parts, link)
    return markdown(parts)


def given(values: dict[str, Any]) -> Iterator[tuple[str, Markdown]]:
    """Yield the settings that have a value; tuples become lists."""
    for name, value in values.items():
        if isinstance(value, tuple):
            if value:
                yield name, Markdown(", ".join(code(item) for item in value))
        elif value is not None:
            yield name, code(value) if isinstance(value, str) else markdown(decimal(value))


def _link(words: str, address: str) -> Markdown:
    return Markdown(f"[{markdown(words)}]({address})")


def place_name(name: str) -> str:
    """Return the name of a source or a prior: the last part of a local path, or an address without its query."""
    if "://" in name and not name.startswith("file://"):
        return name.partition("?")[0]
    prefix = URL_LIST if name.startswith(URL_LIST) else ""
    return prefix + _last_part(name.removeprefix(prefix))


def _last_part(path: str) -> str:
    return next((part for part in reversed(_SEPARATOR.split(path)) if part), path)


def shortened(word: str) -> str:
    """Shorten a local path, also at the end of a word of a command, to its last part."""
    found = _LOCAL_PATH.search(word)
    return word if found is None else word[: found.start()] + _last_part(word[found.start() :])
