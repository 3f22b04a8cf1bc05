"""The embedded channel: ``packages.toml`` says what, ``seed.lock`` pins it, this package says how."""
