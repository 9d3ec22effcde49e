from __future__ import annotations

import json
import math

import numpy as np
import pytest

from hf_toedit.errors import UsageError
from hf_toedit.place_kinds import KINDS
from hf_toedit.stats import PERPLEXITY_EDGES, TAIL_EDGES, EditStats, decay, generation_figures


def some_stats(seed: int) -> EditStats:
    """Return statistics of a few random documents."""
    rng = np.random.default_rng(seed)
    stats = EditStats()
    for _ in range(rng.integers(1, 6)):
        logprobs = np.log(rng.beta(0.3, 0.3, size=rng.integers(1, 200)).clip(1e-9, 1)).astype(np.float32)
        logprobs[0] = np.nan
        stats.add_scores(logprobs)
        before = logprobs[logprobs > np.log(0.9)]
        stats.add_draws(before, before - rng.random(len(before)).astype(np.float32))
        for kind in rng.choice(list(KINDS), size=len(before)):
            stats.num_selected_by_kind[str(kind)] += 1
        for kind in rng.choice(list(KINDS), size=len(before) // 3):
            stats.num_changed_by_kind[str(kind)] += 1
        stats.num_changed += len(before) // 3
        stats.num_dropped_by_kind["number"] += (dropped := int(rng.integers(5)))
        stats.num_dropped += dropped
        stats.num_rows_changed += len(before) > 2
        stats.num_characters += 40
        stats.num_characters_unchanged += int(rng.integers(40))
        stats.num_tokens_unchanged += int(rng.integers(9))
        stats.num_ineligible[str(rng.choice(["partial_character", "special_token"]))] += 1
    stats.add_skipped(str(rng.choice(["null", "empty"])))
    return stats


def test_histogram_of_probabilities_is_numpys():
    probabilities = np.array([0.0005, 0.05, 0.15, 0.25, 0.55, 0.85, 0.95, 0.97, 0.985, 1.0])
    stats = EditStats()
    stats.add_scores(np.log(probabilities).astype(np.float32))
    assert stats.probability_histogram == np.histogram(probabilities, bins=10, range=(0, 1))[0].tolist()
    assert (stats.num_documents, stats.num_tokens, stats.num_scored) == (1, 10, 10)


def test_histogram_of_the_tail():
    stats = EditStats()
    # -log10(1 - p): 0.7 is not counted, then one in each of four bins; a certain token is in the last.
    tail = np.array([0.7, 1.2, 1.7, 2.2, 4.2])
    stats.add_scores(np.append(np.log1p(-(10.0**-tail)), 0.0))
    expected = dict.fromkeys(TAIL_EDGES, 0) | {1.0: 1, 1.5: 1, 2.0: 1, 4.0: 1, TAIL_EDGES[-1]: 1}
    assert stats.tail_histogram == list(expected.values())


def test_histogram_of_perplexity_is_by_document():
    stats = EditStats()
    for perplexity in (1.0, 1.5, 2.0, 12.0, 1e7):
        stats.add_scores(np.full(4, -math.log(perplexity)))
    expected = np.histogram([0, math.log10(1.5), math.log10(2.0), math.log10(12.0)], bins=[*PERPLEXITY_EDGES, 99])[0]
    expected[-1] += 1
    assert stats.perplexity_histogram == expected.tolist()


def test_the_median_perplexity_is_within_one_per_cent() -> None:
    rng = np.random.default_rng(5)
    perplexities = np.exp(rng.gamma(3, size=301))
    parts = [EditStats() for _ in range(7)]
    for number, perplexity in enumerate(perplexities):
        parts[number % 7].add_scores(np.full(3, -math.log(perplexity)))
    whole = EditStats.merged(parts)
    assert whole.median_perplexity == pytest.approx(np.median(perplexities), rel=0.01)
    assert whole.summary()["median_perplexity"] == whole.median_perplexity
    read = EditStats.from_json(json.loads(json.dumps(whole.to_json())))
    assert read == whole and read.merge(parts[0]) == whole.merge(parts[0])
    unlikely = EditStats()
    unlikely.add_scores(np.array([-1e6]))
    assert unlikely.median_perplexity == pytest.approx(math.exp(700), rel=0.01)

    # Statistics of older versions without narrow bins, alone or merged.
    old = EditStats.from_json({name: value for name, value in whole.to_json().items() if name != "perplexity_bins"})
    for stats in (old, old.merge(parts[0]), EditStats()):
        assert stats.median_perplexity is None and "median_perplexity" not in stats.summary()


def test_likelihood_and_rates():
    stats = EditStats()
    stats.add_scores(np.array([np.nan, -1.0, -2.0, -3.0], dtype=np.float32))
    stats.add_draws(np.log([0.99, 0.995]), np.log([0.99, 0.004]))
    stats.num_changed = 1
    assert stats.nll == pytest.approx(2.0)
    assert stats.perplexity == pytest.approx(math.exp(2))
    assert (stats.selected_rate, stats.changed_rate) == (0.5, 0.25)
    assert stats.probability_before_nano == 1_985_000_000
    assert stats.probability_after_nano == 994_000_000


def test_nothing_is_no_number():
    stats = EditStats()
    assert math.isnan(stats.nll)
    assert (stats.selected_rate, stats.changed_rate, stats.tokens_per_second) == (0, 0, 0)
    assert "nll" not in stats.summary()
    stats.add_scores(np.full(1, np.nan, dtype=np.float32))
    assert (stats.num_documents, stats.num_tokens, stats.num_scored) == (1, 1, 0)
    assert sum(stats.probability_histogram) == sum(stats.perplexity_histogram) == 0


def test_merging_is_exact_in_any_order():
    parts = [some_stats(seed) for seed in range(40)]
    whole = EditStats.merged(parts)
    assert EditStats.merged(parts[::-1]) == whole
    assert EditStats.merged([EditStats.merged(parts[:7]), EditStats.merged(parts[7:])]) == whole
    a, b, c = parts[:3]
    assert a.merge(b) == b.merge(a)
    assert a.merge(b).merge(c) == a.merge(b.merge(c))
    assert a.merge(EditStats()) == a


def test_kinds_are_known_only_where_all_are() -> None:
    parts = [some_stats(seed) for seed in range(9)]
    kinds = EditStats.merged(parts).kinds
    assert list(kinds) == [kind for kind in KINDS if kind in kinds] and len(kinds) > 3
    for name in ("num_selected", "num_changed", "num_dropped"):
        assert sum(getattr(counts, name) for counts in kinds.values()) == sum(getattr(part, name) for part in parts) > 0
    assert EditStats.merged(parts).summary()["num_changed_by_kind"] == {
        kind: counts.num_changed for kind, counts in kinds.items()
    }
    # Shards that were edited before kinds existed.
    old = {name: value for name, value in parts[0].to_json().items() if not name.endswith("_by_kind")}
    before = EditStats.from_json(old)
    for stats in (before, EditStats.merged([before, *parts[1:]]), EditStats()):
        assert stats.kinds == {}
        assert not [name for name in stats.summary() if name.endswith("_by_kind")]


def test_merging_leaves_its_parts():
    a, b = some_stats(1), some_stats(2)
    before = (json.dumps(a.to_json()), json.dumps(b.to_json()))
    merged = a.merge(b)
    merged.probability_histogram[0] += 1
    merged.num_ineligible["partial_character"] += 1
    assert (json.dumps(a.to_json()), json.dumps(b.to_json())) == before


def test_json_round_trip():
    stats = some_stats(3)
    stats.seconds = {"score": 1.5, "edit": 0.25}
    read = EditStats.from_json(json.loads(json.dumps(stats.to_json())))
    assert read == stats
    assert read.merge(stats) == stats.merge(stats)
    earlier = {name.replace("_unchanged", "_standing"): value for name, value in stats.to_json().items()}
    assert EditStats.from_json(earlier) == stats and read.num_tokens_unchanged
    read.num_skipped["null"] += 1  # missing keys still count from zero
    assert read.tokens_per_second == pytest.approx(stats.num_tokens / 1.75)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"num_rows": "many"}, "num_rows must be a whole number, not 'many'."),
        ({"num_rows": -1}, "num_rows -1 is out of range: it must be at least 0."),
        ({"num_tokens": True}, "num_tokens must be a whole number, not true."),
        ({"nll_nano": 1.5}, "nll_nano must be a whole number, not 1.5."),
        ({"num_skipped": [3]}, "num_skipped must be an object, not [3]."),
        ({"num_skipped": {"null": "x"}}, "num_skipped[...] must be a whole number."),
        ({"seconds": {"score": "long"}}, "seconds[...] must be a number."),
        ({"probability_histogram": [0]}, "probability_histogram must be a list of length >= 10, not [0]."),
        ({"tail_histogram": ["0"] * 11}, "tail_histogram[0] must be a whole number, not '0'."),
        ({"new": 1}, "it cannot have 'new'. Known: num_rows, "),
    ],
)
def test_json_of_other_types(change, said):
    with pytest.raises(UsageError) as caught:
        EditStats.from_json({**some_stats(3).to_json(), **change})
    assert str(caught.value).startswith(said)


