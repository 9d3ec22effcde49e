"""Tokenizers for the tests of the method: those of the shared folder, and trained ones of kinds that it lacks."""

from __future__ import annotations

from functools import cache

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from hf_toedit.editing.alignment import Aligner
from tests.shared import TOKENIZERS, texts, tokenizer_path


def _wordpiece() -> Tokenizer:
    """Return a tokenizer like BERT's: lower case, no accents, and `##` before the continuation of a word."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=600, special_tokens=["[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    tokenizer.train_from_iterator(texts("synthetic_tinystories_500")[:100], trainer)
    special = [("[CLS]", tokenizer.token_to_id("[CLS]")), ("[SEP]", tokenizer.token_to_id("[SEP]"))]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=special)
    return tokenizer


def _roberta() -> Tokenizer:
    """Return a tokenizer like RoBERTa's: byte-level with a leading space, and offsets trimmed of spaces."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=700, special_tokens=["<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(texts("synthetic_tinystories_500")[:100], trainer)
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", 1), ("<s>", 0), trim_offsets=True, add_prefix_space=True
    )
    return tokenizer


def _end_of_word() -> Tokenizer:
    """Return a tokenizer like CLIP's: `</w>` at the end of a word."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.BPEDecoder()
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=["<unk>"], end_of_word_suffix="</w>")
    tokenizer.train_from_iterator(texts("synthetic_tinystories_500")[:100], trainer)
    return tokenizer


def _truncating() -> Tokenizer:
    """Return GPT-2's tokenizer with options that a tokenizer.json may contain: truncation, padding and dropout."""
    tokenizer = Tokenizer.from_file(str(tokenizer_path("gpt2") / "tokenizer.json"))
    tokenizer.enable_truncation(max_length=5)
    tokenizer.enable_padding(length=8)
    tokenizer.model.dropout = 0.5
    return tokenizer


_TRAINED = {"wordpiece": _wordpiece, "roberta": _roberta, "end-of-word": _end_of_word, "truncating": _truncating}
ALL_TOKENIZERS = (*TOKENIZERS, *_TRAINED)


@cache
def tokenizer(name: str) -> Tokenizer:
    if name in _TRAINED:
        return _TRAINED[name]()
    return Tokenizer.from_file(str(tokenizer_path(name) / "tokenizer.json"))


@cache
def aligner(name: str, protect: tuple[str, ...] = ()) -> Aligner:
    """Return a cached aligner: it contains a copy of the tokenizer, and copying large ones is slow."""
    return Aligner(tokenizer(name), protect)
