"""The environments of a ``pixi.toml``, made and entered without pixi."""
