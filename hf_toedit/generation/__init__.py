"""Text that a causal language model generates after a prompt, with transformers or vLLM."""
