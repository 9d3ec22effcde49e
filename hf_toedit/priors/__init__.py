"""Language models that score documents: what an editor needs of them, and how each kind is run."""
