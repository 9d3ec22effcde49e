"""Requests for machines on which an engine then works: Slurm and Hugging Face Jobs."""
