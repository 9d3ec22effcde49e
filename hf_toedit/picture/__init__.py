"""Pictures of edits: every token with its probability and its fate, for a terminal, a page, and the Space."""
