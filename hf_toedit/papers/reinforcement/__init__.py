"""Items of Feng et al. 2024, arXiv 2406.07515: selection by verifiers."""
