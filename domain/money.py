"""Money as integers of minor units, and sharing it out without losing a cent."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, PlainSerializer

from domain.forms import Form

_TWO_PLACES: Final = (
    "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW CNY COP COU "
    "CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR "
    "KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK "
    "PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD "
    "USN UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG"
)
_NO_PLACE: Final = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
MINOR_UNITS: Final[Mapping[str, int]] = {
    **dict.fromkeys(_NO_PLACE.split(), 0),
    **dict.fromkeys(_TWO_PLACES.split(), 2),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
}
"""Decimal places of every currency in use (ISO 4217): there are no others."""

SAFE: Final = 2**53 - 1
"""The largest integer every JSON reader keeps (RFC 8785, appendix D); larger ones travel as strings."""

CEILING: Final = 10**15
"""The largest single amount anybody may name, in minor units."""

_DIGITS: Final = re.compile(r"-?[0-9]{1,30}")
_AMOUNT: Final = re.compile(r"(?P<whole>[0-9]{1,16})(?:\.(?P<fraction>[0-9]{1,4}))?")


def _read(value: Any) -> Any:
    if isinstance(value, str) and _DIGITS.fullmatch(value) and abs(int(value)) > SAFE:
        return int(value)
    return value


def _write(value: int) -> int | str:
    return value if -SAFE <= value <= SAFE else str(value)


Minor = Annotated[
    int,
    BeforeValidator(_read),
    PlainSerializer(_write),
    Form('an amount (like "1,250,000.50 USD")', "1,250,000.50 USD", unit=" minor units"),
]
"""An amount in minor units of a currency known from where it stands; a string in JSON beyond 2^53-1."""

Amount = Annotated[Minor, Field(gt=0, le=CEILING)]
"""A positive amount in minor units that somebody names: at most 10^15."""

Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$"), Form("a currency by its three capital letters (ISO 4217)", "USD")]
"""An ISO 4217 code."""


def decimal(minor: int, currency: str) -> str:
    """`-1234.50`: digits, a point and the currency's places, as files of others write amounts (ISO 20022 among them)."""
    places = MINOR_UNITS.get(currency, 2)
    sign, digits = ("-" if minor < 0 else ""), str(abs(minor)).rjust(places + 1, "0")
    return f"{sign}{digits[:-places]}.{digits[-places:]}" if places else f"{sign}{digits}"


def display(minor: int, currency: str) -> str:
    """`USD 1,234.50`: for people; never read back."""
    whole, point, fraction = decimal(minor, currency).partition(".")
    sign = "-" if minor < 0 else ""
    return f"{currency} {sign}{abs(int(whole)):,}{point}{fraction}"


@dataclass(frozen=True, slots=True)
class Money:
    """So much in a currency."""

    minor: int
    currency: str

    def __str__(self) -> str:
        """For people; never read back."""
        return display(self.minor, self.currency)


def percent(basis_points: int) -> str:
    """`12.5 %`: a fraction for people."""
    whole, rest = divmod(basis_points, 100)
    return f"{whole}{f'.{rest:02}'.rstrip('0') if rest else ''} %"


def parse_amount(text: str, currency: str) -> int:
    """Minor units of an amount as people type it (`1250000`, `1250000.50`).

    Raises `ValueError` for anything else: signs, exponents, separators, digits of other scripts, more places than
    the currency has, zero, or more than 10^15 minor units.
    """
    places = MINOR_UNITS.get(currency)
    if places is None:
        raise ValueError(f"{currency!r} is not a currency in use (ISO 4217)")
    match = _AMOUNT.fullmatch(text) if text.isascii() else None
    fraction = (match["fraction"] or "") if match else ""
    if match is None or len(fraction) > places:
        raise ValueError(f"{text[:40]!r} is not an amount in {currency}: write digits with at most {places} decimal places, like 1250000")
    minor = int(match["whole"] + fraction.ljust(places, "0"))
    if not 0 < minor <= CEILING:
        raise ValueError(f"an amount in {currency} lies above 0 and at most at {display(CEILING, currency)}")
    return minor


def share(total: int, weights: Mapping[str, int]) -> dict[str, int]:
    """`total` split in proportion to integer weights by the largest remainder (Hamilton), to the last unit.

    Ties in the remainder go to the smaller key, so the result does not depend on the order of the mapping.
    Raises `ValueError` when there is something to share and nobody to take it, or a weight is negative.
    """
    if any(weight < 0 for weight in weights.values()) or total < 0:
        raise ValueError("shares need non-negative weights and a non-negative total")
    whole = sum(weights.values())
    if whole == 0:
        if total == 0:
            return dict.fromkeys(weights, 0)
        raise ValueError("nobody to share with")
    shares = {key: total * weight // whole for key, weight in weights.items()}
    left = total - sum(shares.values())
    by_remainder = sorted(weights, key=lambda key: (-(total * weights[key] % whole), key))
    for key in by_remainder[:left]:
        shares[key] += 1
    return shares


def share_under_caps(total: int, weights: Mapping[str, int], caps: Mapping[str, int]) -> dict[str, int]:
    """`share`, but nobody takes more than their cap: what a capped one cannot take is shared among the others.

    Hands out `min(total, sum(caps))`. Everyone capped in a pass is at their cap in the result (water-filling).
    """
    result = dict.fromkeys(weights, 0)
    open_: dict[str, int] = {key: weight for key, weight in weights.items() if weight > 0 and caps[key] > 0}
    left = min(total, sum(caps[key] for key in open_))
    while left and open_:
        part = share(left, open_)
        full: Sequence[str] = [key for key in open_ if part[key] >= caps[key]]
        if not full:
            result.update(part)
            return result
        for key in full:
            result[key] = caps[key]
            left -= caps[key]
            del open_[key]
    return result
