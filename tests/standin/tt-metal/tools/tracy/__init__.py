"""The stand-in's tracy."""
