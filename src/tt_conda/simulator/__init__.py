"""Upstream's simulator of a chip, ttsim (https://github.com/tenstorrent/ttsim), as a device without hardware."""
