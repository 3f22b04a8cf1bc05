"""A folder of sources, which comes from elsewhere: whatever is taken from it is compared with its pin first.

- ``git/HOST/OWNER/NAME/PIN.bundle``: a repository's commit, or tag
- ``ab/abcd…/FILE``: a file by its sha256, as in a store (``tt-conda store``)
- ``md5/0123…/FILE``: an archive of which the recipe has no sha256
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tt_conda.base.files import sha256_of
from tt_conda.offline import cache, git
from tt_conda.offline.pins import Archive, Listed, Pin, Repository


class NotThere(Exception):
    """The folder lacks a source, or has another one in its place; the message says which of them, and where."""


@dataclass
class Opened:
    """A verified repository: read from the folder, its files not yet checked out."""

    pin: Repository
    tree: Path
    commit: str
    submodules: dict[str, Opened] = field(default_factory=dict)
    """By their paths."""

    def check_out(self) -> None:
        """Write the files, those of submodules too.

        Raises:
            NotThere: a file has a name that git does not write, such as one in ``.git``.
        """
        try:
            git.check_out(self.tree, self.commit)
        except git.GitError as error:
            raise NotThere(f"wrong: cannot be checked out: {error}") from None
        for path, part in self.submodules.items():
            part.check_out()
            (part.tree / git.READY).unlink()  # the engine has one in the outermost only
            place = self.tree / path
            if place.resolve() != self.tree.resolve() / path:
                raise NotThere(f"wrong: its submodule {path} is behind a link")
            place.rmdir()
            part.tree.rename(place)


@dataclass(frozen=True)
class SourceFolder:
    """The folder."""

    root: Path

    def verify(self, pin: Pin, scratch: Path) -> None:
        """Compare a source with its pin.

        Args:
            pin: of the source.
            scratch: an empty folder with room for a repository.

        Raises:
            NotThere: it is not there, or another one.
        """
        if isinstance(pin, Repository):
            self.open(pin, scratch / "tree")
        else:
            self.file(pin)

    def open(self, pin: Repository, tree: Path) -> Opened:
        """Read a repository, verified, into ``tree``, which is made; submodules beside it.

        Raises:
            NotThere: it or a submodule is not there, damaged, or another one.
        """
        bundle = self.root / pin.place
        if not bundle.is_file():
            raise NotThere(f"not there: {bundle}")
        try:
            opened = Opened(pin, tree, git.open_bundle(bundle, pin, tree))
            parts = git.submodules(tree, opened.commit, pin.url) if pin.submodules else []
        except git.GitError as error:
            raise NotThere(f"wrong: {bundle}: {error}") from None
        for number, part in enumerate(parts):
            try:
                opened.submodules[part.path] = self.open(part.pin, tree.with_name(f"{tree.name}.{number}"))
            except NotThere as error:
                raise NotThere(f"its submodule {part.path}, {part.pin.name}: {error}") from None
        return opened

    def file(self, pin: Archive | Listed) -> Path:
        """The file of an archive, or of a lock file's pin, verified by hash.

        Raises:
            NotThere: it is not there, cannot be read, or another one is in its place.
        """
        place = self.root / pin.place
        try:
            if isinstance(pin, Listed):
                files = [place / pin.entry.filename]
            else:
                files = [file for file in sorted(place.iterdir()) if not file.name.startswith(".")]
            files = [file for file in files if file.is_file()]
            if not files:
                raise NotThere(f"not there: {place}")
            for file in files:
                if sha256_of(file) == pin.entry.sha256 if isinstance(pin, Listed) else cache.is_pinned(file, pin):
                    return file
        except FileNotFoundError:
            raise NotThere(f"not there: {place}") from None
        except OSError as error:
            raise NotThere(f"cannot be read: {error.filename or place}: {error.strerror}") from None
        raise NotThere(f"wrong: {files[0]} has another hash (sha256 {sha256_of(files[0])})")
