"""Wheels and Debian packages: pinned in lock files, fetched once into a store, verified each time."""
