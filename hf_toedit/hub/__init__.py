"""All our traffic with the Hub; `datasets` and `transformers` do the rest, at the commit pinned here."""

from hf_toedit.hub.patience import patiently
from hf_toedit.hub.reading import (
    card_metadata,
    dataset_text,
    download,
    file_sizes,
    is_out_of_reach,
    metadata_of,
    model_files,
    newest_sha,
    pinned_sha,
    public_dataset,
    public_model,
)
from hf_toedit.hub.repository import Repository
from hf_toedit.hub.uploads import BranchHead, Operation, Upload

__all__ = [
    "BranchHead",
    "Operation",
    "Repository",
    "Upload",
    "card_metadata",
    "dataset_text",
    "download",
    "file_sizes",
    "is_out_of_reach",
    "metadata_of",
    "model_files",
    "newest_sha",
    "patiently",
    "pinned_sha",
    "public_dataset",
    "public_model",
]
