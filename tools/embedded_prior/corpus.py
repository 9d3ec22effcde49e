"""Reading and cleaning of the text the embedded prior is trained on."""

from __future__ import annotations

import hashlib
import html
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
        main: How often each document occurs in one pass over the corpus in the first stage of the training.
        tune: The same for the second stage.
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


_DOLMA = "Apache-2.0 (repository); Common Crawl text"
_PUBMED = "MIT (repository); PubMed abstracts"

# Repeats upweight what is scarce: stories and present-day prose over novels and textbooks.
SOURCES = (
    Source("wikitext2", "wikitext2_tokens_valid.jsonl", "wikitext", 3, 2, "CC BY-SA 3.0", PROSE),
    Source("pride_and_prejudice", "book_pride_and_prejudice.jsonl", "book", 2, 1, "public domain", PROSE),
    Source("tinystories", "jlens-tinystories/**/tinystories_1000.json", "list", 6, 5, "CDLA-Sharing-1.0", PROSE),
    Source("dolma_web", "web_dolma_cc_en_head.jsonl", "jsonl", 4, 3, _DOLMA, PROSE),
    Source("seed_tasks", "instruct_seed_tasks.jsonl", "instruct", 4, 3, "Apache-2.0", PROSE),
    Source("user_oriented", "instruct_user_oriented.jsonl", "instruct", 4, 3, "Apache-2.0", PROSE),
    Source("davinci003", "synthetic_instruct_davinci003.jsonl", "answer", 4, 3, "Apache-2.0", PROSE),
    Source("gsm8k", "math_gsm8k_train.jsonl", "gsm8k", 1.5, 0.5, "MIT"),
    Source("pubmedqa", "biomed_pubmedqa_l.jsonl", "jsonl", 1.5, 0.5, _PUBMED),
    Source("wikitext2_test", "examples/**/wikitext-2/test.txt", "articles", 3, 2, "CC BY-SA 3.0"),
    Source("wikisplit", "wiki-split/*.tsv", "sentences", 1, 0.5, "CC BY-SA 4.0"),
    Source("novels", "100_english_novels/corpus/*.txt", "novel", 0.3, 0.1, "public domain"),
    Source("textbooks", "*-book/contents/*.md", "markdown", 1, 0.5, "CC BY 3.0 or 4.0"),
    Source("gnome_help", "gnome-user-docs/usr/share/help/C/**/*.page", "html", 1, 0.5, "CC BY-SA 3.0"),
    Source(
        "debian_handbook", "debian-handbook/**/html/en-US/*.html", "html", 1, 0.2, "GPL-2.0-or-later or CC BY-SA 3.0"
    ),
    Source("python_tutorial", "python3.11-doc/usr/**/html/tutorial/*.html", "html", 2, 1, "PSF-2.0"),
    Source("python_faq", "python3.11-doc/usr/**/html/faq/*.html", "html", 1, 0.5, "PSF-2.0"),
)

NEWEST_NOVEL = 1930
"""Novels of later years are not in the public domain everywhere; the file names end with the year."""

_QUOTES = str.maketrans({"“": '"', "”": '"', "‘": "'", "’": "'"})


def fraction(key: str) -> float:
    """Map a key to a number in [0, 1) that is the same on every machine."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64


def unwrap(text: str) -> str:
    """Join the lines of each paragraph, because modern text is not hard-wrapped."""
    paragraphs = re.split(r"\n\s*\n", text.strip())
    return "\n\n".join(" ".join(p.split()) for p in paragraphs if p.strip())


def _quoted(text: str, key: str) -> str:
    """Make the quotation marks of every other text straight, because both forms are usual."""
    return text.translate(_QUOTES) if fraction("quotes" + key) < 0.5 else text


def _book(text: str, key: str) -> str:
    return _quoted(unwrap(re.sub(r"End of the Project Gutenberg.*", "", text, flags=re.S)).replace("_", ""), key)


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


def _sentences(raw: str) -> Iterator[tuple[str, str]]:
    """Undo the tokenisation of WikiSplit's unsplit sentences; each is a document."""
    for line in raw.splitlines():
        sentence = re.sub(r"'' (.*?) ''", r'"\1"', line.partition("\t")[0])
        yield sentence, _wiki_line(sentence)


def _articles(raw: str) -> Iterator[tuple[str, str]]:
    """Split the text file of WikiText into its articles."""
    for article in re.split(r"\n(?= = [^=\n]* = \n)", raw):
        yield article[:80].strip(), _wikitext(article)


