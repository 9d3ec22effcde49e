"""Python API behind the commands: runs from their plan to the Hub, and editors that load a prior by name."""
