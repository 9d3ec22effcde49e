# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-toedit"]
#
# [tool.hf-jobs]
# flavor = "a10g-small"
# timeout = "24h"
# secrets = ["HF_TOKEN"]
# ///
"""Edit the biomedical corpora of Instruction Pre-Training (PubMed texts with questions and answers) with ToEdit.

Source:  instruction-pretrain/medicine-instruction-augmented-corpora, files part-*/shard/*.jsonl; by default
         `datasets` loads only an index of them
Edited:  text
Context: none
Splits:  train
Licence: other: the card names the MIT licence of EleutherAI/pile-pubmedcentral for the texts from PubMed Central

Examples:
  uv run dataset_scripts/biomed_toedit.py --limit 1000
  hf jobs uv run dataset_scripts/biomed_toedit.py --prior org/model --push-to me/biomed-toedit
"""

from hf_toedit.scripts import Recipe, main

RECIPE = Recipe(
    "biomed_toedit",
    source="hf://datasets/instruction-pretrain/medicine-instruction-augmented-corpora/part-*/shard/*.jsonl",
    license="other",
    options={"text_column": ["text"]},
)

if __name__ == "__main__":
    main(RECIPE, __doc__)
