"""Cards of score runs: their figures and pictures; names cannot inject other content."""

from __future__ import annotations

import io
import math
import os
import re
import warnings
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Features, Value, load_dataset
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from hf_toedit.cards.card import card_data, card_kind, render_card
from hf_toedit.cards.escape import printable
from hf_toedit.cards.metadata import metadata
from hf_toedit.cards.origin import title
from hf_toedit.cards.score_bars import bars_of
from hf_toedit.cards.score_data import ScoreCardData, ScoreField
from hf_toedit.cards.score_plots import MOST, draw_score_plots, pictures
from hf_toedit.config import PriorConfig, SourceConfig
from hf_toedit.runs.plan import Plan
from hf_toedit.runs.planning import make_plan
from hf_toedit.runs.store import RunFolder
from hf_toedit.scorers.classifier import ClassifierConfig
from hf_toedit.scorers.distribution import Distribution
from hf_toedit.scorers.own import OwnScorerConfig
from hf_toedit.scorers.perplexity import PerplexityConfig
from hf_toedit.scorers.scorer import ScorerConfig
from hf_toedit.scorers.statistics import QUANTILES, ScoreStats
from hf_toedit.sources.model import FileExtent, Reading, SourceFile
from hf_toedit.tasks.score import ScoreTask
from tests.cards.test_card import make_data as make_edit_data
from tests.cards.test_card import nasty, parts, rendered, seen, tags
from tests.cli.command import HfToEdit
from tests.hub.cards import card_problems
from tests.snippets import run_snippet

EXAMPLES = int(os.environ.get("HF_TOEDIT_EXAMPLES", 25))
HASH = "1" * 40
PERPLEXITY = PerplexityConfig(PriorConfig(dtype="float32"), HASH)
DRAWN = np.random.default_rng(0)
VALUES = {
    "nll": np.array([*DRAWN.normal(3, 0.7, 400).clip(0.5), math.nan, math.nan]),
    "num_tokens": np.array([*DRAWN.geometric(0.01, 400), 0.0, 1.0]),
}


def classifier(*labels: str, **others: Any) -> ClassifierConfig:
    """Return settings of a classifier as in a plan."""
    given: dict[str, Any] = {"model": "org/judge", "model_revision": HASH, "dtype": "float32", "revision": HASH}
    return ClassifierConfig(**{**given, **others}, labels=labels)


def own(name: str = "mine:Length", kind: str = "length", **fields: Any) -> OwnScorerConfig:
    """Return settings of a user-defined scorer as in a plan."""
    return OwnScorerConfig(name, kind, tuple(fields.items()), HASH)


def stats_of(values: dict[str, np.ndarray], **counts: Any) -> ScoreStats:
    """Return the statistics of rows with these values."""
    num_rows = len(next(iter(values.values()), ()))
    found = {name: Distribution.of(np.asarray(column)) for name, column in values.items()}
    given_counts = {"num_rows": num_rows, "num_documents": num_rows, "num_tokens": 12 * num_rows}
    return ScoreStats(**{**given_counts, **counts}, values=found)


def make_data(
    scorer: ScorerConfig = PERPLEXITY,
    values: dict[str, np.ndarray] | None = None,
    *,
    by_split: dict[str, ScoreStats] | None = None,
    source: str = "stories.parquet",
    column: str = "text",
    scores_column: str = "scores",
    provenance: dict[str, Any] | None = None,
    **others: Any,
) -> ScoreCardData:
    """Return card data of a run that was never executed."""
    features = Features({column: Value("string")})
    stats = by_split or {"train": stats_of(VALUES if values is None else values)}
    plan = make_plan(
        source_config=SourceConfig(source, text_columns=(column,)),
        source_revision="0" * 40,
        reading=Reading("parquet", {}, "/data/private", features.to_dict()),
        extents={split: [FileExtent(SourceFile("stories.parquet", 1, None), 3, 10)] for split in stats},
        task=ScoreTask(scorer, scores_column),
        version="0.1.0",
    )
    plan = replace(plan, provenance=provenance or {})
    given_data: dict[str, Any] = {
        "plan": plan,
        "name": "run",
        "stats": (stats,),
        "features": dict(plan.output_features),
        "infos": ({"config_name": "scores", "features": plan.output_features._to_yaml_list()},),
        "repo_id": None,
        "prefix": "",
    }
    return ScoreCardData(**{**given_data, **others})


