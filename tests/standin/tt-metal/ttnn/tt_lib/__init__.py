"""The stand-in's tt_lib."""
