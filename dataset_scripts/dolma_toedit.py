# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-toedit"]
#
# [tool.hf-jobs]
# flavor = "a100-large"
# timeout = "3d"
# secrets = ["HF_TOKEN"]
# ///
"""Edit Dolma (allenai/dolma), three trillion tokens of English text, with ToEdit.

Source:  the files listed in urls/VERSION.txt of the repository, because `datasets` does not support its loading
         script. --config-name chooses the version: v1_7 (the default, as in the repository), v1_6, v1_6-sample, v1_5,
         v1_5-sample or v1. Files are streamed, and each is one shard.
Edited:  text
Context: none
Kept:    id, text, added, created, source; to keep metadata, whose fields differ between files, use
         --columns id,text,added,created,source,metadata:string
Splits:  train
Licence: ODC-BY 1.0

Examples:
  uv run dataset_scripts/dolma_toedit.py --config-name v1_6-sample --limit 1000
  hf jobs uv run dataset_scripts/dolma_toedit.py --prior org/model --push-to me/dolma-toedit
"""

from hf_toedit.scripts import Recipe, main

RECIPE = Recipe(
    "dolma_toedit",
    source="urls:hf://datasets/allenai/dolma/urls/{config_name}.txt",
    license="odc-by",
    options={
        "config_name": "v1_7",
        "columns": ["id:string", "text:string", "added:string", "created:string", "source:string"],
        "text_column": ["text"],
        "shard_size": "file",
    },
)

if __name__ == "__main__":
    main(RECIPE, __doc__)
