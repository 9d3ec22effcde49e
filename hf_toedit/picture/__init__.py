"""Pictures of edits: every token with its probability and its edit, for a terminal, a page, and the Space."""
