"""What is done to the rows of a run: each module fills the protocol of `runs/task.py`."""
