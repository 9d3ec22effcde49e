"""Machines that are asked for, where an engine then works: Slurm and Hugging Face Jobs."""
