"""Who calls `run_shard`: this process, processes of this machine, or a Ray cluster."""
