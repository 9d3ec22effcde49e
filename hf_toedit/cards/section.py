"""Parts shared by all card sections: templates, pictures and loading code."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from hf_toedit.cards.data import CardData
from hf_toedit.cards.escape import Markdown, code, fenced, html, literal, markdown
from hf_toedit.cards.origin import command, license_link, license_words, prints_fingerprints, source_name
from hf_toedit.stats import decimal

ASSETS = "assets"

WIDTH = 800
"""Width of a picture on a page in pixels; the file has twice as many."""


@cache
def template(name: str) -> Template:
    """Return one of the templates in `templates/`."""
    environment = Environment(
        loader=PackageLoader("hf_toedit.cards"),
        autoescape=False,  # `finalize` escapes, for Markdown
        finalize=markdown,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    return environment.get_template(f"{name}.md.jinja")


def shared(data: CardData) -> dict[str, Any]:
    """Return the variables that all section templates have in common, including those of included templates.

    `licence.md.jinja` also needs `model_role`: the role of the model, in words; empty for no model.
    """
    plan, typed = data.plan, command(data)
    source_card, model_card = (plan.provenance.get(name, {}) for name in ("source_card", "prior_card"))
    return {
        "data": data,
        "plan": plan,
        "h": Markdown("###" if data.prefix else "##"),
        "source": source_name(data),
        "load": fenced(load_snippet(data), "python"),
        "config_names": [code(data.config_name(pass_)) for pass_ in plan.data_passes],
        "splits": [code(split) for split in plan.splits],
        "command": typed and fenced(typed, "bash"),
        "prints_fingerprints": prints_fingerprints(data),
        "prints_prior": "prior_revision" in plan.task.revisions,
        "source_license": license_words(source_card, license_link(data)),
        "model_license": license_words(model_card, model_card.get("license_link")),
        "image": lambda name, words: image(data, name, words),
        "code": code,
        "decimal": decimal,
    }


def image(data: CardData, name: str, words: str) -> Markdown:
    """Return a picture of the card.

    Args:
        data: The card data.
        name: Name of the file.
        words: Alternative text.
    """
    source = data.link(f"{ASSETS}/{name}")
    return Markdown(f'<p><img src="{source}" width="{WIDTH}" alt="{html(words)}"></p>')


def load_snippet(data: CardData) -> str:
    """Return Python code that loads the last pass of a run, and the first one if there are several."""
    passes = data.plan.data_passes
    place, configs = literal(data.place), [data.config_name(pass_) for pass_ in passes]
    named = f", {literal(configs[-1])}" if data.prefix else ""
    split = literal(data.plan.splits[0])
    several = len(passes) > 1
    lines = [
        "from datasets import load_dataset",
        "",
        f"dataset = load_dataset({place}{named})" + (f"  # {passes[-1].title}" if several else ""),
        f"rows = load_dataset({place}{named}, split={split}, streaming=True)  # row by row",
    ]
    if several:
        lines.append(f"first = load_dataset({place}, {literal(configs[0])})  # {passes[0].title}")
    return "\n".join(lines)


def sentence(parts: list[str]) -> str:
    """Join parts into one sentence."""
    shown = "; ".join(parts)
    return f"{shown[:1].upper()}{shown[1:]}."
