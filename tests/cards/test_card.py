"""Cards of runs of every kind; values of a dataset cannot inject other content."""

from __future__ import annotations

import html
import os
import re
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import yaml
from datasets import Features, Value
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from hf_toedit.cards.card import card_kind, render_card
from hf_toedit.cards.edit_data import EditCardData
from hf_toedit.cards.edit_examples import Example, Place
from hf_toedit.cards.edit_plots import draw_edit_plots
from hf_toedit.cards.edit_tables import kind_bars
from hf_toedit.cards.escape import markdown, printable
from hf_toedit.cards.metadata import metadata, size_category
from hf_toedit.cards.origin import title
from hf_toedit.config import EditConfig, PriorConfig, RunConfig, SourceConfig
from hf_toedit.editing.piece_table import PieceTable, Replacement
from hf_toedit.runs.plan import Plan
from hf_toedit.runs.planning import make_plan
from hf_toedit.sources.model import FileExtent, Reading, SourceFile
from hf_toedit.stats import EditStats
from hf_toedit.tasks.edit import EditTask, edit_of, generation_pass
from tests.hub.cards import card_problems

EXAMPLES = int(os.environ.get("HF_TOEDIT_EXAMPLES", 25))
NASTY = (
    "<!-- hf-toedit:end -->", "<!-- hf-toedit:begin -->", "\n---\n", "\n", "\r\n", "|", "`", "```", "~~~", "# ", "- ",
    "1. ", "> ", "*", "_", "[a](b)", "![b](x)", "<script>alert(1)</script>", "</blockquote>", "</code>", "</p>", "-->",
    "&amp;", "&#124;", "\\", "\\|", "{{ 7*7 }}", "{% raw %}", "{#", "$x$", "!tag", ": ", "'", '"', "%", "@all",
    "\u202e", "\u2028", "\x00", "\x1b[2J", "\x85", "é", "你好", "👩\u200d👧", " ", "\t", "www.x.org", "https://x.org",
    "null", "~", "1e3", "=",
)  # fmt: skip


def _is_plain(text: str) -> bool:
    """Whether a text is not blank, and contains no `[]`, which denotes list items in a column path."""
    return bool(text.strip()) and "[]" not in text


nasty = st.lists(st.sampled_from(NASTY) | st.text(max_size=3), min_size=1, max_size=6).map("".join).filter(_is_plain)


def make_data(
    *,
    source: str = "stories.parquet",
    column: str = "text",
    files: tuple[str, ...] = ("stories.parquet",),
    generations: int = 2,
    edit: EditConfig | None = None,
    stats: EditStats | None = None,
    text: str = "Once upon a time",
    provenance: dict[str, Any] | None = None,
    prior: PriorConfig | None = None,
    **others: Any,
) -> EditCardData:
    """Return card data of a run that was never executed."""
    features = Features({column: Value("string")})
    local = "://" not in files[0]
    plan = make_plan(
        source_config=SourceConfig(source, text_columns=(column,)),
        source_revision="0" * 40,
        reading=Reading("parquet", {}, "/data/private" if local else None, features.to_dict()),
        extents={"train": [FileExtent(SourceFile(name, 1, None), 3, 10) for name in files]},
        task=EditTask(prior or PriorConfig(), edit or EditConfig(), RunConfig(generations, None), "1" * 40),
        version="0.1.0",
    )
    task = replace(edit_of(plan), run=RunConfig(generations, "toedit"))
    plan = replace(plan, provenance=provenance or {}, task=task)
    figures = stats or EditStats(
        num_rows=3,
        num_documents=3,
        num_tokens=100,
        num_scored=100,
        num_selected=12,
        num_changed=4,
        num_selected_by_kind={"number": 5, "inside_word": 4, "whole_word": 3},
        num_changed_by_kind={"number": 1, "inside_word": 3},
        num_characters=400,
        num_characters_unchanged=390,
        num_tokens_unchanged=96,
        probability_histogram=[40, 10, 10, 5, 5, 5, 5, 5, 5, 10],
        nll_nano=3 * 10**11,
    )
    if figures.num_scored:
        figures.perplexity_histogram[5] = 3
    table = PieceTable(text).apply([Replacement(0, 1, "X")], 1)
    shown = Example("train", 0, None, table)
    given_data: dict[str, Any] = {
        "plan": plan,
        "name": "run",
        "stats": tuple({"train": figures} for _ in plan.data_passes),
        "result": None,
        "features": dict(plan.output_features),
        "infos": tuple(
            {"config_name": pass_.name, "features": plan.output_features._to_yaml_list()} for pass_ in plan.data_passes
        ),
        "repo_id": None,
        "prefix": "",
        "examples": (shown, Example("train", 1, None, PieceTable(text))),
        "places": (Place(shown, table, "whole_word", True), Place(shown, table, "number", False)),
    }
    return EditCardData(**{**given_data, **others})


