"""Engines, which call `run_shard`: in this process, in local processes, or on a Ray cluster."""
