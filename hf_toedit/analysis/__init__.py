"""How datasets differ: figures of what was counted of them, with their uncertainty."""
