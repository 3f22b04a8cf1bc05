"""What all tests share."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from toolchain import program
from tt_conda.commands import defaults

MAY_BE_SKIPPED = {
    r"no CPython 3\.1[02] on this machine": "the build leaves out what is for it, and says so",
    r"this machine has one of the two anyway": "there is no interpreter whose absence could be tried",
    r"this machine lets only root mount a small disk": "a disk cannot be full that cannot be made",
    r"no gpg on this machine": "a Debian archive cannot be signed; Debian's own is asked in other tests",
    r"passed in a user namespace": "it ran there",
    r"no pytorch with (libcxx|libstdcxx) for Python 3\.1[02] is here; to build it: .*": "that takes an hour and more",
    r"no image \S+ is here, nor can it be fetched": "an image starts from one",
    r"no [\w-]+ on PATH, and TT_CONDA_\w+ names none": "it is another project's program; other tests cover the rule",
    r"no sources of upstream's are here: TT_CONDA_UPSTREAM names none": "two hours of compiling",
    r"no ttnn with (libcxx|libstdcxx) for Python 3\.1[02] in TT_CONDA_UPSTREAM_CHANNEL": "one names what is tried",
    r"it runs each night: -m nightly": "its moments are drawn at random; those that have a name are in each run",
    r"no other glibc is here: TT_CONDA_GLIBCS names none": "this machine's linker is asked in other tests",
    r"no libttsim_\w+\.so of upstream's is here: TT_CONDA_SIMULATOR names none": "ours covers choosing and packaging",
    r"this conda has no solver (classic|libmamba|rattler)": "it ran with the solvers that there are",
}
"""Reasons (all of it, as a regular expression) to leave a test out, and why each is one. Any other is a failure."""

TOOK = {"libcxx": 73, "libstdcxx": 87}
"""Minutes from nothing for libtorch and pytorch for one Python, as docs/measured/pytorch.md has them."""


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # pytest-xdist's workers inherit the folder from the first process
        defaults.names()  # which the workers and the commands that tests start inherit, too
        os.environ["TT_CONDA_TEST_FOLDER"] = tempfile.mkdtemp(prefix="tt-conda-tests-", dir=_memory())


def pytest_report_header() -> str | None:
    if not defaults.is_embedded():
        return (
            "what is about the embedded channel, or takes files from Debian's archive, is left out:"
            f" TT_CONDA_CHANNELS has {', '.join(defaults.names())}"
        )
    return None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "nightly" not in config.option.markexpr:
        for item in items:
            if item.get_closest_marker("nightly"):
                item.add_marker(pytest.mark.skip(reason="it runs each night: -m nightly"))
    if not defaults.is_embedded():
        embedded = Path(__file__).parent / "embedded"
        about_it = [
            item
            for item in items
            if item.path.is_relative_to(embedded) or item.get_closest_marker("debian") is not None
        ]
        config.hook.pytest_deselected(items=about_it)
        items[:] = [item for item in items if item not in about_it]


def _skipped_for_no_reason(config: pytest.Config) -> list[str]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    found = []
    for report in reporter.stats.get("skipped", []) if reporter else []:
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not any(re.fullmatch(reason, why.removeprefix("Skipped: ")) for reason in MAY_BE_SKIPPED):
            found.append(f"{report.nodeid}: {why}")
    return found


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A test that runs nowhere tells nothing, so a run that skips one for no known reason has failed."""
    is_controller = not hasattr(session.config, "workerinput")
    if is_controller and session.exitstatus == pytest.ExitCode.OK and _skipped_for_no_reason(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> Iterator[None]:
    yield  # the last lines of the run are these
    reasons = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])]
    commands = {
        match[1] for reason in reasons if (match := re.search(r"no pytorch .*; to build it: ([\w. -]+)", reason))
    }
    run = "pixi run" if "PIXI_PROJECT_ROOT" in os.environ else "ci/run exec"
    if count := sum("it runs each night" in reason for reason in reasons):
        tests = "1 test" if count == 1 else f"{count} tests"
        terminalreporter.section(f"{tests} did not run: programs are stopped at random moments")
        terminalreporter.line(f"{run} pytest -m nightly")
    if commands:
        count = sum("no pytorch " in reason for reason in reasons)
        tests = "1 test" if count == 1 else f"{count} tests"
        terminalreporter.section(f"{tests} of PyTorch did not run: it is not built here")
        for command in sorted(commands):
            (took,) = (minutes for stdlib, minutes in TOOK.items() if f"--cxx-stdlib {stdlib} " in command)
            terminalreporter.line(f"{run} {command}   (on two cores {took} minutes, from the compiler's cache 4 to 10)")
    if count := sum("TT_CONDA_UPSTREAM names none" in reason for reason in reasons):
        terminalreporter.section(f"{count} tests of what is compiled from upstream's sources did not run")
        terminalreporter.line("export TT_CONDA_UPSTREAM=/path/to/sources   (docs/source.md)")
    if count := sum("TT_CONDA_GLIBCS names none" in reason for reason in reasons):
        terminalreporter.section(f"{count} tests with other glibcs' linkers did not run")
        terminalreporter.line("export TT_CONDA_GLIBCS=/path/to/one:/path/to/another   (libc6 packages, dpkg-deb -x)")
    if count := sum("TT_CONDA_SIMULATOR names none" in reason for reason in reasons):
        tests = "1 test" if count == 1 else f"{count} tests"
        terminalreporter.section(f"{tests} on a simulator of upstream's did not run")
        terminalreporter.line("export TT_CONDA_SIMULATOR=/path/to/libttsim_wh.so   (or a folder; docs/simulator.md)")
    not_there = re.compile(r"no ([\w-]+ on PATH, and TT_CONDA_\w+) names none")
    missing = Counter(match[1] for reason in reasons if (match := not_there.search(reason)))
    for words, count in sorted(missing.items()):
        program, variable = words.split()[0], words.split()[-1]
        tests = "1 test" if count == 1 else f"{count} tests"
        terminalreporter.section(f"{tests} with a real {program} did not run: it is not on PATH")
        terminalreporter.line(f"export {variable}=/path/to/{program}")
    if found := _skipped_for_no_reason(config):
        terminalreporter.section("skipped without a reason that tests/conftest.py knows", red=True)
        for line in found:
            terminalreporter.line(f"error: {line}")


