"""The stand-in's torch_ttnn."""
