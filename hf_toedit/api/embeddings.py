"""The embedding view of a comparison: some documents of each dataset get a vector from a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hf_toedit.analysis.embedding import EmbeddingView
    from hf_toedit.analysis.variant import Variant


def embedded(variants: Sequence[Variant], embedder: str, seed: int, progress: bool) -> EmbeddingView:
    """Give documents of the samples of variants vectors, and compare these.

    Args:
        variants: the first one is the reference; see `check_embeddable`.
        embedder: Name of a causal language model, or of a model of sentence-transformers.
        seed: of random choices.
        progress: show a bar.

    Raises:
        PriorError, UsageError: As of `Embedder` and `SentenceEmbedder`.
    """
    from hf_toedit.analysis.embedding import MOST_DOCUMENTS, embedding_view
    from hf_toedit.priors.embedding import Embedder
    from hf_toedit.priors.sentences import SentenceEmbedder, is_sentence_model
    from hf_toedit.progress import counted_progress

    model = SentenceEmbedder(embedder) if is_sentence_model(embedder) else Embedder(embedder)
    texts = {variant.name: variant.sample[:MOST_DOCUMENTS] for variant in variants}
    with counted_progress("embeddings", sum(map(len, texts.values())), not progress) as bar:
        vectors = {name: model.embed(some, bar) for name, some in texts.items()}
    return embedding_view(vectors, embedder, model.revision, seed)
