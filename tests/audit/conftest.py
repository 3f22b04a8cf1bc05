from tiny_packages import pack

__all__ = ["pack"]
