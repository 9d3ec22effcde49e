"""A run on the Hub: how it gets there, and back."""
