"""What long work shows: a bar on a terminal, one line per finished stage elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

console = Console(stderr=True, highlight=False, soft_wrap=True)
"""Messages go to standard error; standard output is for results."""


_MANY = 20
"""Steps: a part with fewer is over soon, and only shown on a terminal."""


class Stage:
    """One bar. ``advance`` moves it, ``describe`` says what it is doing now."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task
        self._parts: dict[tuple[str, int], TaskID] = {}
        self._said: dict[TaskID, int] = {}

    def advance(self, steps: float = 1) -> None:
        """Move the bar by ``steps`` of its total."""
        self._progress.advance(self._task, steps)

    def describe(self, text: str) -> None:
        """Show ``text`` behind the bar."""
        self._progress.update(self._task, detail=text)

    def part(self, name: str, done: int, total: int) -> None:
        """Show how far a long step is, on a bar of its own; elsewhere than on a terminal a line for every tenth."""
        if (name, total) not in self._parts:  # another number of steps: another part, such as a check of the compiler
            self._parts[name, total] = self._progress.add_task(f"  {name}", total=total, detail="")
        part = self._parts[name, total]
        finished = done >= total
        for task in self._parts.values():
            self._progress.update(task, visible=task == part and not finished)
        self._progress.update(part, completed=done)
        tenth = 10 * done // max(total, 1)
        if not console.is_terminal and total >= _MANY and tenth > self._said.get(part, 0):
            self._said[part] = tenth
            bar = next(task for task in self._progress.tasks if task.id == part)
            left = f", about {bar.time_remaining / 60:.0f} min left" if bar.time_remaining and not finished else ""
            console.print(f"  {name}: {done} of {total} steps, {(bar.elapsed or 0) / 60:.0f} min{left}")

    def total(self, total: float) -> None:
        """Set the number of steps, where it becomes known late."""
        self._progress.update(self._task, total=total)


@contextmanager
def stage(title: str, total: float | None = None) -> Iterator[Stage]:
    """Show ``title`` while its body runs and how long it took (seconds) when it is done."""
    start = time.monotonic()
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.completed:.0f}/{task.total}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("[dim]{task.fields[detail]}"),
        console=console,
        transient=True,
        speed_estimate_period=600,  # seconds: what is in a cache passes fast, then it gets slow
        disable=not console.is_terminal,
    ) as progress:
        yield Stage(progress, progress.add_task(title, total=total, detail=""))
    console.print(f"[green]✓[/green] {title} [dim]{time.monotonic() - start:.1f} s[/dim]")
