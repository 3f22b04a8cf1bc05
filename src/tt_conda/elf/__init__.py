"""Read the facts of a shared object, and make the few changes needed for carving. Independent of conda."""

from tt_conda.elf.names import plain_soname, soname_stem
from tt_conda.elf.read import HEAD, Elf, ElfError, is_object, is_shared_object, read

__all__ = ["HEAD", "Elf", "ElfError", "is_object", "is_shared_object", "plain_soname", "read", "soname_stem"]