def cells(card: str, heading: str) -> dict[str, list[str]]:
    """Return the rows of the first table below a heading, by their first cells."""
    below = card.split(f"\n## {heading}\n", 1)[1]
    lines = re.findall(r"(?m)^\| (.*) \|$", below.split("\n## ", 1)[0])
    rows = [line.split(" | ") for line in lines]
    return {re.sub(r"</?code>|\\", "", name): rest for name, *rest in rows}


def numbers(row: list[str]) -> list[float]:
    return [float(cell.replace(",", "")) for cell in row if cell.strip()]


def test_figures_are_those_of_the_statistics() -> None:
    data = make_data(by_split={"train": stats_of(VALUES, num_skipped=Counter(empty=2), num_tokens=40_321)})
    card = render_card(data)
    table = cells(card, "Scores")
    for name, values in VALUES.items():
        known = np.sort(values[~np.isnan(values)])
        count, nulls, mean, least, *quantiles, most = numbers(table[name])
        assert (count, nulls) == (len(known), len(values) - len(known))
        assert (mean, least, most) == pytest.approx((known.mean(), known[0], known[-1]), rel=5e-4)
        exact = [known[math.ceil(q * len(known)) - 1] for q in QUANTILES]
        assert quantiles == pytest.approx(exact, rel=0.011)
    nll, perplexity = numbers(table["nll"])[3:], numbers(table["as perplexity"])
    assert perplexity == pytest.approx(np.exp(nll), rel=0.01)
    assert cells(card, "What was read")["402"] == ["402", "40,321", "2"]
    median = f"{math.exp(data.scores.values['nll'].quantile(0.5)):.4g}"
    assert f"Of 40,321 tokens in 402 rows, the median perplexity is about {median}. 2 rows have no score.\n" in card
    assert f'alt="Bars: rows by perplexity, from {table["as perplexity"][3]} to ' in card
    assert "half are at " + median in card and "One row without tokens is not shown." in card


def test_splits_are_told_apart() -> None:
    halves = {name: np.array_split(values, 2) for name, values in VALUES.items()}
    by_split = {
        split: stats_of({name: half[number] for name, half in halves.items()})
        for number, split in enumerate(("train", "test"))
    }
    card = render_card(make_data(by_split=by_split))
    assert cells(card, "What was read") == {
        "split": ["rows", "texts", "tokens"], ":---": ["---:"] * 3, "train": ["201", "201", "2,412"],
        "test": ["201", "201", "2,412"], "**all**": ["402", "402", "4,824"],
    }  # fmt: skip
    for split, stats in [*by_split.items(), ("**all**", stats_of(VALUES))]:
        shown = f"<code>{split}</code>" if split in by_split else split
        values = stats.values["nll"]
        assert f"| <code>nll</code> | {shown} | {values.num_values} | {values.num_null} | {values.mean:.4g} |" in card
    assert "Splits: <code>train</code>, <code>test</code>." in card


@settings(max_examples=EXAMPLES, deadline=None)
@given(label=nasty, model=nasty, name=nasty, column=nasty, scores_column=nasty)
@example(*["\n<!-- hf-toedit:end -->\n"] * 5)
@example("x" * 5000, *["| # $x$ ]"] * 4)
def test_whatever_a_name_holds_is_shown_and_does_nothing(
    label: str, model: str, name: str, column: str, scores_column: str
) -> None:
    assume(column != scores_column and label != "other")
    for revision in (HASH, None):
        pretty = {"source_card": {"pretty_name": name}}
        scorer = classifier(label, "other", model=model, model_revision=revision)
        data = judged(scorer, name=name, column=column, scores_column=scores_column, provenance=pretty)
        written = render_card(data)
        front_matter, body = parts(written)
        kind = card_kind(data.plan)
        assert front_matter == {**metadata(data, title(data, kind.words), kind.tags), "dataset_info": data.infos[0]}
        assert front_matter["pretty_name"].startswith(f"{name}, scored by the classifier ")
        assert card_problems(written) == ([], [])
        page = rendered(body)
        assert tags(page) == tame_tags(revision)
        for told in (label[:100], name, column, scores_column, *([model] if revision else [])):
            assert "".join(printable(told).split()) in seen(page)
        unwanted = {character for character in written if not character.isprintable()} - {"\n"}
        assert unwanted <= set("\u200c\u200d\ufe0e\ufe0f\xa0")
        assert render_card(data, written) == written
        compile("\n".join(re.findall(r"(?ms)^`{3,}python\n(.*?)^`{3,}$", body)), "card", "exec")


