"""Packs what CMake has built: libraries into ttnn/build/lib, kernels and descriptors beside them."""

import os
import shutil
from collections import namedtuple
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

LIBRARIES = ("_ttnncpp.so", "libtt_metal.so", "libtt_stl.so", "libdevice.so", "libtracy.so.0.10.0")


class FromBuild(build_ext):
    def run(self):
        built = Path(os.environ["TT_FROM_PRECOMPILED_DIR"])
        libraries = built / "build" / ("lib64" if Path("/usr/lib64").exists() else "lib")
        package = Path(self.build_lib, "ttnn")
        for name in LIBRARIES:
            self.copy_file(libraries / name, package / "build" / "lib" / name)
        shutil.copytree(built / "runtime/hw", package / "runtime/hw", dirs_exist_ok=True)
        shutil.copytree(built / "tt_metal/kernels", package / "tt_metal/kernels", dirs_exist_ok=True)
        for ext in self.extensions:
            self.copy_file(libraries / build_constants_lookup[ext].so_src_location, self.get_ext_fullpath(ext.name))

    def copy_file(self, source, target):
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)


ttnn_lib_C = Extension("ttnn._ttnn", sources=[])
BuildConstants = namedtuple("BuildConstants", ["so_src_location"])
build_constants_lookup = {
    ttnn_lib_C: BuildConstants(so_src_location="_ttnn.so"),
}

setup(
    use_scm_version=True,
    packages=[*find_packages("ttnn"), "tracy"],
    package_dir={"": "ttnn", "tracy": "tools/tracy"},
    ext_modules=[ttnn_lib_C],
    cmdclass={"build_ext": FromBuild},
    zip_safe=False,
)
