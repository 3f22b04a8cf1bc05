"""Read the facts of a shared object, and make the few changes needed for carving. Independent of conda."""

from tt_conda.elf.names import plain_soname, soname_stem
from tt_conda.elf.read import Elf, ElfError, is_shared_object, read

__all__ = ["Elf", "ElfError", "is_shared_object", "plain_soname", "read", "soname_stem"]
