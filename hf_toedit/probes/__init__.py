"""Probes: train small models on each variant of a dataset, and score them on held-out text; needs an extra."""