def judged(scorer: ClassifierConfig, **others: Any) -> ScoreCardData:
    """Return card data of a run of a classifier with two labels."""
    return make_data(scorer, dict(zip(scorer.labels, (VALUES["nll"], -VALUES["nll"]), strict=True)), **others)


@cache
def tame_tags(revision: str | None) -> Counter[str]:
    """Return the tags of a page with harmless names."""
    return tags(rendered(parts(render_card(judged(classifier("a", "b", model_revision=revision))))[1]))


def test_hostile_labels_are_drawn_without_a_word(recwarn: pytest.WarningsRecorder) -> None:
    labels = ("$\\frac$", "你好", "\n|<b>", "x" * 5000, "größer")
    data = make_data(classifier(*labels), dict.fromkeys(labels, VALUES["nll"]))
    drawn = draw_score_plots(data)
    assert list(drawn) == [f"scores-{number}.png" for number in range(1, len(labels) + 1)]
    whats = [picture.what for picture in pictures(data)]
    assert whats == ["logit of $\\frac$", *(f"logit of field {number}" for number in (2, 3, 4)), "logit of größer"]
    assert not recwarn.list
    card = render_card(data)
    assert set(re.findall(r'src="assets/(.*?)"', card)) == set(drawn)


def test_many_labels_have_few_pictures() -> None:
    labels = [f"label {number}" for number in range(MOST + 3)]
    data = make_data(classifier(*labels), {label: VALUES["nll"] for label in labels})
    card = render_card(data)
    assert len(pictures(data)) == card.count("<img") == MOST
    assert f"Only the first {MOST} fields have pictures." in card
    assert "(the first 3 of 15 fields)" in card
    assert cells(card, "Scores").keys() >= set(labels)


