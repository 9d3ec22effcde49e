"""The `datasets` face: what users of `Dataset.map` call."""
