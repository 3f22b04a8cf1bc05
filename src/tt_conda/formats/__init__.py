"""File formats of Python, conda and Debian: read, checked, unpacked, written."""
