"""Mixtures of datasets by shares of tokens, as in `hf-toedit mix`."""

from __future__ import annotations

import glob
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from hf_toedit.api.begin import do_by, do_planned
from hf_toedit.api.engine import Workers, local_engine
from hf_toedit.api.mixture import Part, mixture_shards
from hf_toedit.api.named import check_names, source_of
from hf_toedit.api.request import RunRequest, new_folder
from hf_toedit.api.run import Run
from hf_toedit.api.scored import keys_of_rows, sizes_of, step_folder, values_of
from hf_toedit.checked import checked
from hf_toedit.config import Resources, SourceConfig
from hf_toedit.engines.elsewhere import each_done
from hf_toedit.errors import SourceError, UsageError
from hf_toedit.runs.planning import chosen_shards
from hf_toedit.scorers.registry import scorer_config
from hf_toedit.selection.mixture import budgets, check_epochs, check_shares, draw, positions
from hf_toedit.settings import SourceSettings
from hf_toedit.sources.source import open_source
from hf_toedit.tasks.map import MapStats
from hf_toedit.tasks.mix import MixPart, MixTask, PartTask
from hf_toedit.tasks.weigh import WeighTask

if TYPE_CHECKING:
    from datasets import Features
    from typing_extensions import Unpack

    from hf_toedit.api.begin import Engines
    from hf_toedit.runs.plan import Plan
    from hf_toedit.scorers.scorer import ScorerConfig
    from hf_toedit.scorers.statistics import ScoreStats

NAME_COLUMN = "mixed_from"


class MixSettings(SourceSettings, total=False):
    """Keyword arguments of `mix` that apply to all of its datasets."""

    split: str | None


@dataclass(frozen=True)
class MixRequest:
    """Request for a mixture, with checked settings; sources are not opened yet.

    Attributes:
        sources: Settings of the datasets, by name.
        shares: Share of each dataset in the tokens, by name.
        counter: Scorer that counts the tokens of rows.
        tokenizer: Tokenizer of the counter, as named by the user; None counts words.
        num_tokens: Number of tokens of the mixture; None is as many as the datasets allow.
        max_epochs: Maximum number of times that the rows of a dataset may be included.
        name_column: Column with the name of the dataset that a row is from.
        seed: Random seed for the sample and the order.
    """

    sources: Mapping[str, SourceConfig]
    shares: Mapping[str, float]
    counter: ScorerConfig
    tokenizer: str | None
    num_tokens: int | None
    max_epochs: float
    name_column: str
    seed: int


def mix(
    datasets: Mapping[str, tuple[str | PathLike[str], float]],
    folder: str | PathLike[str],
    *,
    num_tokens: int | None = None,
    tokenizer: str | PathLike[str] | None = None,
    max_epochs: float = 1.0,
    name_column: str = NAME_COLUMN,
    seed: int = 0,
    workers: Workers = "auto",
    progress: bool = True,
    **settings: Unpack[MixSettings],
) -> Run[MapStats]:
    """Mix datasets by shares of tokens, shuffled, as `hf-toedit mix` does; an interrupted call is continued.

    Each share is exact to within one row. Columns that not all datasets have are left out.

    Args:
        datasets: Names, each with a source (see `plan`) and its share of the tokens; the shares sum to 1.
        folder: Run folder: a single split `train`, and `toedit/steps` with the rows of the intermediate steps.
        num_tokens: Number of tokens of the mixture; None is as many as the datasets allow.
        tokenizer: Tokenizer that counts tokens: a folder or a Hub id; None counts words.
        max_epochs: Maximum number of times that the rows of a dataset may be in the mixture.
        name_column: New column with the name of the dataset that a row is from.
        seed: Random seed for the sample and the order.
        workers: See `edit`, as for `progress`.
        progress: Show progress bars.
        **settings: Settings of all sources (`split`, `limit`, `columns`) and of their texts (`text_column`,
            `messages_column`, `roles`), as in `plan`.

    Raises:
        UsageError: A dataset has no share, the shares do not sum to 1, a dataset has too few tokens, or a setting is
            out of range.
        SourceError: A source cannot be found or read, or the datasets have no columns in common.
        RunError: The folder cannot be written, or contains another run.

    Examples:
        >>> mix({"human": ("org/web", 0.75), "edited": ("run:gen1", 0.25)}, "mixed")  # doctest: +SKIP
    """
    for name, given in datasets.items():
        if not isinstance(given, tuple | list) or len(given) != 2:
            raise UsageError(
                f'dataset {name!r} is not a source and its share. Write it as "{name}": ("org/web", 0.75), for example.'
            )
    sources = {name: source for name, (source, _) in datasets.items()}
    shares = {name: share for name, (_, share) in datasets.items()}
    how = {"num_tokens": num_tokens, "max_epochs": max_epochs, "name_column": name_column, "seed": seed}
    asked = mix_request(sources, shares, checked(tokenizer, str | None, "tokenizer"), how, settings)
    engines = partial(local_engine, workers, resources=Resources(), progress=progress)
    return mix_rows(asked, checked(folder, str, "folder"), engines, progress)


