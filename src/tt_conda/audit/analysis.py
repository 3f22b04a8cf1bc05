"""Everything that follows from a scene, computed when it is first asked for: what the rules judge.

Each question has one answer here. The modules that compute (loader, lost, resolve, undefined, exports, …) take their
inputs as arguments and know nothing of the analysis.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from tt_conda.audit import embedded as static
from tt_conda.audit import exports, interposition, order
from tt_conda.audit.alternatives import is_alternative
from tt_conda.audit.copies import Copies, copies
from tt_conda.audit.flavour import under_other_library
from tt_conda.audit.loader import Closure, Loaded, closure
from tt_conda.audit.lookup import Lookup
from tt_conda.audit.lost import Lost, lost_names, providers, roots
from tt_conda.audit.objects import Object
from tt_conda.audit.openers import Openers, Opening
from tt_conda.audit.placement import Misplaced, misplaced
from tt_conda.audit.resolve import MissingVersion, Resolver, missing_versions
from tt_conda.audit.runtimes import Kind, runtime_of
from tt_conda.audit.scene import Scene
from tt_conda.audit.undefined import Undefined, exports_in, undefined_symbols, without_absent
from tt_conda.audit.words import plain_owner
from tt_conda.elf.demangle import demangle

Pair = tuple[Object, Object]

_PYTHONS = ("libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "libutil.so.1")
"""What the program of CPython is linked to (its configure.ac, LIBS and LIBM); other libraries differ by build."""


class Analysis:
    """The analysis of one scene, which no longer changes."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.files = Lookup(scene)
        """Finds objects by path and by name."""
        self._closures: dict[Object, Closure] = {}
        self._prepared: dict[Object, order.Prepared] = {}
        self._dependencies: dict[str, frozenset[str]] = {}
        self._openings: dict[tuple[Object, frozenset[str]], Opening | None] = {}
        self._spare: dict[Object, bool] = {}
        self._runtimes: dict[Object, Kind | None] = {}
        self._other_library: dict[Undefined, Mapping[str, tuple[str, Object]]] = {}

    # ---- loading

    @cached_property
    def host(self) -> list[Loaded]:
        """What a process has loaded before it opens a module: the Python program and its libraries."""
        program = self.files.find(self.scene.program) if self.scene.program else None
        return closure(program, self.scene.system, self.files).loaded if program else []

    @cached_property
    def assumed(self) -> list[Object]:
        """What every Python has loaded, where the targets are for one but have none: this machine's C library."""
        is_for_python = any(target.endswith(".whl") for target in self.scene.targets) or any(
            item.is_python_module for item in self.scene
        )
        if self.host or not is_for_python:
            return []
        system = self.scene.system
        paths = (
            path for name in _PYTHONS
            for path in (system.cache.get(name), *(f"{each}/{name}" for each in system.default))
        )  # fmt: skip
        return list(dict.fromkeys(found for path in paths if path and (found := self.files.find(path))))

    @cached_property
    def host_objects(self) -> frozenset[Object]:
        """The objects of :attr:`host`."""
        return frozenset(item.object for item in self.host)

    def closure(self, start: Object) -> Closure:
        """Everything that loading ``start`` brings in, alone in a process; programs are started, all else is opened."""
        if start not in self._closures:
            self._closures[start] = self.closure_after(start, ())
        return self._closures[start]

    def closure_after(self, start: Object, opened: Sequence[Closure]) -> Closure:
        """Everything that loading ``start`` brings in after these were opened."""
        if not opened and start in self._closures:
            return self._closures[start]
        host = [] if start.is_program else self._before
        return closure(start, self.scene.system, self.files, host=host, opened=opened)

    def prepared(self, root: Object) -> order.Prepared:
        """A root's closure once whatever it does not find, but the targets have, was opened before it."""
        if root not in self._prepared:
            self._prepared[root] = order.prepared(root, self.closure_after, self._provider)
        return self._prepared[root]

    def _provider(self, needer: Object, name: str) -> Object | None:
        found = self.nearest(needer, providers(name, needer, self.files))
        return found[0] if found else None

    def failure(self, closure: Closure) -> str:
        """Why a load fails, in the linker's words; empty if it works."""
        for name, _ in closure.missing:
            if not (self.scene.is_for_any_machine and name in self.scene.from_machine):
                return f"{name}: cannot open shared object file"
        for each in self.missing_versions(closure):
            return f"version `{each.version}' of {each.library} not found (required by {each.needer.object.name})"
        for item, names in self.resolver.unresolved(closure).items():
            left = without_absent(item, names, closure, self.scene, exports_in)
            if left and not self.opening(item, frozenset(left)):
                return f"undefined symbol: {demangle(min(left))} (required by {item.name})"
        return ""

    def missing_versions(self, closure: Closure) -> list[MissingVersion]:
        """The versions that keep a closure from loading, without those of this machine's libraries for any machine."""
        return [
            each for each in missing_versions(closure)
            if not (self.scene.is_for_any_machine and each.provider
                    and not self.scene.is_inside(each.provider.object.path))
        ]  # fmt: skip

    def opening(self, item: Object, names: frozenset[str]) -> Opening | None:
        """Who opens what has these symbols, for everybody, before it opens an object that lacks them."""
        if (item, names) not in self._openings:
            found = (each for each in self._openers.openings(item) if each.providers(names))
            self._openings[item, names] = next(found, None)
        return self._openings[item, names]

    @cached_property
    def _openers(self) -> Openers:
        return Openers(self.scene, self.files, self.closure, self.depends)

    def is_spare(self, item: Object) -> bool:
        """Whether nothing loads an object, and its package has another one in its place that loads."""
        if item not in self._spare:
            self._spare[item] = item not in self.needed and any(
                is_alternative(item, other) and not self.failure(self.prepared(other).closure) for other in self.scene
            )
        return self._spare[item]

    @cached_property
    def disorders(self) -> list[order.Disorder]:
        """The pairs of objects that load alone, but not one after the other."""
        return list(order.disorders(self.roots, self.closure_after, self.resolver, self.failure))

    def are_loaded_together(self, one: Object, other: Object) -> bool:
        """Whether a process is bound to load both: one package depends on the other, or one object loads both."""
        if one.owner != other.owner and (self.depends(one.owner, other.owner) or self.depends(other.owner, one.owner)):
            return True
        return any({one, other} <= {item.object for item in self.closure(root).loaded} for root in self.roots)

    # ---- packages

    def depends(self, owner: str, other: str) -> bool:
        """Whether a package is another one's own, or among the dependencies that it declares, directly or not."""
        return other == owner or plain_owner(other) in self._all_depends(owner)

    def _all_depends(self, owner: str) -> frozenset[str]:
        if owner not in self._dependencies:
            labels = {plain_owner(label): label for label in self.scene.depends}
            found: set[str] = set()
            queue = [owner]
            while queue:
                new = set(self.scene.depends.get(queue.pop(), ())) - found
                found |= new
                queue += [labels[name] for name in new if name in labels]
            self._dependencies[owner] = frozenset(found)
        return self._dependencies[owner]

    def nearest(self, consumer: Object, candidates: Sequence[Object]) -> list[Object]:
        """Providers of a consumer, its own package's first, then those of packages that it depends on."""
        return sorted(
            candidates, key=lambda item: (item.owner != consumer.owner, not self.depends(consumer.owner, item.owner))
        )

    @cached_property
    def _before(self) -> list[Loaded]:
        """What is loaded before anything else: in a process, all that it has mapped."""
        if self.scene.kind != "process":
            return self.host
        program = self.host[0] if self.host else None
        return [
            *self.host,
            *(Loaded(o.path, o, "loaded", program) for o in self.scene if o not in self.host_objects),
        ]

    @cached_property
    def roots(self) -> list[Object]:
        """What is opened by itself, without copies for which another one stands (:attr:`Scene.once`)."""
        there = [item for item in self.placed if self.files.substitute(item.soname) in (None, item)]
        return roots(there, self.closure)

    @cached_property
    def needed(self) -> frozenset[Object]:
        """The objects that another one's NEEDED brings in."""
        return frozenset(used.object for root in self.roots for used in self.prepared(root).closure.resolved.values())

    @cached_property
    def lost(self) -> list[Lost]:
        """The NEEDED names that are not found."""
        program = self.host[0] if self.host else None
        found = lost_names(self.roots, self.closure, self.files, self.scene.system, program, self.nearest)
        return [lost for lost in found if not self._is_elsewhere(lost)]

    @cached_property
    def misplaced(self) -> list[Misplaced]:
        """The files for another system, machine, C library or Python than the one where they would be used."""
        return misplaced(self.scene, self.files.find(self.scene.program) if self.scene.program else None)

    @cached_property
    def placed(self) -> list[Object]:
        """The objects that are for the machine where they are."""
        return [item for item in self.scene if item not in self._misplaced_objects]

    @cached_property
    def _misplaced_objects(self) -> frozenset[Object]:
        return frozenset(each.object for each in self.misplaced if each.object and each.is_unloadable)

    def _is_elsewhere(self, lost: Lost) -> bool:
        """Whether a name is missing only because the library, or what needs it, is for another platform."""
        if lost.needer in self._misplaced_objects:
            return True
        if lost.reason != "nowhere":
            return False
        return lost.name in self._foreign_names or bool(self.files.named(lost.name))

    @cached_property
    def _foreign_names(self) -> frozenset[str]:
        return frozenset(each.member.rpartition("/")[2] for each in self.scene.foreign)

    # ---- symbols

    @cached_property
    def resolver(self) -> Resolver:
        """Looks symbols up."""
        return Resolver(self.host, has_python=bool(self.scene.program), assumed=self.assumed)

    @cached_property
    def undefined(self) -> list[Undefined]:
        """What objects lack where they are really used."""
        found = ((root, self.resolver.unresolved(self.prepared(root).closure)) for root in self.roots)
        lacking = [(root, names) for root, names in found if names]
        return undefined_symbols(self.scene, lacking, lambda root: self.prepared(root).closure)

    def other_library(self, lacking: Undefined) -> Mapping[str, tuple[str, Object]]:
        """What is there with the other C++ standard library's types: name → (name as it is there, whose)."""
        if lacking not in self._other_library:
            inside = [item for item in lacking.around if self.scene.is_inside(item.path)]
            inside.sort(key=lambda item: item.path)
            self._other_library[lacking] = under_other_library(lacking.names, inside)
        return self._other_library[lacking]

    # ---- copies

    @cached_property
    def all_copies(self) -> list[Copies]:
        """The libraries that are there more than once, whatever :attr:`Scene.once` says."""
        return copies(self.scene)

    @cached_property
    def copies(self) -> list[Copies]:
        """The libraries that are there more than once; none where :attr:`Scene.once` says so."""
        return [] if self.scene.once else self.all_copies

    @cached_property
    def judged(self) -> list[Object]:
        """The objects, without those that :attr:`Scene.once` takes away."""
        gone = {item for group in self.all_copies for item in group.objects[1:]} if self.scene.once else ()
        return [item for item in self.scene if item not in gone]

    @cached_property
    def _leaders(self) -> dict[Object, Object]:
        return {item: group.objects[0] for group in self.copies for item in group.objects}

    def are_copies(self, one: Object, other: Object) -> bool:
        """Whether two objects are copies of one library."""
        return self._leaders.get(one, one) is self._leaders.get(other, other)

    def are_one_build(self, one: Object, other: Object) -> bool:
        """Whether two objects are parts of one package: what both hold is the same, inline functions above all."""
        return one.owner == other.owner and not self.are_copies(one, other)

    # ---- exports

    @cached_property
    def contested(self) -> dict[Object, frozenset[str]]:
        """Of each object, the strong names that another one exports too."""
        return exports.contested(self.judged)

    @cached_property
    def same_exports(self) -> dict[Pair, frozenset[str]]:
        """Pairs of objects that export many of the same names, and these."""
        return exports.same_exports(self.contested)

    @cached_property
    def together(self) -> dict[Pair, Closure]:
        """Pairs of contested objects that one load brings in, in the order of the linker's search."""
        return exports.together(self.judged, self.contested, self.host, self.closure)

    @cached_property
    def interposed(self) -> dict[Pair, interposition.Interposed]:
        """(first, second) → the symbols that the first takes over of the second."""
        return interposition.interposed(self.contested, self.together, self.are_one_build)

    @cached_property
    def embedded(self) -> list[static.Embedded]:
        """The static libraries that are in several objects."""
        return static.embedded(self.judged, self.same_exports, self.runtime_of)

    def runtime_of(self, item: Object) -> Kind | None:
        """The runtime that an object is or holds, of which a process must have only one."""
        if item not in self._runtimes:
            self._runtimes[item] = runtime_of(item)
        return self._runtimes[item]
