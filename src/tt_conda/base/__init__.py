"""For every layer: errors, settings, progress, files, processes, locations."""
