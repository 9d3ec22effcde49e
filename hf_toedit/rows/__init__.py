"""Rows: which of their columns are texts, and what an edit makes of them."""