def mix_request(
    sources: Mapping[str, str | PathLike[str]],
    shares: Mapping[str, float],
    tokenizer: str | None,
    how: Mapping[str, Any],
    given: Mapping[str, Any],
) -> MixRequest:
    """Check the arguments of `mix`.

    Args:
        sources: Sources as named by the user, by name.
        shares: Shares of the tokens, by name.
        tokenizer: Tokenizer that counts tokens.
        how: `num_tokens`, `max_epochs`, `name_column` and `seed`.
        given: Settings of the sources.
    """
    check_shares(shares)
    check_names(sources, "dataset")
    if how["num_tokens"] is not None and how["num_tokens"] < 1:
        raise UsageError(f"--tokens {how['num_tokens']} is out of range: it must be at least 1.")
    if not 0 < how["max_epochs"] < math.inf:
        raise UsageError(f"--max-epochs {how['max_epochs']:g} is out of range: it must be above 0 and finite.")
    counter = scorer_config("length", {"tokenizer": tokenizer} if tokenizer else {})
    origins = {name: source_of(source, given) for name, source in sources.items()}
    return MixRequest(origins, shares, counter, tokenizer, **how)


def mix_rows(
    asked: MixRequest,
    folder: str,
    engines: Engines,
    progress: bool,
    said: tuple[str | None, str | None] = (None, None),
) -> Run[MapStats]:
    """Count tokens, sample rows, write them in the order of the mixture, and merge them.

    Args:
        asked: The mixture.
        folder: Run folder.
        engines: Creates the engine of each task.
        progress: Show progress bars.
        said: The typed command, and the licence of sources whose cards do not state one.
    """
    for source in asked.sources.values():
        new_folder(folder, source)  # refuses a folder with other content before the first step writes there
    parts = _drawn(asked, folder, engines, progress)
    features = _common(asked, {name: part.counted.plan for name, part in parts.items()})
    works = {}
    for name, part in parts.items():
        task = PartTask(name, tuple(features), asked.name_column)
        shards = chosen_shards(part.counted.plan.shards, part.sizes, part.in_order)
        plan = replace(part.counted.plan, task=task, shards=shards)
        works[name] = partial(do_planned, plan, step_folder(folder, f"{name}/rows"), engines, progress)
    laid_out: dict[str, Run[MapStats]] = each_done(works)
    return do_planned(_mixture(asked, folder, parts, laid_out, said), folder, engines, progress)


def _drawn(asked: MixRequest, folder: str, engines: Engines, progress: bool) -> dict[str, Part]:
    """Return the rows of all datasets that go into the mixture."""
    weighing = WeighTask(asked.counter)
    works = {
        name: partial(do_by, RunRequest(source, weighing), step_folder(folder, f"{name}/tokens"), engines, progress)
        for name, source in asked.sources.items()
    }
    counted: dict[str, Run[ScoreStats]] = each_done(works)
    lengths = {name: np.nan_to_num(values_of(run, "num_tokens")).astype(np.int64) for name, run in counted.items()}
    there = {name: int(found.sum()) for name, found in lengths.items()}
    wanted = budgets(asked.shares, there, asked.num_tokens, asked.max_epochs)
    for name, found in lengths.items():
        check_epochs(name, wanted[name] / there[name], int(np.count_nonzero(found)))
    drawn = {name: draw(lengths[name], keys_of_rows(run), wanted[name], asked.seed) for name, run in counted.items()}
    for name, rows in drawn.items():
        if not len(rows.rows):
            more = "--max-epochs or a larger share" if asked.num_tokens is None else "--tokens"
            raise UsageError(f"no row of {name!r} fits into {wanted[name]:,.0f} tokens. Ask for more with {more}.")
    places = positions([len(rows.rows) for rows in drawn.values()], asked.seed)
    return {
        name: Part(run, drawn[name], place, sizes_of(run))
        for (name, run), place in zip(counted.items(), places, strict=True)
    }


