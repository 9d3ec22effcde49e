"""The parts of the local Hub: see `tests.hub_server`, which puts them together."""
