# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-toedit"]
#
# [tool.hf-jobs]
# flavor = "a10g-small"
# timeout = "12h"
# secrets = ["HF_TOKEN"]
# ///
"""Edit TinyStories (roneneldan/TinyStories), short stories in the vocabulary of small children, with ToEdit.

Source:  roneneldan/TinyStories
Edited:  text
Context: none
Splits:  train, validation
Licence: CDLA-Sharing 1.0

Examples:
  uv run dataset_scripts/tinystories_toedit.py --split validation --limit 1000
  hf jobs uv run dataset_scripts/tinystories_toedit.py --push-to me/tinystories-toedit
"""

from hf_toedit.scripts import Recipe, main

RECIPE = Recipe(
    "tinystories_toedit",
    source="roneneldan/TinyStories",
    license="cdla-sharing-1.0",
    options={"text_column": ["text"]},
)

if __name__ == "__main__":
    main(RECIPE, __doc__)
