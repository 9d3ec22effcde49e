"""Differences between datasets: figures of their texts, with uncertainty."""
