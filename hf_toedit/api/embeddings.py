"""The embedding view of a comparison: a model embeds some documents of each dataset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hf_toedit.analysis.embedding import EmbeddingView
    from hf_toedit.analysis.variant import Variant


def embedded(variants: Sequence[Variant], embedder: str, seed: int, progress: bool) -> EmbeddingView:
    """Embed documents from the samples of variants, and compare the vectors.

    Args:
        variants: Variants, the first of which is the reference; see `check_embeddable`.
        embedder: Name of a causal language model, or of a sentence-transformers model.
        seed: Random seed.
        progress: Show a progress bar.

    Raises:
        PriorError, UsageError: As in `Embedder` and `SentenceEmbedder`.
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
