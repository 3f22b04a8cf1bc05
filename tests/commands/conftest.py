from tiny_packages import channel, make, own_cache

__all__ = ["channel", "make", "own_cache"]
