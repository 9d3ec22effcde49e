"""Scorers, which give each row of a dataset numbers: perplexity, a classifier, or a user-defined scorer."""
