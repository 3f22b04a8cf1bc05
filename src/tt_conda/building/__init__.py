"""Recipes become packages: in order, each in a process of its own, in a form that two builds give alike."""