def _memory() -> str | None:
    """A folder in memory, where there is plenty and programs may be run from it: the carved wheels are 4 GB."""
    shm = "/dev/shm"
    usable = os.access(shm, os.W_OK | os.X_OK)  # on some machines it is root's alone
    roomy = usable and shutil.disk_usage(shm).free > 8 << 30
    return shm if roomy and not os.statvfs(shm).f_flag & os.ST_NOEXEC else None


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ.pop("TT_CONDA_TEST_FOLDER"), ignore_errors=True)


Compile = Callable[..., Path]


@pytest.fixture
def scratch() -> Iterator[Path]:
    """As ``tmp_path``, for much data: it is gone when the test is over."""
    with tempfile.TemporaryDirectory(dir=os.environ["TT_CONDA_TEST_FOLDER"]) as folder:
        yield Path(folder)


@pytest.fixture
def compile_library(tmp_path: Path) -> Compile:
    """Compile a shared library: ``compile_library("liba.so", "int a(void) { return 1; }", "-Wl,...")``."""

    def build(name: str, source: str, *flags: str) -> Path:
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        code = tmp_path / f"{Path(name).name}.c"
        code.write_text(source)
        command = [program("gcc"), "-shared", "-fPIC", "-O1", "-g0", "-nostdlib", "-Wl,--as-needed", "-o", target, code]
        subprocess.run([*command, *flags, "-lc"], check=True, cwd=target.parent)
        return target

    return build
