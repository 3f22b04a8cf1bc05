"""The drivers that are carved from upstream's wheels, and the table of what they need of a simulator."""

from __future__ import annotations

import pytest

from tt_conda.base import settings
from tt_conda.simulator import drivers

pytestmark = pytest.mark.stack


@pytest.mark.parametrize("driver", drivers.known(), ids=lambda driver: driver.library)
def test_the_table_has_what_a_carved_driver_looks_up(driver: drivers.Driver) -> None:
    prefixes = sorted(settings.output_dir().glob(f"envs/*/lib/{driver.library}"))
    assert prefixes, f"no environment of `ci/run build` has {driver.library}"
    for library in prefixes:
        assert drivers.looked_up(library) == driver.required | driver.optional, library
