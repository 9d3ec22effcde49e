"""Intended uses, out-of-scope uses and citations of an edited dataset, with the run's own figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from hf_toedit.cards.edit_data import EditCardData
from hf_toedit.cards.escape import Markdown, code, percent, url
from hf_toedit.cards.method import rule_in
from hf_toedit.cards.origin import HUB
from hf_toedit.stats import generation_figures

_PAPER = """@misc{zhu2024synthesize,
  title = {How to Synthesize Text Data without Model Collapse?},
  author = {Zhu, Xuekai and Cheng, Daixuan and Li, Hengli and Zhang, Kaiyan and Hua, Ermo and Lv, Xingtai and Ding, \
Ning and Lin, Zhouhan and Zheng, Zilong and Zhou, Bowen},
  year = {2024},
  eprint = {2412.14689},
  archivePrefix = {arXiv},
  primaryClass = {cs.CL},
  url = {https://arxiv.org/abs/2412.14689}
}"""


def uses(data: EditCardData) -> list[Markdown]:
    """Return the intended uses."""
    if not _num_edits(data):
        return [Markdown("The same as the source: no text differs from it.")]
    unchanged = generation_figures(data.generations)[-1].characters_unchanged
    share = f"{percent(unchanged)} of the source's characters are unchanged" if unchanged else "most text is unchanged"
    parts = [f"To train language models on, where {share}, in place of text that a model wrote whole."]
    if data.task.run.edit_log_column is not None:
        parts.append("To study what edits do to a text: every row records its edits, and its source can be restored.")
    return list(map(Markdown, parts))


def not_for(data: EditCardData) -> list[Markdown]:
    """Return the out-of-scope uses."""
    return list(_not_for(data)) if _num_edits(data) else []


def citations(data: EditCardData) -> str:
    """Return BibTeX for the source and the prior if they are on the Hub, for the paper, and for this tool."""
    entries = []
    if data.source_repo:
        address = f"{HUB}/datasets/{url(data.source_repo)}"
        entries.append(_on_the_hub("source", data.source_repo, "Dataset", data.plan.source_revision, address))
    if data.model_repo:
        address = f"{HUB}/{url(data.model_repo)}"
        entries.append(_on_the_hub("prior", data.model_repo, "Model", data.task.prior_revision, address))
    tool = "@software{hftoedit,\n  title = {hf-toedit},\n  author = {{The hf-toedit authors}},\n"
    return "\n\n".join([*entries, _PAPER, f"{tool}  version = {{{data.plan.version}}}\n}}"])


def _num_edits(data: EditCardData) -> int:
    return sum(stats.num_changed + stats.num_dropped for stats in data.generations)


def _not_for(data: EditCardData) -> Iterator[Markdown]:
    edit, total = data.task.edit, _num_edits(data)
    counts: Counter[str] = Counter()
    for stats in data.generations if data.has_kinds else ():
        counts.update({kind: entry.num_changed + entry.num_dropped for kind, entry in stats.kinds.items()})

    def of(kind: str) -> str:
        return f"{counts[kind]:,} ({counts[kind] / total:.1%})"

    facts = "To look up or learn facts: nothing was checked against facts."
    nouns = {"number": "numbers", "capitalised_word": "capitalised words, names among them"}
    named = [f"{of(kind)} are of {words}" for kind, words in nouns.items() if counts[kind]]
    if named:
        facts += f" Of {total:,} edits, {' and '.join(named)}."
    elif counts["whole_word"]:
        facts += f" Of {total:,} edits, {of('whole_word')} are of whole words."
    if edit.protect:
        facts += f" Protected, and unchanged: {', '.join(map(code, edit.protect))}."
    yield Markdown(facts)
    if counts["inside_word"]:
        yield Markdown(
            f"To be read by people, or to teach spelling: {of('inside_word')} of the edits are inside a word, "
            "and mostly break it."
        )
    if counts["code"]:
        yield Markdown(f"To be run or parsed: {of('code')} of the edits are in code, math, addresses or markup.")
    if rule_in(data.plan).selects:
        yield Markdown("To test models on, or to quote: sampled text is the prior's, and no person wrote it.")


def _on_the_hub(key: str, name: str, what: str, commit: str, address: str) -> str:
    title = name.replace("_", "\\_")
    return (
        f"@misc{{{key},\n  title = {{{title}}},\n  howpublished = {{{what} on the Hugging Face Hub}},\n"
        f"  note = {{commit {commit}}},\n  url = {{{address}}}\n}}"
    )
