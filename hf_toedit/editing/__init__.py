"""The ToEdit method: selection of tokens, sampling, and splicing of the text. Pure: no I/O, no torch."""
