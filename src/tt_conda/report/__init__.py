"""Output for people and machines."""
