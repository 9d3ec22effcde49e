"""Rows: their text columns, and the columns of an edited row."""
