"""A channel becomes an environment: solved, installed, locked, opened in a shell."""
