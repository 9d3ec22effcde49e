"""Runs: from a source to a run folder of edited shards."""
