"""Tasks, which define what is done to the rows of a run: each module implements the protocol of `runs/task.py`."""
