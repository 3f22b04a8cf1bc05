"""The platforms for which packages declare to be made, and those for which files really are.

Tags are those of PEP 425, PEP 600 and PEP 656; subdirs are conda's. Machines have the kernel's names (``uname -m``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

_LINUX = re.compile(r"(?P<libc>manylinux|musllinux)\w*?_(?P<machine>x86_64|i686|aarch64|armv\d\w|ppc64le|ppc64|s390x|"
                    r"riscv64|loongarch64)$")  # fmt: skip
_LIBCS = {"manylinux": "glibc", "musllinux": "musl"}
_MACOS = {"universal2": ("x86_64", "aarch64"), "arm64": ("aarch64",), "x86_64": ("x86_64",)}
_WINDOWS = {"win32": "i686", "win_amd64": "x86_64", "win_arm64": "aarch64"}
_SUBDIRS = {"64": "x86_64", "32": "i686", "arm64": "aarch64", "armv6l": "arm", "armv7l": "arm"}
_SYSTEMS = {"linux": "Linux", "osx": "macOS", "win": "Windows"}
_PYTHON = re.compile(r"cp(\d)(\d+)$")

_ELF_MACHINES = {3: "i686", 20: "ppc", 22: "s390x", 40: "arm", 62: "x86_64", 183: "aarch64", 258: "loongarch64"}
_WIDE = {21: ("ppc64le", "ppc64"), 243: ("riscv64", "riscv64")}
_MACHO = {b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xfe\xed\xfa\xcf", b"\xfe\xed\xfa\xce", b"\xca\xfe\xba\xbe"}

_WORDS = {
    "x86_64": r"x86[-_]?64|amd64|x64", "aarch64": r"aarch64|arm64(?:[-_]v8a)?", "i686": r"i[3-6]86|x86(?![-_]?64)|ia32",
    "arm": r"arm(?!64)\w*", "ppc64le": r"ppc64(?:le|el)", "ppc64": r"ppc64", "s390x": r"s390x",
    "riscv64": r"riscv\w*", "riscv32": r"riscv\w*", "loongarch64": r"loong\w*",
    "macOS": r"mac(?:os)?x?|osx|darwin", "Windows": r"win(?:dows)?(?:32|64)?", "musl": r"musl\w*|alpine",
}  # fmt: skip
"""How paths call a system, a machine or a C library."""


MODULE = re.compile(
    r"^(?P<stem>[^.]+)\.(?:(?P<python>cpython|pypy)-?(?P<version>\d+)(?P<flags>[a-z]*)(?:-pp\d+)?"
    r"(?:-(?P<machine>\w+)-linux-(?P<libc>gnu|musl)\w*|-(?P<darwin>darwin))?|(?P<abi3>abi3t?))?\.?so$"
)
"""The file name of an extension module (sysconfig's EXT_SUFFIX; PEP 3149)."""


@dataclass(frozen=True)
class Platform:
    """Where something can be loaded; None where nothing is said of it."""

    system: str | None = None
    """``Linux``, ``macOS`` or ``Windows``."""
    machine: str | None = None
    libc: str | None = None
    """``glibc`` or ``musl``, on Linux."""

    def differs(self, other: Platform) -> list[str]:
        """What this one says and the other one says otherwise; the system first."""
        pairs = (self.system, other.system), (self.machine, other.machine), (self.libc, other.libc)
        return [mine for mine, theirs in pairs if mine and theirs and mine != theirs]

    def is_named_in(self, path: str, other: Platform | None = None) -> bool:
        """Whether a path says what its file is for, or in what it differs from ``other``: ``native/arm64/libx.so``."""
        parts = self.differs(other) if other else (self.system, self.machine, self.libc)
        words = [_WORDS[part] for part in parts if part in _WORDS]
        return any(re.search(rf"(?:^|[-_./])(?:{word})(?:[-_./]|$)", path, re.IGNORECASE) for word in words)

    def __str__(self) -> str:
        system = f"Linux with {self.libc}" if self.libc else self.system or ""
        return " on ".join(filter(None, [self.machine, system])) or "any platform"


@dataclass(frozen=True)
class WheelTags:
    """What a wheel's file name declares."""

    platforms: tuple[Platform, ...]
    """Empty: any."""
    pythons: frozenset[tuple[str, str]]
    """Interpreter and ABI: ``("cp310", "abi3")``."""

    @property
    def abi3_floor(self) -> tuple[int, int] | None:
        """The oldest CPython of a wheel for the stable ABI (PEP 384); None for other wheels."""
        found = [(int(match[1]), int(match[2])) for interpreter, abi in self.pythons
                 if abi == "abi3" and (match := _PYTHON.match(interpreter))]  # fmt: skip
        return min(found, default=None)


def wheel_tags(name: str) -> WheelTags | None:
    """Read the tags in a wheel's file name; None if it is not a valid one."""
    try:
        _, _, _, tags = parse_wheel_filename(name)
    except InvalidWheelFilename:
        return None
    platforms = [each for tag in sorted({tag.platform for tag in tags}) for each in platforms_of_tag(tag)]
    if any(each == Platform() for each in platforms):
        platforms = []
    return WheelTags(tuple(dict.fromkeys(platforms)), frozenset((tag.interpreter, tag.abi) for tag in tags))


def platforms_of_tag(tag: str) -> list[Platform]:
    """The platforms of a wheel's platform tag: ``musllinux_1_2_aarch64``; of ``any``, one that says nothing."""
    if tag == "any":
        return [Platform()]
    if match := _LINUX.match(tag):
        return [Platform("Linux", _machine(match["machine"]), _LIBCS[match["libc"]])]
    if tag.startswith("linux_"):
        return [Platform("Linux", _machine(tag.removeprefix("linux_")))]
    if tag.startswith("macosx_"):
        kinds = next((machines for end, machines in _MACOS.items() if tag.endswith(end)), (None,))
        return [Platform("macOS", machine) for machine in kinds]
    if tag in _WINDOWS:
        return [Platform("Windows", _WINDOWS[tag])]
    return [Platform(tag.partition("_")[0])]


def _machine(name: str) -> str:
    return "arm" if name.startswith("armv") else name


def platform_of_subdir(subdir: str) -> Platform:
    """The platform of a conda channel's subdir: ``linux-aarch64``."""
    system, _, machine = subdir.partition("-")
    if system not in _SYSTEMS:
        return Platform()
    return Platform(_SYSTEMS[system], _SUBDIRS.get(machine, machine), "glibc" if system == "linux" else None)


def platform_of_file(head: bytes) -> Platform | None:
    """The platform of a program or shared object, by its first 20 bytes; None for other files.

    The formats are ELF (gABI, chapter 4), Mach-O (mach-o/loader.h) and PE.
    """
    if head[:4] in _MACHO:
        return Platform("macOS")
    if head[:2] == b"MZ":
        return Platform("Windows")
    if head[:4] != b"\x7fELF" or len(head) < 20 or head[4] not in (1, 2) or head[5] not in (1, 2):
        return None
    order = "little" if head[5] == 1 else "big"
    if int.from_bytes(head[16:18], order) not in (2, 3):  # type: ignore[arg-type]
        return None
    number = int.from_bytes(head[18:20], order)  # type: ignore[arg-type]
    if number == 243 and head[4] == 1:
        return Platform("Linux", "riscv32")
    if number in _WIDE:
        return Platform("Linux", _WIDE[number][order == "big"])
    if number == 62 and head[4] == 1:
        return Platform("Linux", "x86_64 (x32)")
    return Platform("Linux", _ELF_MACHINES.get(number, f"e_machine {number}"))


def platform_of_suffix(match: re.Match[str]) -> Platform:
    """The platform in a module's file name, of a match of :data:`MODULE`."""
    if match["darwin"]:
        return Platform("macOS")
    if not match["machine"]:
        return Platform()
    return Platform("Linux", match["machine"].replace("i386", "i686"), {"gnu": "glibc", "musl": "musl"}[match["libc"]])


def is_imported_by(match: re.Match[str], pythons: frozenset[tuple[str, str]]) -> bool:
    """Whether one of these Pythons (interpreter and ABI) looks for a module's file name, a match of :data:`MODULE`."""
    if match["abi3"]:  # free-threaded Pythons know no abi3
        return not all(abi.startswith("cp") and abi.endswith("t") for _, abi in pythons)
    if not match["python"]:
        return True
    kind = "cp" if match["python"] == "cpython" else "pp"
    name, flags = f"{kind}{match['version']}", match["flags"].replace("d", "").replace("m", "")
    return any(
        one == name and (kind == "pp" or abi == "none" or (abi.startswith("cp") and abi.rstrip("dmu") == one + flags))
        for one, abi in pythons
    )
