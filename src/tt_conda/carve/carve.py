"""Carry out a plan: unpack, rewrite, link, and publish the result to the prefix in one step."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from tt_conda.base.errors import TtCondaError
from tt_conda.base.files import disk_errors, scratch_folder, sha256_of
from tt_conda.carve.plan import Edited, Member, PlacedObject, Plan, environment_sonames, make_plan
from tt_conda.carve.report import CarvedLibrary, CarveReport
from tt_conda.carve.rules import Rules
from tt_conda.carve.sbom import write_sbom
from tt_conda.elf import ElfError, is_shared_object, read
from tt_conda.elf.read import MACHINES
from tt_conda.elf.rewrite import apply, clear_executable_stack
from tt_conda.formats.archive import extract
from tt_conda.formats.dist_info import write_record
from tt_conda.formats.platforms import MODULE, Platform, is_imported_by, platform_of_file, platform_of_suffix
from tt_conda.formats.wheel import OpenWheel
from tt_conda.providers import load_providers

_LINUX = Platform("Linux", None, "glibc")


def carve(
    wheels: Sequence[Path],
    prefix: Path,
    rules: Rules,
    *,
    only: Sequence[str] = (),
    python: str | None = None,
    licenses: Path | None = None,
    sbom: str | None = None,
) -> CarveReport:
    """Carve wheels into a prefix.

    The result is built in a folder beside the prefix and moved there when complete.

    Args:
        wheels: in order of preference: of two copies of a library, the first wheel's is kept.
        prefix: a new folder, or an environment; libraries in its ``lib/`` count as provided and stay.
        rules: the particulars of these wheels.
        only: patterns of paths in the prefix (fnmatch, ``*`` also matches ``/``); other files are omitted.
        python: version ``X.Y``, for wheels that fit any Python.
        licenses: folder that gets a copy of the wheels' licence files.
        sbom: name for the bill of materials, which is written to ``share/sbom/NAME.cdx.json`` in the prefix.

    Raises:
        TtCondaError: an unreadable wheel, a library without a provider, a full disk.
    """
    existed = prefix.is_dir()
    with ExitStack() as archives, _staging(prefix) as stage:
        opened = [OpenWheel.open(wheel, python) for wheel in wheels]
        for wheel in opened:
            archives.enter_context(wheel.archive)
        _check_platforms(opened)
        members = _unpack_objects(opened, stage / "objects", rules)
        plan = make_plan(members, rules, load_providers(), environment_sonames(prefix))
        root = stage / "prefix"
        root.mkdir()
        chosen = _chooser(only)
        report = CarveReport(wheels=[wheel.path.name for wheel in opened], dropped=plan.dropped)
        installed: list[list[Path]] = []
        edited: list[Edited] = []
        for wheel in opened:
            objects = {m.name for m in members if m.wheel is wheel}
            installed.append(_copy_files(wheel, objects, root, rules, chosen, prefix))
            edited += _edit_files(wheel, root, rules)
        placed = _place_objects(plan, root, chosen, report)
        made = {path for files in installed for path in files if path.parent == root / "bin"}
        for wheel, files in zip(opened, installed, strict=True):
            modules = [root / item.path for item in placed if item.member.wheel is wheel]
            made |= write_record(root, root / wheel.site_packages, wheel.dist_info, [*files, *modules])
            if licenses:
                extract(wheel.archive, licenses, wheel.licenses().get)
        report.files = sum(not Path(base, name).is_symlink() for base, _, names in os.walk(root) for name in names)
        if not report.files:
            raise TtCondaError(
                f"no file of {', '.join(report.wheels)} matches --only {' or '.join(only)}",
                "Run `tt-conda carve` without --only to see all files.",
            )
        if sbom:
            write_sbom(sbom, root, opened, placed, edited, (str(path.relative_to(root)) for path in made), report)
        _reveal(root, prefix, existed)
    return report


@contextmanager
def _staging(prefix: Path) -> Iterator[Path]:
    """A temporary folder on the prefix's file system.

    Raises:
        TtCondaError: the prefix cannot be written.
    """
    home = prefix if prefix.is_dir() else prefix.parent
    try:
        with disk_errors(prefix):
            home.mkdir(parents=True, exist_ok=True)
            with scratch_folder(home, ".tt-conda-carve-", prefix.parent) as stage:
                yield stage
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY):
            raise
        raise TtCondaError(
            f"{prefix} cannot be written: {error.filename2 or error.filename or prefix}: {error.strerror}",
            "Name another --prefix.",
        ) from error


def _chooser(only: Sequence[str]) -> Callable[[str], bool]:
    return lambda path: not only or any(fnmatchcase(path, pattern) for pattern in only)


def _check_platforms(wheels: Sequence[OpenWheel]) -> None:
    """Refuse wheels whose libraries a conda package for Linux could not load, by their tags.

    Raises:
        TtCondaError: for another system, machine or C library, or for two machines.
    """
    machines: dict[str | None, str] = {}
    for wheel in wheels:
        platforms = wheel.tags.platforms
        fitting = [each for each in platforms if each.machine in MACHINES.values() and not each.differs(_LINUX)]
        if platforms and not fitting:
            raise TtCondaError(
                f"{wheel.path}: is for {' or '.join(map(str, platforms))}; only wheels for Linux with glibc, on "
                f"{' or '.join(MACHINES.values())}, are carved",
                "Fetch the wheel with a manylinux tag for one of these machines.",
            )
        machines |= {each.machine: wheel.path.name for each in fitting}
    if len(machines) > 1:
        raise TtCondaError(
            " and ".join(f"{name} is for {machine}" for machine, name in machines.items()),
            "Carve them into two prefixes, or fetch all wheels for one machine.",
        )


def _check_file(wheel: OpenWheel, name: str, path: Path, names: set[str]) -> None:
    """Refuse a file that is for another platform or Python than its wheel's tags say.

    Raises:
        TtCondaError: it is.
    """
    folder, _, base = name.rpartition("/")
    with path.open("rb") as file:
        platform = platform_of_file(file.read(20))
    if platform is None or not (base.endswith(".so") or ".so." in base):
        return
    way_out = "Report it to the wheel's makers. To carve the rest, pack the wheel again without this file."
    match = MODULE.match(base)
    said = f"{folder}/{match['stem']}" if match and match["python"] else name
    wanted = wheel.tags.platforms
    if wanted and all(platform.differs(each) and not platform.is_named_in(said, each) for each in wanted):
        raise TtCondaError(f"{wheel.path}: {name} is for {platform}, not for {' or '.join(map(str, wanted))}", way_out)
    if not match or not match["python"]:
        return
    siblings = [found for each in names if each.rpartition("/")[0] == folder
                and (found := MODULE.match(each.rpartition("/")[2])) and found["stem"] == match["stem"]]  # fmt: skip
    pythons = wheel.tags.pythons
    if not any(is_imported_by(each, pythons) and not platform_of_suffix(each).differs(platform) for each in siblings):
        wheels_own = ", ".join(sorted({one for one, _ in pythons}))
        raise TtCondaError(
            f"{wheel.path}: {name} is a module that the wheel's Python ({wheels_own}) never imports", way_out
        )


def _unpack_objects(wheels: Sequence[OpenWheel], folder: Path, rules: Rules) -> list[Member]:
    """Unpack what may be a shared object, outside the data folders, and read what is one."""
    members: list[Member] = []
    for index, wheel in enumerate(wheels):
        target = folder / str(index)
        names = [
            name
            for name in wheel.members
            if not rules.data_path(name) and not name.startswith(wheel.dist_info + "/") and _may_be_object(name)
        ]
        wanted = set(names)
        extract(wheel.archive, target, lambda name, wanted=wanted: name if name in wanted else None)  # type: ignore[misc]
        for name in names:
            path = target / name
            _check_file(wheel, name, path, wanted)
            if not is_shared_object(path):
                continue
            try:
                elf = read(path)
            except ElfError as error:
                raise TtCondaError(
                    f"{wheel.path}: {name} is not a readable shared object ({error})", "Fetch the wheel again."
                ) from error
            members.append(Member(wheel, name, elf, path.stat().st_size, wheel.destination(name)))
    return members


def _may_be_object(name: str) -> bool:
    base = PurePosixPath(name).name
    return ".so" in base or "." not in base


def _copy_files(
    wheel: OpenWheel, objects: set[str], root: Path, rules: Rules, chosen: Callable[[str], bool], prefix: Path
) -> list[Path]:
    """Unpack all files except shared objects; returns their paths."""
    # RECORD is rewritten; auditwheel's list of vendored libraries no longer applies
    untrue = {f"{wheel.dist_info}/RECORD", f"{wheel.dist_info}/sboms/auditwheel.cdx.json"}

    def place(name: str) -> str | None:
        if name in objects or name in untrue:
            return None
        path = rules.destination(wheel, name)
        return path if chosen(path) else None

    written = extract(wheel.archive, root, place)
    for path in written:
        if path.parent == root / "bin":
            _finish_script(path, prefix)
    for command, (module, function) in wheel.commands().items():
        if chosen(f"bin/{command}"):
            _write_script(root / "bin" / command, prefix, module, function)
            written.append(root / "bin" / command)
    return written


def _edit_files(wheel: OpenWheel, root: Path, rules: Rules) -> list[Edited]:
    """Carry out the edits that concern this wheel, in the files that were chosen."""
    found: dict[str, Edited] = {}
    for edit in rules.edit:
        path = rules.destination(wheel, edit.file)
        if edit.file not in wheel.members or not edit.concerns(wheel.version) or not (root / path).is_file():
            continue
        edited = found.setdefault(path, Edited(wheel, edit.file, path, sha256_of(root / path)))
        edit.apply(root / path, f"{wheel.path.name}: {edit.file}")
        edited.edits.append(edit)
    return list(found.values())


def _finish_script(path: Path, prefix: Path) -> None:
    """A wheel's own script: ``#!python`` stands for the interpreter (PEP 427)."""
    first, newline, rest = path.read_bytes().partition(b"\n")
    if first.startswith(b"#!python"):
        path.write_bytes(b"#!" + os.fsencode(prefix.absolute()) + b"/bin/python" + newline + rest)
    path.chmod(0o755)


