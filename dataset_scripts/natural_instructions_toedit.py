# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-toedit"]
#
# [tool.hf-jobs]
# flavor = "a10g-small"
# timeout = "24h"
# secrets = ["HF_TOKEN"]
# ///
"""Edit the answers of Super-Natural-Instructions (Muennighoff/natural-instructions) with ToEdit.

Source:  Muennighoff/natural-instructions
Edited:  targets
Context: definition, inputs
Splits:  train, test
Licence: not stated on the card of the dataset; see allenai/natural-instructions, and the source data of each task

Examples:
  uv run dataset_scripts/natural_instructions_toedit.py --split test --limit 1000
  hf jobs uv run dataset_scripts/natural_instructions_toedit.py --prior org/model --push-to me/instructions-toedit
"""

from hf_toedit.scripts import Recipe, main

RECIPE = Recipe(
    "natural_instructions_toedit",
    source="Muennighoff/natural-instructions",
    options={"text_column": ["targets"], "context_columns": ["definition", "inputs"]},
)

if __name__ == "__main__":
    main(RECIPE, __doc__)
