"""Push of a run to the Hub, and pull of a run from it."""
