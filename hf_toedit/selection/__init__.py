"""Which rows of a dataset to keep, and in which shares to mix datasets: pure decisions over numbers."""
