# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-toedit"]
#
# [tool.hf-jobs]
# flavor = "a10g-small"
# timeout = "12h"
# secrets = ["HF_TOKEN"]
# ///
"""Edit any text dataset with ToEdit, and push the result.

Source:  a Hub dataset (org/name), an hf:// path, a list of URLs (urls:PATH), or files
Edited:  text, unless --text-column or --messages-column names another
Context: none, unless --context-columns names columns
Splits:  every split, unless --split names one
Licence: as stated on the card of the source

Examples:
  uv run dataset_scripts/toedit.py org/dataset --limit 1000 --prior org/model
  hf jobs uv run dataset_scripts/toedit.py org/dataset --prior org/model --push-to me/dataset-toedit
"""

from hf_toedit.scripts import Recipe, main

if __name__ == "__main__":
    main(Recipe("toedit"), __doc__)
