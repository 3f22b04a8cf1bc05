"""Objects of one package of which only one is used: builds for CPU and GPU, for instruction sets, for MPI libraries."""

from __future__ import annotations

import re

from tt_conda.audit.objects import Object

_KIND = re.compile(
    r"[-_.]?(?:(?:no)?(?:avx\w*|sse\w*|amx\w*|cuda|mpi|gpu|openmp|omp)|cpu|rocm|hip|xpu|sycl|opencl|vulkan|metal|neon|sve\d*"
    r"|openmpi|mpich\d*|intelmpi|seq|sequential|serial|threads?|tbb|gomp|debug|release)\d*(?=[-_.]|$)"
)
"""The part of a name that says what one of several builds is for."""


def is_alternative(item: Object, other: Object) -> bool:
    """Whether two objects of one package are builds of the same thing, of which its code chooses one.

    They are if Python imports both by the same name, or the linker finds both by it; if their names differ only in what
    the build is for; or if most of their exports are the same.
    """
    if item is other or item.owner != other.owner or item.is_program or other.is_program:
        return False
    if item.is_python_module != other.is_python_module:
        return False
    one, two = item.name.partition(".so")[0].partition(".")[0], other.name.partition(".so")[0].partition(".")[0]
    if one == two or item.library == other.library:
        return item.path.rpartition("/")[0] != other.path.rpartition("/")[0]
    if _KIND.sub("", one) == _KIND.sub("", two) != "":
        return True
    both = len(item.strong & other.strong)
    return both > 0 and 2 * both >= max(len(item.strong), len(other.strong))
