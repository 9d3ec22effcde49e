# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-toedit"]
#
# [tool.hf-jobs]
# flavor = "a10g-small"
# timeout = "24h"
# secrets = ["HF_TOKEN"]
# ///
"""Edit Cosmopedia (HuggingFaceTB/cosmopedia), synthetic textbooks, stories and posts, with ToEdit.

Source:  HuggingFaceTB/cosmopedia; --config-name chooses the part: auto_math_text (the default), khanacademy, openstax,
         stanford, stories, web_samples_v1, web_samples_v2 or wikihow
Edited:  text
Context: none; use --context-columns prompt to let the prior read the prompt of each text
Splits:  train
Licence: Apache 2.0

Examples:
  uv run dataset_scripts/cosmopedia_toedit.py --config-name khanacademy --limit 1000
  hf jobs uv run dataset_scripts/cosmopedia_toedit.py --prior org/model --push-to me/cosmopedia-toedit
"""

from hf_toedit.scripts import Recipe, main

RECIPE = Recipe(
    "cosmopedia_toedit",
    source="HuggingFaceTB/cosmopedia",
    license="apache-2.0",
    options={"config_name": "auto_math_text", "text_column": ["text"]},
)

if __name__ == "__main__":
    main(RECIPE, __doc__)
