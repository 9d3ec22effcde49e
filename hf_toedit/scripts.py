"""Shared code of the scripts in `dataset_scripts/`: turns a recipe for a dataset into a command."""

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
    """How a dataset is edited, unless the command line overrides it.

    Attributes:
        name: Name of the script without its suffix; `uv run` gives a script from a URL a different file name each time.
        source: Source as for `hf-toedit edit`, where `{config_name}` is replaced by `--config-name`; None leaves it to
            the command line.
        license: Licence of the source for the card, if the source's own card does not state one.
        options: Defaults for options of `hf-toedit edit`, by name with underscores.
    """

    name: str
    source: str | None = None
    license: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


def main(recipe: Recipe, doc: str | None) -> None:
    """Run a script: `hf-toedit edit` with the source and the defaults of a recipe.

    Args:
        recipe: The dataset's recipe; the run folder is named after it, unless `-o` names one.
        doc: The script's docstring, which is its help text.
    """
    name = f"{recipe.name}.py"
    defaults = {"output": f"{recipe.name.replace('_', '-')}-run", **recipe.options}
    # A command of a group, so that it reports errors and reads YAML files like the others. It is typed after `uv run`.
    group = Commands("uv run", commands={**cli.commands, name: _command(recipe, name, doc)})
    group.context_settings = cli.context_settings
    group.main([name, *sys.argv[1:]], prog_name="uv run", default_map={name: defaults})


def _command(recipe: Recipe, name: str, doc: str | None) -> click.Command:
    """Return `edit` as a command, without its argument if the recipe has a source."""

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