def test_decay_of_the_papers_table_9():
    generations = [EditStats(num_tokens=4_671_834, num_selected=selected) for selected in (584_103, 549_519, 517_433)]
    first, *others = decay(generations)
    assert first is None
    assert others == pytest.approx([549_519 / 584_103, 517_433 / 549_519])
    assert decay([]) == []
    assert decay([EditStats(), EditStats()]) == [None, None]


def test_generations_side_by_side():
    source = {"num_tokens": 100, "num_characters": 400}
    first = EditStats(**source, num_selected=20, num_changed=5, num_characters_unchanged=380, num_tokens_unchanged=95)
    second = EditStats(**source, num_selected=15, num_changed=4, num_characters_unchanged=360, num_tokens_unchanged=91)
    second.num_tokens = 98  # fewer tokens; unchanged text is still measured in tokens of the source
    one, two = generation_figures([first, second])
    assert (one.generation, one.eta, one.characters_unchanged, one.tokens_unchanged) == (1, None, 0.95, 0.95)
    assert (two.generation, two.characters_unchanged, two.tokens_unchanged) == (2, 0.9, 0.91)
    assert (two.selected_rate, two.changed_rate, two.eta) == pytest.approx((15 / 98, 4 / 98, 15 / 98 / 0.2))
    assert json.loads(json.dumps(two.to_json()))["characters_unchanged"] == 0.9

    # Without earlier edits the source is unknown, and a partial generation is not representative.
    unknown = generation_figures([first, EditStats(num_tokens=98, num_selected=15)])[1]
    assert unknown.eta == two.eta and unknown.characters_unchanged is unknown.tokens_unchanged is None
    under_way = EditStats(num_tokens=50, num_characters=200, num_characters_unchanged=190, num_tokens_unchanged=48)
    assert generation_figures([first, under_way])[1].characters_unchanged == 0.95
    assert generation_figures([first, under_way])[1].tokens_unchanged is None
    assert generation_figures([]) == []
