"""Features of texts, to compare and select datasets: hashed n-grams, lengths, compression, diversity."""