SCORERS: dict[str, tuple[ScorerConfig, dict[str, np.ndarray], str, tuple[str, ...], tuple[str, ...]]] = {
    "perplexity": (
        PERPLEXITY,
        VALUES,
        "scored by perplexity",
        ("hf-toedit", "scores", "perplexity"),
        ("the embedded prior of hf-toedit, fingerprint <code>1111", "in float32", "different tokenizers",
         "The licence of the prior is not known", '["scores"]["perplexity"]["nll"]'),
    ),
    "classifier": (
        classifier("edu"),
        {"edu": VALUES["nll"]},
        "scored by the classifier org/judge",
        ("hf-toedit", "scores", "text-classification"),
        (f"[org/judge](https://huggingface.co/org/judge) @ <code>{HASH}</code>, in float32", "a logit of its text",
         "all windows, logits averaged", "was read in windows", "The licence of the classifier is not known"),
    ),
    "truncating": (
        classifier("a", "b", truncate=True, model="/secret/judge", model_revision=None, trust_remote_code=True),
        {"a": VALUES["nll"], "b": -VALUES["nll"]},
        "scored by the classifier judge",
        ("hf-toedit", "scores", "text-classification"),
        ("<code>judge</code>, fingerprint", "2 logits", "first window only", "only the beginning was read",
         "repository | was run", "| labels | <code>a</code>, <code>b</code> |"),
    ),
    "own": (
        own(characters="int32", capitals="float64"),
        {"characters": np.array([5000.0, 17, 18]), "capitals": np.array([0.25, math.nan, 0.5])},
        "scored by length",
        ("hf-toedit", "scores"),
        ("mine:Length</code>, fingerprint <code>1111", "not part of this",
         "are words", "| <code>characters</code> | 3 | 0 | 1,678 | 17 |", "the mean is 1,678 for"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", SCORERS)
def test_every_scorer_is_worded_rightly(kind: str) -> None:
    scorer, values, words, tagged, told = SCORERS[kind]
    data = make_data(scorer, values)
    card = render_card(data)
    front_matter, _ = parts(card)
    assert front_matter["pretty_name"] == f"stories.parquet, {words}"
    assert tuple(front_matter["tags"]) == tagged
    for word in told:
        assert word in card, word
    assert not re.search(
        r"secret|private|N/A|\bNone\b|\bnan\b|\binf\b|ToEdit\b|edited", card.replace("is not None", "")
    )
    assert ("licence of the" in card) == (kind != "own")
    assert render_card(replace(data, plan=Plan.from_json(data.plan.to_json()))) == card


def test_without_any_value_the_card_says_so() -> None:
    nothing = {"nll": np.full(3, math.nan), "num_tokens": np.zeros(3)}
    stats = stats_of(nothing, num_tokens=0, num_skipped=Counter(empty=3))
    data = make_data(by_split={"train": stats})
    card = render_card(data)
    assert "There is no score for any of the 3 rows." in card
    assert "| rows | texts | tokens | not read: empty |" in card
    assert "<img" not in card and draw_score_plots(data) == {} and "filter" not in card
    assert not re.search(r"N/A|\bNone\b|\bnan\b|No text could be read", card)
    failed = stats_of(nothing, num_tokens=0, num_skipped=Counter(prior_failed=3))
    assert "**No text could be read**" in render_card(make_data(by_split={"train": failed}))
    for empty in (ScoreStats(), ScoreStats(num_rows=0, values={"nll": Distribution(), "num_tokens": Distribution()})):
        card = render_card(make_data(by_split={"train": empty}))
        assert "There are no rows." in card and "<img" not in card


def test_sections_of_scores_and_edits_share_a_readme_with_what_people_wrote() -> None:
    theirs = "---\nlanguage: en\ntags:\n- mine\n---\n\n# My data\n\nMy words.\n"
    edits = make_edit_data()
    inner = make_data(repo_id="org/name", prefix="ppl/v_1")
    [pass_] = inner.plan.data_passes
    inner = replace(inner, infos=({**inner.infos[0], "config_name": inner.config_name(pass_)},))
    both = render_card(inner, render_card(edits, theirs))
    assert render_card(edits, both) == both == render_card(inner, both)
    front_matter, body = parts(both)
    assert [config["config_name"] for config in front_matter["configs"]] == ["gen1", "gen2", "ppl-v_1-scores"]
    assert set(front_matter["tags"]) >= {"mine", "toedit", "scores", "perplexity"} and front_matter["language"] == "en"
    assert body.count("My words.") == 1 and "\n## ppl/v\\_1\n" in body and "\n### Scores\n" in body
    assert 'load_dataset("org/name", "ppl-v_1-scores")' in body
    assert 'src="ppl/v_1/assets/scores-1.png"' in body
    alone = render_card(make_data(classifier("a", model="org/a_b"), {"a": VALUES["nll"]}), theirs)
    assert "\n## Scored by the classifier org/a\\_b\n" in alone


def field_of(values: list[float] | np.ndarray, *, is_nll: bool = False, is_count: bool = False) -> ScoreField:
    return ScoreField(1, "x", is_nll, is_count, is_count, Distribution.of(np.asarray(values, float)), {})


@settings(max_examples=EXAMPLES, deadline=None)
@given(values=st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=60), is_nll=st.booleans())
def test_bars_count_what_lies_between_their_edges(values: list[float], is_nll: bool) -> None:
    shown = [abs(value) % 900 for value in values] if is_nll else values
    bars = bars_of(field_of(shown, is_nll=is_nll))
    if bars is None:
        return
    assert bars.counts.sum() == len(shown) and bars.num_left_out == 0
    assert bars.counts[0] and bars.counts[-1] and len(bars.counts) <= 34
    assume(not set(shown) & set(bars.edges) or min(shown) > 0)  # a negative value on an edge belongs to the bin below
    assert bars.counts.tolist() == np.histogram(shown, bars.edges)[0].tolist()


@settings(max_examples=EXAMPLES, deadline=None)
@given(values=st.lists(st.integers(0, 2**31 - 1) | st.integers(0, 300), min_size=2, max_size=60))
def test_bars_of_counts_lie_on_a_logarithmic_axis(values: list[int]) -> None:
    bars = bars_of(field_of(np.array(values), is_count=True))
    if bars is None:
        return
    assert bars.counts.sum() + bars.num_left_out == len(values) and bars.num_left_out == values.count(0)
    assert bars.counts.tolist() == np.histogram(values, bars.edges)[0].tolist()
    assert np.all(np.isfinite(bars.places)) and np.all(bars.edges == np.round(bars.edges))


EXTREMES = {
    "one value": [2.0] * 5,
    "far apart": [-1.7e308, 1.7e308],
    "very large": [1e200, 2e200],
    "very small": [5e-324, 1e-310, 0.0],
    "close together": [1e15, 1e15 + 1, 1e15 + 3],
    "tiny": [1e-30, 2e-30, 3e-30],
    "large": [1e30, 5e30, -2e31],
    "zero": [0.0, -0.0, 0.0],
}


@pytest.mark.parametrize("name", EXTREMES)
def test_extreme_values_do_no_harm(name: str) -> None:
    values = {"x": np.array(EXTREMES[name] * 20)}
    data = make_data(own(x="float64"), values)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn, card = draw_score_plots(data), render_card(data)
    assert (set(drawn) == {"scores-1.png"}) == (name in ("tiny", "large")) == ("<img" in card)
    table = cells(card, "Scores")["x"]
    assert len(table) == len(QUANTILES) + 5 and all(len(cell) < 16 for cell in table)
    for image in drawn.values():
        assert Image.open(io.BytesIO(image)).size[0] == 1600


@pytest.mark.parametrize("nll", [[0.0, 800.0], [0.0, 1e5], [4.0, 4.001] * 9])
def test_extreme_perplexities_do_no_harm(nll: list[float]) -> None:
    data = make_data(values={"nll": np.array(nll), "num_tokens": np.arange(len(nll))})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_score_plots(data)
        card = render_card(data)
    assert ("∞" in card) == (max(nll) > 709)


@pytest.fixture(scope="module")
def scored(hf_toedit: HfToEdit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Execute a score run with the command line."""
    folder = tmp_path_factory.mktemp("scored")
    done = hf_toedit("score", "sample", "-o", folder / "run", "--limit", "12", "--quiet", "--workers", "0")
    assert (done.code, done.stdout, done.stderr) == (0, "", ""), done
    return folder / "run"


def test_a_run_has_a_card_that_datasets_loads_and_whose_python_runs(scored: Path, tmp_path: Path) -> None:
    folder = RunFolder(scored)
    plan = folder.plan()
    card = (scored / "README.md").read_text()
    assert render_card(card_data(plan, folder)) == card and card_problems(card) == ([], [])
    rows = load_dataset(str(scored), split="train", cache_dir=str(tmp_path))
    assert rows.features == plan.output_features and list(rows.features["scores"]["perplexity"]) == [
        "nll",
        "num_tokens",
    ]
    scores = [row["perplexity"] for row in rows["scores"]]
    table = cells(card, "Scores")
    assert numbers(table["nll"])[2] == pytest.approx(np.mean([score["nll"] for score in scores]), rel=1e-3)
    assert numbers(table["num_tokens"])[2] == pytest.approx(
        np.mean([score["num_tokens"] for score in scores]), rel=1e-3
    )
    assert not re.search(r"/tmp|/home|/work|/root", card)
    python = re.findall(r"(?ms)^```python\n(.*?)^```$", card)
    assert len(python) == 2
    checks = "assert 4 <= len(wanted['train']) <= 8, len(wanted['train'])\nassert list(rows) == list(dataset['train'])"
    environment = {**os.environ, "HF_DATASETS_CACHE": str(tmp_path)}
    run_snippet("\n".join(python), checks, scored.parent, environment)


def test_the_same_run_gives_the_same_files(scored: Path, hf_toedit: HfToEdit) -> None:
    before = {path: path.read_bytes() for path in [scored / "README.md", *(scored / "assets").iterdir()]}
    assert {path.name for path in before} == {"README.md", "scores-1.png", "scores-2.png"}
    assert all(len(content) < 60_000 for content in before.values())
    for path in before:
        path.unlink()
    assert hf_toedit("card", scored, "--quiet").code == 0
    assert {path: path.read_bytes() for path in before} == before
