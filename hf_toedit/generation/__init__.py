"""Text that a causal language model generates after a prompt, by transformers or vLLM."""
