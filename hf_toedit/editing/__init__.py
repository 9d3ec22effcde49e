"""The method: which tokens are edited, how they are drawn, and how the text is spliced. Pure: no I/O, no torch."""
