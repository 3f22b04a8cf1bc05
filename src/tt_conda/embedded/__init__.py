"""The embedded channel: ``packages.toml`` says what, ``inputs.lock`` pins it, this package says how."""