def parts(card: str) -> tuple[dict[str, Any], str]:
    """Split a card into front matter and text."""
    empty, front_matter, body = re.split(r"(?m)^---\n", card, maxsplit=2)
    assert empty == ""
    return yaml.safe_load(front_matter), body


def rendered(body: str) -> str:
    """Render Markdown to HTML, as a page shows it."""
    return MarkdownIt("commonmark", {"html": True}).enable("table").render(body)


def seen(page: str) -> str:
    """Return the visible text, without whitespace."""
    return "".join(html.unescape(re.sub(r"<!--.*?-->|<[^>]*>", "", page)).split())


def tags(page: str) -> Counter[str]:
    """Count the tags and comments of a page by name."""
    return Counter(re.findall(r"<(?:!--[\w: -]{0,20}|/?\w+)", page))


TAME = tags(
    rendered(
        parts(
            render_card(
                make_data(
                    edit=EditConfig(protect=("re:x",)), provenance={"command": "c", "source_card": {"license": "x"}}
                )
            )
        )[1]
    )
)


@settings(max_examples=EXAMPLES, deadline=None)
@given(name=nasty, column=nasty, text=nasty, license_name=nasty, command=nasty, protect=nasty.map(re.escape))
@example(*["\n<!-- hf-toedit:end -->\n"] * 6)
@example("name", "column", "text", "license", "-q", "words")  # an option that a card leaves out
def test_whatever_a_dataset_holds_is_shown_and_does_nothing(
    name: str, column: str, text: str, license_name: str, command: str, protect: str
) -> None:
    card = {"license": license_name, "pretty_name": name}
    data = make_data(
        column=column,
        text="a" + text,
        edit=EditConfig(protect=(f"re:{protect}",)),
        provenance={"command": f"hf-toedit {command}", "source_card": card},
        name=name,
    )
    written = render_card(data)
    front_matter, body = parts(written)
    kind = card_kind(data.plan)
    assert front_matter == {**metadata(data, title(data, kind.words), kind.tags), "dataset_info": list(data.infos)}
    assert license_name in (front_matter["license"], front_matter.get("license_name"))
    assert front_matter["pretty_name"] == f"{name}, edited with ToEdit"
    assert card_problems(written) == ([], [])
    page = rendered(body)
    assert tags(page) == TAME
    for told in (name, column, license_name, "a" + text, ("aX" + text)[:50], f"re:{protect}"):
        assert "".join(printable(told).split()) in seen(page)
    unwanted = {character for character in written if not character.isprintable()} - {"\n"}
    assert unwanted <= set("\u200c\u200d\ufe0e\ufe0f\xa0")
    assert render_card(data, written) == written
    python = "\n".join(re.findall(r"(?ms)^`{3,}python\n(.*?)^`{3,}$", body))
    compile(python, "card", "exec")
    assert f"load_dataset({'./' + name!r}" in python or f'load_dataset("./{repr(name)[1:-1]}"' in python


def test_an_address_in_a_name_is_no_link_on_github_either() -> None:
    """GitHub turns a bare address into a link that includes the escapes after it."""
    assert markdown("https://x.org/a_b") == "https\\://x.org/a\\_b"
    assert markdown("www.x.org") == "www\\.x.org"
    assert rendered(markdown("https://x.org/a_b, www.x.org")) == "<p>https://x.org/a_b, www.x.org</p>\n"


@settings(max_examples=EXAMPLES, deadline=None)
@given(prefix=nasty.filter(lambda prefix: prefix.strip("/")))
def test_sections_of_several_runs_share_a_readme(prefix: str) -> None:
    root, inner = make_data(), make_data(repo_id="org/name", prefix=prefix.strip("/"))
    inner = replace(
        inner,
        infos=tuple(
            {**info, "config_name": inner.config_name(generation_pass(n))} for n, info in enumerate(inner.infos, 1)
        ),
    )
    both = render_card(inner, render_card(root))
    assert render_card(root, both) == both == render_card(inner, both)
    front_matter, body = parts(both)
    names = [config["config_name"] for config in front_matter["configs"]]
    assert names == ["gen1", "gen2", inner.config_name(generation_pass(1)), inner.config_name(generation_pass(2))]
    assert [config["config_name"] for config in front_matter["configs"] if config.get("default")] == ["gen2"]
    assert len(re.findall(r"(?m)^<!-- hf-toedit:begin", body)) == len(re.findall(r"(?m)^<!-- hf-toedit:end", body)) == 2
    assert f'src="{inner.link("assets/decay.png")}"' in body


