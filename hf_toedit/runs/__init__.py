"""Runs: a plan, its shards, and the folder in which they appear; what is done, and whether it is sound."""
