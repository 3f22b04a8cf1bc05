"""Write docs/rules from the rules' modules: `ci/run exec python ci/rules_docs.py`."""

from __future__ import annotations

from pathlib import Path

from tt_conda.report.audit.explain import pages

FOLDER = Path(__file__).parents[1] / "docs/rules"


def main() -> None:
    """Write every page, delete those of rules that are gone."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    made = pages()
    for old in FOLDER.glob("*.md"):
        if old.name not in made:
            old.unlink()
    for name, text in made.items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