def test_a_local_source_and_prior_are_named_without_their_folders() -> None:
    data = make_data(
        source="/home/me/secret/stories.parquet",
        prior=PriorConfig("/models/secret/small"),
        provenance={
            "command": "hf-toedit edit /home/me/secret/stories.parquet -o ../secret/run --prior /models/secret/small "
            "--config=~/secret/edit.yaml --text-column meta/body"
        },
    )
    card = render_card(data)
    assert "secret" not in card and "private" not in card
    assert "edit stories.parquet -o run --prior small --config=edit.yaml --text-column meta/body" in card
    assert "source_datasets" not in parts(card)[0]
    assert parts(card)[0]["license"] == "other"


def test_a_list_of_addresses_that_lies_here_is_named_without_its_folder() -> None:
    for source, typed in (("urls:../secret/v1.txt", None), ("urls:/home/me/v1.txt", "urls:~/v1.txt")):
        card = render_card(
            make_data(
                source=source,
                files=("https://x.org/a.json.gz",),
                provenance={"command": f"hf-toedit edit {typed or source} -o run"},
            )
        )
        assert "secret" not in card and "/me" not in card
        assert "pretty_name: v1.txt, edited" in card and "| source | <code>urls:v1.txt</code>, fingerprint" in card
        assert "hf-toedit edit urls:v1.txt -o run" in card
        assert "source_datasets" not in card


def test_a_list_of_addresses_on_the_hub_names_its_dataset() -> None:
    source = "urls:hf://datasets/allenai/dolma/urls/v1_7.txt"
    data = make_data(source=source, files=("https://x.org/a.json.gz",), provenance={"command": f"hf-toedit {source}"})
    card = render_card(data)
    assert parts(card)[0]["source_datasets"] == ["allenai/dolma"]
    assert parts(card)[0]["pretty_name"] == "allenai/dolma, edited with ToEdit"
    link = f"https://huggingface.co/datasets/allenai/dolma/tree/{'0' * 40}"
    assert f"| source | [allenai/dolma]({link}) @ <code>{'0' * 40}</code> |" in card
    assert f"list of its files{source}" in seen(rendered(parts(card)[1])).replace("listofitsfiles", "list of its files")
    assert f"hf-toedit {source}" in card and "fingerprint <code>0" not in card


def test_an_address_elsewhere_is_named_without_its_query() -> None:
    source = "https://x.org/data/stories.jsonl?sig=qqq/zzz"
    card = render_card(make_data(source=source, files=(source,), provenance={"command": f"hf-toedit edit '{source}'"}))
    assert "qqq" not in card and "zzz" not in card
    assert "pretty_name: stories.jsonl, edited" in card
    assert "<code>https\\://x.org/data/stories.jsonl</code>, fingerprint" in card
    assert "hf-toedit edit https://x.org/data/stories.jsonl\n" in card


def test_what_is_on_the_hub_is_linked_at_its_commit() -> None:
    data = make_data(
        source="org/stories",
        files=(f"hf://datasets/org/stories@{'0' * 40}/a.parquet",),
        prior=PriorConfig("org/small", "1" * 40),
        repo_id="me/edited",
        provenance={
            "source_card": {
                "license": "other",
                "license_name": "mine",
                "license_link": "LICENSE.md",
                "language": ["de"],
                "task_categories": "summarization",
            },
            "prior_card": {"license": "mit"},
        },
    )
    card = render_card(data)
    front_matter, _ = parts(card)
    link = f"https://huggingface.co/datasets/org/stories/blob/{'0' * 40}/LICENSE.md"
    assert front_matter["source_datasets"] == ["org/stories"]
    assert (front_matter["license"], front_matter["license_name"], front_matter["license_link"]) == (
        "other",
        "mine",
        link,
    )
    assert (front_matter["language"], front_matter["task_categories"]) == (["de"], ["summarization"])
    assert f"[org/stories](https://huggingface.co/datasets/org/stories/tree/{'0' * 40})" in card
    assert "[org/small](https://huggingface.co/org/small) @ <code>1111" in card
    assert f"licensed as [other (mine)]({link}). The prior, whose tokens were drawn, is licensed as mit." in card
    assert 'load_dataset("me/edited")' in card and "hf-toedit revert me/edited -o source" in card


