"""Tokenizers for the tests of the method: those of the shared folder, and kinds trained here that it has none of."""

from __future__ import annotations

from functools import cache

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from hf_toedit.editing.alignment import Aligner
from tests.shared import TOKENIZERS, texts, tokenizer_path


def _wordpiece() -> Tokenizer:
    """BERT's: lower case, accents stripped, `##` before what continues a word."""
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
    """RoBERTa's: byte-level with a space put in front, and offsets trimmed of spaces."""
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
    """CLIP's: `</w>` after what ends a word."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.BPEDecoder()
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=["<unk>"], end_of_word_suffix="</w>")
    tokenizer.train_from_iterator(texts("synthetic_tinystories_500")[:100], trainer)
    return tokenizer


def _truncating() -> Tokenizer:
    """GPT-2's with what a tokenizer.json may bring along: truncation, padding and dropout."""
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
    """One for all tests: it holds a copy of the tokenizer, and large ones take long."""
    return Aligner(tokenizer(name), protect)
