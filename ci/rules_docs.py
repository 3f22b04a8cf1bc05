"""Write what is made from the audit's code: docs/rules and the JSON schemas (`ci/run exec python ci/rules_docs.py`)."""

from __future__ import annotations

from pathlib import Path

from tt_conda.report.audit.compare import COMPARISON_SCHEMA, comparison_schema
from tt_conda.report.audit.document import SCHEMA, schema
from tt_conda.report.audit.explain import pages

RULES = Path(__file__).parents[1] / "docs/rules"


def main() -> None:
    """Write every page and schema; delete the pages of rules that are gone."""
    RULES.mkdir(parents=True, exist_ok=True)
    made = pages()
    for old in RULES.glob("*.md"):
        if old.name not in made:
            old.unlink()
    for name, text in made.items():
        (RULES / name).write_text(text, encoding="utf-8")
    SCHEMA.write_text(schema(), encoding="utf-8")
    COMPARISON_SCHEMA.write_text(comparison_schema(), encoding="utf-8")


if __name__ == "__main__":
    main()
