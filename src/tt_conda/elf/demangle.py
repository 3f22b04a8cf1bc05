"""Demangle C++ names.

Uses the C++ runtime's own ``__cxa_demangle`` (Itanium C++ ABI, 3.4), called through ctypes in a process of its own:
names come from files under audit, and some exhaust its stack, or take gigabytes. Without a runtime, names stay mangled.
"""

from __future__ import annotations

import atexit
import re
import selectors
import subprocess
import sys
import threading
from functools import lru_cache

_RUNTIMES = ("libstdc++.so.6", "libc++abi.so.1")
_LONGEST = 32_768
"""Maximum characters: longer names take long to demangle and nobody reads them."""
_PATIENCE = 2.0
"""Seconds for one name; real ones take microseconds."""
_TRIES = 3
"""Processes that may end over names; after that, all names stay mangled."""

_PROGRAM = """
import ctypes, os, resource, sys
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
for name in sys.argv[2:]:
    try:
        demangle = ctypes.CDLL(name).__cxa_demangle
        break
    except (OSError, AttributeError):
        pass
else:
    sys.exit()
free = ctypes.CDLL(None).free
demangle.argtypes = [ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int)]
demangle.restype, free.argtypes, free.restype = ctypes.c_void_p, [ctypes.c_void_p], None
status, longest = ctypes.c_int(), int(sys.argv[1])
for line in sys.stdin.buffer:
    found = demangle(line[:-1], None, None, ctypes.byref(status))
    text = ctypes.string_at(found, longest + 1).partition(b"\\0")[0] if found else b""
    free(found)
    os.write(1, (b"" if len(text) > longest else text) + b"\\n")
"""


class _Demangler:
    """The process; started for the first name, and again after a name that ended it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._left, self._lock = _TRIES, threading.Lock()

    def ask(self, name: bytes) -> bytes:
        """The plain form of a name; empty if it has none, or if it cannot be told."""
        with self._lock:
            if self._process is None and not self._start():
                return b""
            try:
                return self._answer(name)
            except (OSError, EOFError):
                self.stop()
                return b""
            except BaseException:  # ^C: an answer is under way
                self.stop()
                raise

    def _start(self) -> bool:
        if self._left == 0:
            return False
        self._left -= 1
        places = [*_RUNTIMES, *(f"{sys.prefix}/lib/{name}" for name in _RUNTIMES)]
        command = [sys.executable, "-I", "-S", "-c", _PROGRAM, str(_LONGEST), *places]
        try:
            self._process = subprocess.Popen(
                command, env={"LC_ALL": "C.UTF-8"}, cwd="/", bufsize=0,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        except OSError:
            self._left = 0
            return False
        return True

    def _answer(self, name: bytes) -> bytes:
        assert self._process and self._process.stdin and self._process.stdout
        self._process.stdin.write(name + b"\n")
        answer = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while not answer.endswith(b"\n"):
                if not selector.select(_PATIENCE):
                    raise EOFError
                if not (piece := self._process.stdout.read(1 << 16)):
                    raise EOFError
                answer += piece
        return answer[:-1]

    def stop(self) -> None:
        """End the process."""
        if self._process and self._process.stdin and self._process.stdout:
            self._process.kill()
            self._process.stdin.close()
            self._process.stdout.close()
            self._process.wait()
        self._process = None


_demangler = _Demangler()
atexit.register(_demangler.stop)


@lru_cache(maxsize=65_536)
def demangle(name: str) -> str:
    """Demangle a symbol's name; other names are returned unchanged, and those that the runtime cannot cope with."""
    if not name.startswith("_Z") or len(name) > _LONGEST or "\n" in name or "\0" in name:
        return name
    found = _demangler.ask(name.encode("utf-8", "surrogateescape"))
    return found.decode("utf-8", "surrogateescape") or name


_PREFIX = re.compile(
    r"_Z"
    r"(?:GV|GR|T[VTISHW]|Tc?(?:h|v)?n?\d+_(?:n?\d+_)?)?"  # guards, references, vtables, type information, thunks
    r"Z*N[rVKRO]*"  # names local to a function, nested names, qualifiers of member functions
    r"(?:(?P<std>S[tabiosd])|(?P<size>\d+))"
)


def namespace_of(name: str) -> str:
    """The outermost namespace or class of a mangled name, parsed from its text; empty for C names and global functions.

    Itanium C++ ABI, 5.1.2 (nested names) and 5.1.8 (``St`` and the other abbreviations of ``std``).
    """
    match = _PREFIX.match(name)
    if match is None:
        return "std" if name.startswith(("_ZSt", "_ZNSt", "_ZTISt", "_ZTVSt", "_ZTSSt")) else ""
    if match["std"]:
        return "std"
    start = match.end()
    return name[start : start + int(match["size"])]