@pytest.mark.parametrize(
    ("given", "told", "words"),
    [
        ({}, {"license": "other"}, "does not state a licence"),
        ({"license": "unknown"}, {"license": "unknown"}, "does not state a licence"),
        ({"license": "other"}, {"license": "other"}, "does not state a licence"),
        ({"license": ["mit", "cc-by-4.0"]}, {"license": ["mit", "cc-by-4.0"]}, "licensed as mit, cc-by-4.0."),
        ({"license": "MIT License"}, {"license": "other", "license_name": "MIT License"}, "licensed as MIT License."),
        ({"license": "other", "license_name": "own"}, {"license": "other", "license_name": "own"}, "as other (own)."),
        ({"language": "English"}, {"license": "other"}, "does not state a licence"),
        ({"language": ["no", "Old English", "zh-Hant"]}, {"license": "other", "language": ["no", "zh-Hant"]}, ""),
    ],
)
def test_licence_and_language_are_inherited_as_far_as_the_hub_takes_them(
    given: dict[str, Any], told: dict[str, Any], words: str
) -> None:
    card = render_card(make_data(provenance={"source_card": given}))
    front_matter = parts(card)[0]
    assert {name: front_matter[name] for name in front_matter if name.startswith(("license", "language"))} == told
    assert words in card
    assert card_problems(card) == ([], [])


WORDINGS = {
    "formula": (
        EditConfig(temperature=1),
        ("resampling can return", "at least 0.99", "8 likeliest tokens at temperature 1.", "nearly always"),
    ),
    "another": (EditConfig(temperature=1, exclude_original=True), ("differ afterwards. Both", "never sampled")),
    "often": (EditConfig(temperature=1, threshold=0.3), ("resampling can return", "at least 0.3")),
    "below": (EditConfig(select="below", threshold=1e-7), ("at most 1e-07 were", "p ≤ 1e-07")),
    "top-p": (
        EditConfig(sampler="top-p", exclude_original=True),
        ("likeliest tokens that hold 0.99 of", "without the original token", "| top p | 0.99 |", "never sampled"),
    ),
    "verified": (
        EditConfig(accept="likelihood:0:1"),
        (
            "unless that made the next token less likely.",
            "| put back | edits that make the next token less likely |",
            "9 (9.00%) changed and 0 edits were rejected.",
            "| rejected |",
        ),
    ),
    "tolerant": (EditConfig(accept="likelihood:1.5"), ("the next 16 tokens less likely by more than 1.5 nats.",)),
    "rejection": (EditConfig(sampler="rejection", top_k=1), ("likeliest token by rejection sampling",)),
    "deleting": (
        EditConfig(select="none", drop_below=0.001),
        ("below 0.001 were deleted", "Of 100 tokens in 3 rows, 7 were deleted.", "| deleted below p | 0.001 |"),
    ),
    "nothing": (EditConfig(select="none"), ("no token was selected", "No text was changed")),
}


@pytest.mark.parametrize("kind", WORDINGS)
def test_every_way_of_selecting_is_worded_rightly(kind: str) -> None:
    edit, told = WORDINGS[kind]
    figures = EditStats(num_rows=3, num_tokens=100, num_scored=100, probability_histogram=[100, *[0] * 9])
    figures = replace(figures, num_dropped=7 if edit.drop_below else 0, num_selected=0 if edit.select == "none" else 9)
    data = make_data(edit=edit, generations=1, stats=replace(figures, num_changed=figures.num_selected))
    card = render_card(data)
    for words in told:
        assert words in card
    assert ("nearly always returns" in card) == (kind == "formula")
    drawn = edit.select != "none"
    for words in ("*Selected* tokens", "whose tokens were drawn", "temperature", "were selected", "The mark"):
        assert (words in card) == (drawn and words != "The mark"), words
    assert ("eta" in re.findall(r"\w+", card), set(draw_edit_plots(data))) == (
        False,
        {"probabilities.png", "perplexity.png"},
    )


