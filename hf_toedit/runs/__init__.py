"""Runs: a plan, its shards and the run folder, with status and verification."""
