"""Decisions on which rows of a dataset to keep, and how to mix datasets: pure functions of numbers."""
