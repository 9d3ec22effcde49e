"""The language models that read documents: what an editor needs of one, and how each kind is run."""
