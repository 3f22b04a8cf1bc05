"""A file of accepted findings: new ones are refused, so the list can only get shorter."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tt_conda.audit.finding import Finding
from tt_conda.base.errors import TtCondaError
from tt_conda.base.files import write_output


class Accepted(BaseModel):
    """One accepted finding. Its fingerprint identifies it; the rest is for readers of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    code: str
    subject: str
    fingerprint: str = Field(pattern="^[0-9a-f]{16}$")
    message: str


class AcceptedFindings(BaseModel):
    """The file: JSON, with the findings sorted for readable diffs."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    schema_version: Literal[1] = Field(default=1, alias="schema")
    accepted: list[Accepted] = []


def write_accepted(file: Path, findings: Iterable[Finding]) -> int:
    """Write findings to the file; returns their number.

    Raises:
        TtCondaError: the file cannot be written.
    """
    items = {
        f.fingerprint: Accepted(code=f.code, subject=f.subject, fingerprint=f.fingerprint, message=f.message)
        for f in findings
    }
    ordered = sorted(items.values(), key=lambda item: (item.code, item.subject, item.fingerprint))
    data = AcceptedFindings(accepted=ordered).model_dump(by_alias=True)
    write_output(file, json.dumps(data, indent=2, ensure_ascii=False) + "\n")
    return len(ordered)


def read_accepted(file: Path) -> list[Accepted]:
    """The accepted findings of a file.

    Raises:
        TtCondaError: the file does not exist or is not such a list.
    """
    way_out = "Write it with `tt-conda audit … --write-baseline FILE`."
    try:
        return AcceptedFindings.model_validate_json(file.read_bytes()).accepted
    except OSError as error:
        raise TtCondaError(f"{file}: {error.strerror}", way_out) from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise TtCondaError(f"{file}: not a list of accepted findings: {where} {first['msg']}", way_out) from None
