"""Does training on a dataset help? Small models trained on each variant, and scored on held-out text; an extra."""
