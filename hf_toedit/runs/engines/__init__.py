"""Engines: what calls `run_shard` for the shards of a plan, on one machine or many."""