def test_kinds_are_told_in_a_picture_a_table_and_in_what_the_rows_are_not_for() -> None:
    data = make_data(edit=EditConfig(protect=("urls",)))
    card = render_card(data)
    assert "| 1 | selected | 5 (41.7%) | 4 (33.3%) | 3 (25.0%) |" in card
    assert "| 2 | changed | 1 (25.0%) | 3 (75.0%) | 0 (0.0%) |" in card
    assert "Changed in generation 1: 25.0% number, 75.0% inside a word; changed in generation 2" in card
    assert "Of 8 edits, 2 (25.0%) are of numbers. Protected, and unchanged: <code>urls</code>." in card
    assert "6 (75.0%) of the edits are inside a word" in card and "run or parsed" not in card
    whole, broken = card.index("leave words whole"), card.index("break a word")
    assert (
        card.index("kinds.png") < whole < card.index("- whole word (row 0):") < broken < card.index("- number (row 0)")
    )
    assert set(draw_edit_plots(data)) == {"kinds.png", "probabilities.png", "perplexity.png", "decay.png"}

    # If a generation has kinds for some edits only, kinds are not shown.
    unknown = replace(data.generations[0], num_selected_by_kind={"number": 5})
    data = make_data(stats=unknown)
    card = render_card(data)
    assert "kinds.png" not in draw_edit_plots(data) and not re.search(r"by kind|edits \d|leave words whole", card)
    assert "To look up or learn facts: nothing was checked against facts." in card


def test_of_many_generations_the_first_and_the_last_have_bars() -> None:
    data = make_data(generations=20)
    names = [name for name, _ in kind_bars(data)]
    assert names == [f"changed in generation {number}" for number in (1, 2, 3, 4, 5, 6, 7, 20)]


def test_a_figure_of_another_generation_is_marked() -> None:
    card = render_card(make_data())
    assert card.count("| after generation 1\\*: tokens |") == card.count("| after generation 1\\* |") == 1
    note = "\\* The result of generation 2 was not scored; these figures are of the texts that generation 2 read."
    assert card.count(note) == 2
    once = make_data()
    assert "was not scored; these figures" not in render_card(replace(once, result=once.generations[-1]))


def test_the_command_is_told_without_what_does_not_decide_the_result() -> None:
    typed = "hf-toedit edit org/name -o run --workers 0 --limit 3 --quiet --token-budget=9 --seed 1 -q --workers"
    card = render_card(make_data(provenance={"command": typed}))
    assert "\nhf-toedit edit org/name -o run --limit 3 --seed 1\n" in card


def test_sources_and_priors_on_the_hub_are_cited_with_their_commits() -> None:
    local = render_card(make_data())
    assert "The source, stories.parquet, has no known address" in local
    assert "@misc{source" not in local and "@misc{prior" not in local
    data = make_data(
        source="org/my_stories",
        files=(f"hf://datasets/org/my_stories@{'0' * 40}/a.parquet",),
        prior=PriorConfig("org/model", revision="2" * 40),
    )
    card = render_card(data)
    entries = re.findall(r"(?m)^@(\w+)\{(\w+),$", card)
    assert entries == [("misc", "source"), ("misc", "prior"), ("misc", "zhu2024synthesize"), ("software", "hftoedit")]
    assert "title = {org/my\\_stories}" in card and f"note = {{commit {'0' * 40}}}" in card
    assert "url = {https://huggingface.co/datasets/org/my_stories}" in card
    assert "url = {https://huggingface.co/org/model}" in card and "no address" not in card


def test_what_is_not_known_is_left_out() -> None:
    data = make_data(stats=EditStats(num_rows=3, num_documents=3, num_skipped=Counter(empty=3)), examples=())
    plan = replace(data.plan, task=replace(data.task, run=RunConfig(2, None)))
    data = replace(data, plan=plan, features={"text": Value("string")})
    card = render_card(data)
    headings = re.findall(r"(?m)^## (.*)$", card)
    assert headings == [
        "Loading", "Origin", "What was edited", "Fields", "Intended use", "Limits", "Licence", "Citation"
    ]  # fmt: skip
    assert "img" not in card and "revert" not in card and draw_edit_plots(data) == {}
    assert not re.search(r"N/A|\bNone\b|\bnan\b|versions|The command", card)
    assert "cannot be restored" in card and "| generation | empty |" in card


@pytest.mark.parametrize(
    ("num_rows", "category"),
    [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (10**6 - 1, "100K<n<1M"), (10**9, "1B<n<10B"),
     (10**12 - 1, "100B<n<1T"), (10**12, "n>1T")],
)  # fmt: skip
def test_size_categories_are_those_of_the_hub(num_rows: int, category: str) -> None:
    assert size_category(num_rows) == category


def test_a_plan_that_was_read_again_gives_the_same_card() -> None:
    data = make_data()
    assert render_card(replace(data, plan=Plan.from_json(data.plan.to_json()))) == render_card(data)