def _novel(raw: str, name: str) -> Iterator[tuple[str, str]]:
    """Split a novel into pieces of some pages, which are held out together."""
    if raw.count("\n\n") < 100:  # no blank lines: a short line at the end of a sentence ends a paragraph
        raw = re.sub(r"(?m)^(.{1,50}[.?!][\"']?)$", r"\1\n", raw)
    piece = ""
    for paragraph in _book(raw.lstrip("\ufeff"), name).split("\n\n"):
        piece += paragraph + "\n\n"
        if len(piece) > 12_000:
            yield name, piece
            piece = ""
    yield name, piece


_MARKUP = (
    (r"(?s)\A---\n.*?\n---\n", ""),  # front matter
    (r"(?s)<math.*?</math>", "\0"),
    (r"!\[[^\]]*\]\((?:[^()\"]|\"[^\"]*\")*\)", ""),  # images
    (r"\{:[^}]*\}", ""),
    (r" ?\(\[\\?\[link\\?\]\]\([^)]*\)\)", ""),  # a reference to a figure, in brackets
    (r"\[\\?\[link\\?\]\]\([^)]*\)", "the figure"),
    (r"\[([^\[\]]*)\](?:\([^()]*\)|\[\w+\])", r"\1"),
    (r"<[/?]?[a-zA-Z][^>]*>", ""),
    (r"\*\*|(?m:^#+ )|\\(?=\W)", ""),
    (r"(?<!\w)[*_]([^*_\n]+)[*_](?!\w)", r"\1"),
)


# A sentence, a list, or a heading of a few words without numbers.
_READS_AS_TEXT = re.compile(r"""[.?!:]["')]*\s*\Z|^\s*\* |\A\s*[^\W\d][^\d\s]*(?:\s+[^\W\d][^\d\s]*){1,7}\s*\Z""", re.M)


def _markdown(text: str) -> str:
    """Strip the markup of a textbook; paragraphs with formulas and tables are left out."""
    for pattern, new in _MARKUP:
        text = re.sub(pattern, new, text)
    paragraphs = (
        "\n".join(" ".join(line.split()) for line in re.split(r"\n(?=\s*\* )", p))
        for p in re.split(r"\n\s*\n", html.unescape(text))
    )
    kept = (p.strip() for p in paragraphs if _READS_AS_TEXT.search(p) and not re.search(r"[\0|]", p))
    text = "\n\n".join(kept)
    return _quoted(text, text)


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


def _page(raw: str) -> str:
    parser = _Html(page="projectmallard.org" in raw)
    parser.feed(raw)
    return parser.text()


def _read(path: Path) -> str:
    return path.read_bytes().decode("utf-8", errors="replace").replace("\r\n", "\n")


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
    raw = _read(path)
    if source.kind == "list":
        yield from ((str(number), text) for number, text in enumerate(json.loads(raw)))
    elif source.kind == "html":
        yield path.name, _page(raw)
    elif source.kind == "markdown":
        yield path.name, _markdown(raw)
    elif source.kind == "novel":
        yield from _novel(raw, path.name)
    elif source.kind == "articles":
        yield from _articles(raw)
    elif source.kind == "sentences":
        yield from _sentences(raw)
    else:
        for number, line in enumerate(raw.rstrip("\n").split("\n")):
            yield _row(json.loads(line), source.kind, str(number))


def read(data: Path, docs: Path) -> Iterator[Document]:
    """Read all sources in a fixed order.

    Args:
        data: Folder of the JSON-lines files.
        docs: Folder with one repository or unpacked documentation package per subfolder.

    Yields:
        Cleaned documents of at least 20 characters, each text once.

    Raises:
        FileNotFoundError: If a source has no file.
    """
    seen: set[str] = set()
    for source in SOURCES:
        root = data if source.pattern.endswith(".jsonl") else docs
        paths = sorted(path for path in root.glob(source.pattern) if not path.is_symlink())
        if not paths:
            raise FileNotFoundError(f"{source.name}: nothing matches {source.pattern} in {root}")
        for path in paths:
            if source.kind == "novel" and int(path.stem.rpartition("_")[2]) > NEWEST_NOVEL:
                continue
            for key, text in _documents(source, path):
                text = text.strip()
                if len(text) >= 20 and text not in seen:
                    seen.add(text)
                    yield Document(source.name, f"{source.kind}:{key}", text)


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
