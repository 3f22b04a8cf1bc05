"""Select the files that may be shared objects: all except those whose extension says otherwise."""

from __future__ import annotations

from tt_conda.audit.scene import Foreign, Scene, Unreadable, is_library_name
from tt_conda.elf import HEAD, is_object
from tt_conda.formats.platforms import platform_of_file

_DATA = """
a asc asm bmp bz2 c cc cfg cl cmake conf cpp css csv cu cuh cxx dat db def egg exe f f90 fish frag gif glsl go gz h hh
hpp htm html hxx icns ico in inc inl ini ipp ipynb jar java jpeg jpg js json la latex ld lua m md metal mjs mo mod npy
npz o obj pc pdf pkl pl pm png po proto ps1 ptx pxd pxi py pyc pyi pyx qm qml qmltypes r rb rc rst rs s sh sql svg tcl
tex tif tiff tmpl toml ts ttf txt typed vert wav wasm whl woff woff2 xml xz yaml yml zip zst
"""
_NEVER = frozenset(_DATA.split())
"""Extensions that linkers never use for the host; files without any of them are opened."""

_OTHERS = (".dylib", ".dll", ".pyd")
"""Names of libraries on macOS and Windows."""

SYSROOT = "sysroot"
"""Name of a compiler's sysroot folder: nothing in it is loaded on this system."""


def may_be_object(name: str) -> bool:
    """Whether to open a file of this name."""
    return name.rpartition(".")[2].lower() not in _NEVER or "." not in name


def promises_object(name: str, head: bytes) -> bool:
    """Whether a file is named like a shared object but damaged: empty, truncated, or unrecognisable.

    Text under such a name is a linker script.
    """
    if not is_library_name(name) or platform_of_file(head):
        return False
    if head[:4] == b"\x7fELF":
        return len(head) < HEAD
    return not head or b"\0" in head


def foreign(scene: Scene, owner: str, member: str, path: str, head: bytes) -> None:
    """Record a file that is named like a shared object and is one, but for another system or machine."""
    name = member.rpartition("/")[2]
    platform = platform_of_file(head) if is_library_name(name) or name.endswith(_OTHERS) else None
    if platform and not is_object(head):
        scene.foreign.append(Foreign(owner, member, path, platform))


def unreadable(scene: Scene, owner: str, member: str, error: Exception | str) -> None:
    """Record a file that cannot be read; the rest is still audited."""
    scene.unreadable.append(Unreadable(owner, member, str(error)))
