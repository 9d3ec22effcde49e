"""Reproductions of the tables, figures and theorems of both papers: our numbers beside the paper's, without tuning."""
