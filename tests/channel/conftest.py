from tiny_packages import channel, make, make_placed, own_cache

__all__ = ["channel", "make", "make_placed", "own_cache"]
