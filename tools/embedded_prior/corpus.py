"""Reading and cleaning of the text the embedded prior is trained on."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

PROSE = "prose"


@dataclass(frozen=True)
class Source:
    """One named part of the corpus.

    Attributes:
        name: Key used in logs and in the evaluation.
        pattern: Glob, relative to the data folder or to the unpacked packages.
        kind: How a file is turned into documents.
        main: How often each document occurs in one pass over the corpus in the first two stages of the training.
        tune: The same for the last stage.
        licence: Licence of the text.
        group: `prose` for the sources that make up the held-out prose set.
    """

    name: str
    pattern: str
    kind: str
    main: float
    tune: float
    licence: str
    group: str = ""


@dataclass(frozen=True)
class Document:
    """A cleaned text, its source, and the key that determines its split."""

    source: str
    key: str
    text: str


# Repeats upweight general prose, which is scarce, over technical documentation, which is plentiful.
SOURCES = (
    Source("wikitext2", "wikitext2_tokens_valid.jsonl", "wikitext", 5, 3, "CC BY-SA 3.0", PROSE),
    Source("pride_and_prejudice", "book_pride_and_prejudice.jsonl", "book", 3, 1, "public domain", PROSE),
    Source("tinystories", "synthetic_tinystories_500.jsonl", "jsonl", 5, 3, "CDLA-Sharing-1.0", PROSE),
    Source(
        "dolma_web", "web_dolma_cc_en_head.jsonl", "jsonl", 5, 3, "Apache-2.0 (repository); Common Crawl text", PROSE
    ),
    Source("seed_tasks", "instruct_seed_tasks.jsonl", "instruct", 5, 3, "Apache-2.0", PROSE),
    Source("user_oriented", "instruct_user_oriented.jsonl", "instruct", 5, 3, "Apache-2.0", PROSE),
    Source("davinci003", "synthetic_instruct_davinci003.jsonl", "answer", 5, 3, "Apache-2.0", PROSE),
    Source("gsm8k", "math_gsm8k_train.jsonl", "gsm8k", 2, 0.5, "MIT"),
    Source("pubmedqa", "biomed_pubmedqa_l.jsonl", "jsonl", 3, 1, "MIT (repository); PubMed abstracts"),
    Source("shakespeare", "book_tiny_shakespeare.jsonl", "jsonl", 0.5, 0, "public domain"),
    Source("wordnet", "dict-wn/**/wn.dict.dz", "wordnet", 0.6, 0.1, "WordNet 3.0 licence"),
    Source("anarchism", "anarchism/**/html/sec*.html", "html", 0.5, 0, "GPL-2.0-or-later"),
    Source("jargon", "jargon-text/**/jargon.txt.gz", "text", 1.5, 0.5, "public domain"),
    Source("gnome_help", "gnome-user-docs/usr/share/help/C/**/*.page", "html", 2, 0.5, "CC BY-SA 3.0"),
    Source("debian_edu", "debian-edu-doc-en/**/*-manual.html", "html", 0.5, 0, "GPL-2.0-or-later"),
    Source(
        "debian_handbook", "debian-handbook/**/html/en-US/*.html", "html", 1, 0.2, "GPL-2.0-or-later or CC BY-SA 3.0"
    ),
    Source("harden_doc", "harden-doc/**/html/en-US/*.html", "html", 1, 0, "GPL-2.0-or-later"),
    Source("debian_reference", "debian-reference-en/**/*.html", "html", 0.5, 0, "GPL-2.0-or-later"),
    Source("debian_faq", "debian-faq/**/FAQ/*.html", "html", 1, 0, "Debian FAQ licence (copyleft)"),
    Source("git_doc", "git-doc/**/gi*.html", "html", 0.25, 0, "GPL-2.0"),
    Source("python_tutorial", "python3.11-doc/**/html/tutorial/*.html", "html", 2, 0.5, "PSF-2.0"),
    Source("python_howto", "python3.11-doc/**/html/howto/*.html", "html", 1, 0, "PSF-2.0"),
    Source("python_faq", "python3.11-doc/**/html/faq/*.html", "html", 2, 0.5, "PSF-2.0"),
    Source("python_library", "python3.11-doc/**/html/library/*.html", "html", 0.15, 0, "PSF-2.0"),
    Source("perl_doc", "perl-doc/**/pod/perl[a-z]*[!a].pod", "pod", 0.1, 0, "Artistic or GPL-1.0-or-later"),
)

_QUOTES = str.maketrans({"“": '"', "”": '"', "‘": "'", "’": "'"})


def fraction(key: str) -> float:
    """Map a key to a number in [0, 1) that is the same on every machine."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64


def unwrap(text: str) -> str:
    """Join the lines of each paragraph, because modern text is not hard-wrapped."""
    paragraphs = re.split(r"\n\s*\n", text.strip())
    return "\n\n".join(" ".join(p.split()) for p in paragraphs if p.strip())


