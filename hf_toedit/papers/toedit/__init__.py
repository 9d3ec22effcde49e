"""Items of Zhu et al. 2024, arXiv 2412.14689: ToEdit."""
