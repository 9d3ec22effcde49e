"""What gives each row of a dataset numbers: perplexity, a classifier, or a scorer of the user's own."""
