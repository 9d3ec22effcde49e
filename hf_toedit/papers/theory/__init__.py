"""Formulas of the theorems and simulations of their processes: numbers in, numbers out, numpy only."""
