from tiny_packages import channel, make, make_placed, own_cache, pack

__all__ = ["channel", "make", "make_placed", "own_cache", "pack"]
