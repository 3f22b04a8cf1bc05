"""Which URLs lie below a channel, whatever they try."""

from __future__ import annotations

import pytest

from tt_conda.base.location import file_name, is_below

CHANNEL = "https://host/t/channel"


@pytest.mark.parametrize("url", [f"{CHANNEL}/noarch/x-1-0.conda", f"{CHANNEL}/linux-64/_x-1!2.0+a-0.tar.bz2"])
def test_below(url: str) -> None:
    assert is_below(url, ["https://other", CHANNEL]) and is_below(url, [f"{CHANNEL}/"])


@pytest.mark.parametrize(
    "url",
    [
        "https://host/t/channel2/noarch/x.conda",
        "https://host.evil/t/channel/noarch/x.conda",
        "https://evil/noarch/x.conda",
        "http://host/t/channel/noarch/x.conda",
        "https://host@evil/t/channel/noarch/x.conda",
        f"{CHANNEL}/../noarch/x.conda",
        "https://host:444/t/channel/noarch/x.conda",
        f"{CHANNEL}/noarch/../x.conda",
        f"{CHANNEL}/noarch/%2e%2e%2fx.conda",
        f"{CHANNEL}/noarch/a%2fx.conda",
        f"{CHANNEL}/noarch/",
        f"{CHANNEL}/x.conda",
        f"{CHANNEL}/a/noarch/x.conda",
        f"{CHANNEL}/noarch/x.conda?y",
        f"{CHANNEL}/noarch/x.conda#y",
        f"{CHANNEL}/noarch/.conda",
        f"{CHANNEL}/noarch/-x.conda",
        "file:///t/channel/noarch/x.conda",
        "https://me:word@host/t/channel/noarch/x.conda",
        f"{CHANNEL}/noarch/x.conda\n",
        "",
    ],
)
def test_not_below(url: str) -> None:
    assert not is_below(url, [CHANNEL, "file:///t/channel"])


def test_file_names() -> None:
    assert file_name("https://host/noarch/x-1-0.conda?a=/b") == "x-1-0.conda"
    for url in ("https://host/noarch/..", "https://host/noarch/", "https://host/a%2fb", "https://host/-x"):
        with pytest.raises(ValueError, match="no plain file name"):
            file_name(url)
