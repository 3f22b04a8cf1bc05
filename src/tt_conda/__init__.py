"""Conda packages of the Tenstorrent PyTorch stack, each library once."""

__version__ = "0.1.0"
