"""Dataset cards: statistics in, Markdown out."""