def _write_script(path: Path, prefix: Path, module: str, function: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    name = function.split(".")[0]
    path.write_text(
        f"#!{prefix.absolute()}/bin/python\nimport sys\n\nfrom {module} import {name}\n\n"
        f'if __name__ == "__main__":\n    sys.exit({function}())\n'
    )
    path.chmod(0o755)


def _place_objects(plan: Plan, root: Path, chosen: Callable[[str], bool], report: CarveReport) -> list[PlacedObject]:
    placed: list[PlacedObject] = []
    needed: set[str] = set()
    for item in plan.objects:
        paths = [item.path, *item.links]
        if not any(chosen(path) for path in paths):
            continue
        source = item.member.elf.path
        target = root / item.path
        target.parent.mkdir(parents=True, exist_ok=True)
        source.replace(target)
        target.chmod(0o755)
        item.original_sha256 = sha256_of(target)
        stack = clear_executable_stack(target)
        how = apply(target, item.change)
        for link, to in item.links.items():
            _link(root / link, to)
        needed.update(item.change.needed.values())
        report.libraries.append(_carved(item, target.stat().st_size, how, stack))
        placed.append(item)
    for spec, sonames in sorted(plan.depends.items()):
        if used := sorted(sonames & needed):
            report.depends[spec] = used
    return placed


def _carved(item: PlacedObject, size: int, how: str, stack: bool) -> CarvedLibrary:
    return CarvedLibrary(
        path=item.path,
        soname=item.change.soname,
        bytes=size,
        member=str(item.member),
        links=sorted(item.links),
        rewritten=how,
        stack_cleared=stack,
    )


def _link(path: Path, target: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def _reveal(root: Path, prefix: Path, existed: bool) -> None:
    """Move the finished files into place: in one step for a new prefix, else file by file.

    Links go first: a link whose library is still missing does not count as provided, so an interrupted carving can be
    repeated.
    """
    if not existed:
        root.replace(prefix)
        return
    found: list[Path] = []
    for folder, folders, files in os.walk(root):
        (prefix / Path(folder).relative_to(root)).mkdir(exist_ok=True)
        found += [path for name in (*folders, *files) if (path := Path(folder, name)).is_symlink() or not path.is_dir()]
    for path in sorted(found, key=lambda path: (not path.is_symlink(), path)):
        path.replace(prefix / path.relative_to(root))
