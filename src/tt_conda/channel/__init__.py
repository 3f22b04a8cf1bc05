"""Packages become a channel: indexed, published, served."""