def _book(text: str, key: str) -> str:
    text = unwrap(re.sub(r"End of the Project Gutenberg.*", "", text, flags=re.S)).replace("_", "")
    return text.translate(_QUOTES) if fraction("quotes" + key) < 0.5 else text


def _wiki_line(line: str) -> str:
    heading = re.fullmatch(r"((?:= ?)+)(.*?)((?: ?=)+)", line)
    if heading:
        return "" if "<unk>" in line else heading[2].strip()
    line = re.sub(r" [(\[] (?:[^()\[\]]* )?<unk>(?: [^()\[\]]*)? [)\]](?= |$)", "", line)
    kept = [s for s in re.split(r"(?<= [.!?]) (?=[A-Z\"<])", line) if "<unk>" not in s]
    text = " ".join(kept)
    text = re.sub(r" @(.)@ ", r"\1", text)
    text = re.sub(r"\" ([^\"]*?) \"", r'"\1"', text)
    text = re.sub(r" ([,.;:?!)\]%])", r"\1", text)
    text = re.sub(r"([(\[$£€]) ", r"\1", text)
    text = re.sub(r" ('s|n't|'re|'ve|'ll|'d|'m|')(?= |$|[,.;:])", r"\1", text)
    return re.sub(r"(\d) – (\d)", r"\1–\2", text)


def _wikitext(text: str) -> str:
    """Undo the tokenisation of WikiText and leave out the sentences with unknown words."""
    lines = (_wiki_line(" ".join(line.split())) for line in text.split("\n"))
    return "\n\n".join(line for line in lines if line)


def _wordnet(raw: str) -> Iterator[tuple[str, str]]:
    """Gather neighbouring senses into documents, so that not every other text begins like a dictionary."""
    lines = list(_senses(raw))
    for start in range(0, len(lines), 20):
        yield str(start), "\n".join(lines[start : start + 20])


def _senses(raw: str) -> Iterator[str]:
    """Turn dictionary entries into sentences: the gloss, then the usage examples."""
    seen: set[str] = set()
    for entry in re.split(r"\n(?=\S)", raw):
        head, _, body = entry.partition("\n")
        for sense in re.split(r"(?:^|\s)(?:(?:n|v|adj|adv) )?\d+: ", " ".join(body.split()))[1:]:
            gloss = re.sub(r"\s*\[(?:syn|ant|also): .*?\](?=\s|$)", "", sense).strip()
            if not gloss or gloss in seen:
                continue
            seen.add(gloss)
            examples = [e[:1].upper() + e[1:] for e in re.findall(r'"([^"]+)"', gloss)]
            meaning = re.sub(r"[;:,]?\s*\"[^\"]*\"", "", gloss).strip(" ;:")
            sentences = [f"{head[:1].upper()}{head[1:]}: {meaning}", *examples]
            yield " ".join(s if s[-1:] in ".!?" else s + "." for s in sentences)


class _Html(HTMLParser):
    """Collect the readable text of a page, one paragraph per block element."""

    SKIP = frozenset("head script style nav footer form info table svg title desc".split())
    VOID_CLASSES = frozenset(
        "sphinxsidebar related footer headerlink navheader navfooter toc docnav top_logo bottom_logo linenos".split()
    )
    BLOCKS = frozenset(
        "p div li dt dd h1 h2 h3 h4 h5 h6 pre blockquote item section page tr br screen code-block".split()
    )
    NEVER_CLOSED = frozenset("br hr img input link meta col area base wbr".split())

    def __init__(self, page: bool) -> None:
        """Prepare for an HTML page or, if `page` is true, a Mallard one (whose titles are headings)."""
        super().__init__(convert_charrefs=True)
        self.page = page
        self.hidden: list[str] = []
        self.pre = 0
        self.blocks: list[str] = [""]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open a paragraph at a block element, or start to skip."""
        if tag in self.NEVER_CLOSED and tag != "br":
            return
        classes = set((dict(attrs).get("class") or "").split())
        skip = (tag in self.SKIP and not (self.page and tag == "title")) or classes & self.VOID_CLASSES
        if self.hidden or skip:
            if tag != "br":
                self.hidden.append(tag)
            return
        if tag in self.BLOCKS or (self.page and tag == "title"):
            self.blocks.append("")
        if tag in ("pre", "screen"):
            self.pre += 1
        if tag == "li":
            self.blocks[-1] = "- "

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Ignore elements that are empty by their spelling."""

    def handle_endtag(self, tag: str) -> None:
        """Close a paragraph, or stop skipping."""
        if tag in self.hidden:
            while self.hidden.pop() != tag:
                pass
            return
        if tag in ("pre", "screen"):
            self.pre = max(0, self.pre - 1)
        if tag in self.BLOCKS and not self.hidden:
            self.blocks.append("")

    def handle_data(self, data: str) -> None:
        """Add text, with its line breaks only where they are meant."""
        if not self.hidden:
            self.blocks[-1] += data if self.pre else re.sub(r"\s+", " ", data)

    def text(self) -> str:
        """Return the paragraphs, with list items on consecutive lines."""
        out = ""
        pending = ""
        for block in (b.strip(" ").strip("\n").replace("¶", "") for b in self.blocks):
            if block == "-":
                pending = "- "
            elif block.strip():
                block, pending = pending + block, ""
                item = block.startswith("- ") and out.rpartition("\n")[2].startswith("- ")
                out += ("\n" if item else "\n\n") + block
        return out.strip()


