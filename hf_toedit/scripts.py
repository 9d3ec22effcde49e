"""What the scripts of `dataset_scripts/` share: a recipe for a named dataset becomes a command of its own."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import click

from hf_toedit.cli.edit import edit
from hf_toedit.cli.help import Command
from hf_toedit.cli.main import Commands, cli
from hf_toedit.cli.options import SOURCE_LICENSE


@dataclass(frozen=True)
class Recipe:
    """How a dataset is edited, as far as the command line does not say otherwise.

    Attributes:
        name: of the script, without its ending; `uv run` gives a script from a URL another file name each time.
        source: as `hf-toedit edit` takes it, where `{config_name}` stands for what `--config-name` says; None leaves it
            to the command line.
        license: of the source, for the card, where the source's own card tells none.
        options: defaults of options of `hf-toedit edit`, by their names with underscores.
    """

    name: str
    source: str | None = None
    license: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


def main(recipe: Recipe, doc: str | None) -> None:
    """Run a script: `hf-toedit edit` with the source and the defaults of a recipe.

    Args:
        recipe: of the dataset; the run folder is named after it, unless `-o` names one.
        doc: docstring of the script, which is its help text.
    """
    name = f"{recipe.name}.py"
    defaults = {"output": f"{recipe.name.replace('_', '-')}-run", **recipe.options}
    # As a command of a group, so that it fails, and reads YAML files, like the others; `uv run` is how it is typed.
    group = Commands("uv run", commands={**cli.commands, name: _command(recipe, name, doc)})
    group.context_settings = cli.context_settings
    group.main([name, *sys.argv[1:]], prog_name="uv run", default_map={name: defaults})


def _command(recipe: Recipe, name: str, doc: str | None) -> click.Command:
    """`edit`, without its argument where the source is given."""

    def run(source: str | None = None, **options: Any) -> None:
        if recipe.source is not None:
            source = recipe.source.format(config_name=options["config_name"])
            if source != recipe.source:
                options["config_name"] = None
        if recipe.license is not None:
            click.get_current_context().meta[SOURCE_LICENSE] = recipe.license
        assert edit.callback is not None
        edit.callback(source=source, **options)

    params = [param for param in edit.params if recipe.source is None or param.name != "source"]
    paragraphs = (doc or "").strip().split("\n\n")
    return Command(name, params=params, callback=run, help="\n\n".join(f"\b\n{text}" for text in paragraphs))
