"""Density: the similarity of a text to the other texts of its dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from hf_toedit.errors import RunError
from hf_toedit.features.density import DensityTable, MinHash
from hf_toedit.fingerprint import file_fingerprint
from hf_toedit.scorers.scorer import Score
from hf_toedit.scorers.without_model import TextScorer, WithoutModelConfig

if TYPE_CHECKING:
    from typing_extensions import Self

_FIELDS = {"log_inverse_density": "float64", "density": "float64"}
_LEAST = 1e-6


@dataclass(frozen=True)
class DensityConfig(WithoutModelConfig):
    """The density of a text among the texts of its dataset, see `features/density.py`.

    `density` is its mean similarity to a sample of them, from 0 to 1; `log_inverse_density` is -ln of that. Rows that
    are sampled in proportion to the inverse density cover the dataset evenly (Sachdeva et al. 2024, arXiv 2402.09668).

    Attributes:
        table: File with the counts of the sample; empty if it is no longer available.
        revision: Fingerprint of the file.
    """

    kind: ClassVar[str] = "density"

    table: str = ""
    revision: str = ""

    @property
    def reported(self) -> DensityConfig:
        """See `WithoutModelConfig`."""
        return replace(self, table="")

    @property
    def fields(self) -> Mapping[str, str]:
        """See `ScorerConfig`."""
        return _FIELDS

    @property
    def pins(self) -> tuple[str, ...]:
        """See `ScorerConfig`."""
        return ("table", "revision")

    @classmethod
    def fitted(cls, texts: Sequence[str], path: Path) -> Self:
        """Count texts into a file.

        Args:
            texts: A sample of the dataset.
            path: Path of the file; its folder must exist.
        """
        from hf_toedit.storage.files import whole_file

        table = DensityTable()
        table.add(MinHash().buckets(texts))
        with whole_file(path) as temporary, temporary.open("wb") as stream:
            np.savez_compressed(stream, counts=table.counts, num_texts=table.num_texts)
        return cls(str(path.absolute()), file_fingerprint(str(path))[1])

    def scorer(self) -> DensityScorer:
        """See `WithoutModelConfig`.

        Raises:
            RunError: The file was deleted or changed.
        """
        path = Path(self.table)
        if not path.is_file() or file_fingerprint(str(path))[1] != self.revision:
            raise RunError(f"{path} is gone or was changed. Run the same hf-toedit select again: it makes it again.")
        with np.load(path) as file:
            return DensityScorer(DensityTable(file["counts"], int(file["num_texts"])))


class DensityScorer(TextScorer):
    """Computes densities from a table; see `Scorer`."""

    name = "density"
    fields = tuple(_FIELDS)

    def __init__(self, table: DensityTable) -> None:
        """Store the table.

        Args:
            table: Counts of a sample.
        """
        self._table = table
        self._hash = MinHash()

    def values(self, texts: Sequence[str]) -> list[dict[str, Score]]:
        """See `TextScorer`."""
        densities = self._table.densities(self._hash.buckets(texts))
        both = np.stack([-np.log(np.maximum(densities, _LEAST)), densities], axis=1)
        return [dict(zip(_FIELDS, values, strict=True)) for values in both.tolist()]