def _html(raw: str) -> str:
    parser = _Html(page="projectmallard.org" in raw)
    parser.feed(raw)
    return parser.text()


def _pod(raw: str) -> str:
    """Strip Perl's documentation format."""
    raw = re.sub(r"^=(?:begin|for)\b.*?(?:^=end.*?$|\n\n)", "", raw, flags=re.M | re.S)
    raw = re.sub(r"^=item \*?\s*", "- ", raw, flags=re.M)
    raw = re.sub(r"^=(?:head\d|encoding|over|back|cut|pod)[ \t]*(?:\d+$|utf-?8$)?", "", raw, flags=re.M | re.I)
    for _ in range(3):
        raw = re.sub(r"[XZ]<[^<>]*>", "", raw)
        raw = re.sub(r"L<(?:([^<>|]*)\|)?([^<>]*)>", lambda m: m[1] or m[2], raw)
        raw = re.sub(r"[BCFIS](?:<< (.*?) >>|<([^<>]*)>)", lambda m: m[1] or m[2] or "", raw)
    raw = raw.replace("E<gt>", ">").replace("E<lt>", "<")
    paragraphs = re.split(r"\n\s*\n", raw)
    return "\n\n".join(p if p.startswith((" ", "\t")) else " ".join(p.split()) for p in paragraphs if p.strip())


def _read(path: Path) -> str:
    data = gzip.decompress(path.read_bytes()) if path.suffix in (".gz", ".dz") else path.read_bytes()
    return data.decode("utf-8", errors="replace").replace("\r\n", "\n")


def _row(row: dict, kind: str, key: str) -> tuple[str, str]:
    text = row["text"]
    if kind == "wikitext":
        return key, _wikitext(text)
    if kind == "book":
        return key, _book(text, key)
    if kind == "gsm8k":
        return key, re.sub(r"<<[^>]*>>", "", text)
    if kind in ("instruct", "answer"):
        # Two of the files answer the same instructions; by this key they are held out together.
        key = row["instruction"].strip()
    if kind == "instruct":
        parts = (row["instruction"], row["input"], row["output"])
        text = "\n\n".join(p.strip() for p in parts if p.strip())
    return key, text


def _documents(source: Source, path: Path) -> Iterator[tuple[str, str]]:
    if source.kind == "wordnet":
        yield from _wordnet(_read(path))
    elif source.kind == "html":
        yield path.name, _html(_read(path))
    elif source.kind == "text":
        paragraphs = unwrap(_read(path)).split("\n\n")
        yield path.name, "\n\n".join(p for p in paragraphs if len(p.split()) > 8)
    elif source.kind == "pod":
        yield path.name, _pod(_read(path))
    else:
        for number, line in enumerate(_read(path).rstrip("\n").split("\n")):
            yield _row(json.loads(line), source.kind, str(number))


def read(data: Path, docs: Path) -> Iterator[Document]:
    """Read all sources in a fixed order.

    Args:
        data: Folder of the JSON-lines files.
        docs: Folder with one unpacked documentation package per subfolder.

    Yields:
        Cleaned documents of at least 20 characters.

    Raises:
        FileNotFoundError: If a source has no file.
    """
    for source in SOURCES:
        root = data if source.pattern.endswith(".jsonl") else docs
        paths = sorted(root.glob(source.pattern))
        if not paths:
            raise FileNotFoundError(f"{source.name}: nothing matches {source.pattern} in {root}")
        for path in paths:
            for key, text in _documents(source, path):
                if len(text) >= 20:
                    yield Document(source.name, f"{source.kind}:{key}", text.strip())


def split(documents: Iterable[Document], share: float, least: int) -> tuple[list[Document], list[Document]]:
    """Hold documents out by the hash of their key.

    Args:
        documents: The corpus.
        share: Share of the documents of each source to hold out.
        least: Minimum number to hold out of each source with ten times as many.

    Returns:
        The training documents and the held-out documents.
    """
    documents = list(documents)
    kinds: dict[str, set[str]] = {}
    for d in documents:
        kinds.setdefault(d.source, set()).add(d.key)
    held: set[tuple[str, str]] = set()
    for name, keys in kinds.items():
        count = max(round(share * len(keys)), min(least, len(keys) // 10))
        held |= {(name, key) for key in sorted(keys, key=fraction)[:count]}
    train = [d for d in documents if (d.source, d.key) not in held]
    return train, [d for d in documents if (d.source, d.key) in held]
