"""Running on several hosts."""