def _common(asked: MixRequest, plans: Mapping[str, Plan]) -> Features:
    """Return the columns that all datasets have, with the same type.

    Raises:
        SourceError: There are none, or the texts are not among them.
    """
    if any(asked.name_column in other.reader.features for other in plans.values()):
        raise SourceError(
            f"there is a column {asked.name_column!r} already. Name another one for where a row is from, with "
            f"--name-column."
        )
    (first, plan), *others = plans.items()
    features = plan.reader.features
    common = {
        name: feature
        for name, feature in features.items()
        if all(other.reader.features.get(name) == feature for _, other in others)
    }
    for column in plan.texts.columns(features):
        if column not in common:
            kinds = {name: str(other.reader.features.get(column)) for name, other in plans.items()}
            raise SourceError(
                f"column {column!r} has different types in the datasets: {kinds}. Convert one of them, or mix others."
            )
    return type(features)(common)


def _mixture(
    asked: MixRequest,
    folder: str,
    parts: Mapping[str, Part],
    laid_out: Mapping[str, Run[MapStats]],
    said: tuple[str | None, str | None],
) -> Plan:
    """Return the plan that merges the rows, which are in files in the order of the mixture."""
    from hf_toedit.runs.provenance import provenance

    plans = {name: part.counted.plan for name, part in parts.items()}
    pattern = step_folder(glob.escape(folder), "*/rows/data/part/*.parquet")
    source = SourceConfig(pattern, **_texts(asked))
    opened = open_source(source)
    files = tuple(file for found in opened.splits.values() for file in found)  # of all splits
    common = opened.features
    task = MixTask(
        {
            name: MixPart(
                plans[name].source.source,
                plans[name].source_revision,
                asked.shares[name],
                len(part.drawn.rows),
                part.drawn.num_tokens,
                sum(part.sizes),
                part.drawn.num_tokens_there,
                tuple(column for column in plans[name].reader.features if column not in common),
                ", ".join(_listed(plans[name].provenance["source_card"].get("license", ()))),
            )
            for name, part in parts.items()
        },
        asked.name_column,
        asked.tokenizer,
        asked.seed,
    )
    return replace(
        next(iter(plans.values())),
        source=source,
        source_revision=opened.revision,
        reading=opened.reading,
        task=task,
        files=files,
        shards=mixture_shards(parts, laid_out, [file.path for file in files]),
        provenance={**provenance(source, opened.revision, None, said[0]), "source_card": _card(plans.values(), asked)},
    )


def _card(plans: Iterable[Plan], asked: MixRequest) -> dict[str, Any]:
    """Return what the mixture's card states about its sources together."""
    cards = [plan.provenance["source_card"] for plan in plans]
    found: dict[str, Any] = {"pretty_name": " + ".join(asked.sources)}
    for name in ("license", "language", "task_categories"):
        values = list(dict.fromkeys(value for card in cards for value in _listed(card.get(name, ()))))
        if values:
            found[name] = values
    return found


def _listed(values: str | Iterable[str]) -> list[str]:
    return [values] if isinstance(values, str) else list(values)


def _texts(asked: MixRequest) -> dict[str, Any]:
    """Return which texts of a row are used, as settings that all datasets share."""
    first = next(iter(asked.sources.values()))
    if first.messages_column is not None:
        return {"messages_column": first.messages_column, "roles": first.roles}
    return {"text_columns": first.text_columns, "context_columns": first.context_columns}
