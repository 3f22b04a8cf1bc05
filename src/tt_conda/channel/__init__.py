"""Packages become a channel, a channel becomes an environment: building, indexing, solving, installing, locking."""
