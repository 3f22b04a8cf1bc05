"""Sources in a folder, for machines without a network: ``tt-conda fetch`` and ``tt-conda build --sources``."""
