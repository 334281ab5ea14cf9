"""Structured creditor references (ISO 11649) and what names an account: IBANs (ISO 13616), other numbers with their bank, and nothing else.

A reference is `RF`, two check digits, and up to 21 letters and digits. People write it in groups of four; it is kept without spaces.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from domain.forms import Form

_REFERENCE: Final = re.compile(r"RF[0-9]{2}[A-Z0-9]{1,21}")
_IBAN: Final = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")
_NUMBER: Final = re.compile(r"[A-Z0-9]{4,34}")
_CLEARING: Final = re.compile(r"[A-Z]{5}[A-Z0-9]{1,30}")
_BIC: Final = re.compile(r"[A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2}(?:[A-Z0-9]{3})?")
_SPACES: Final = re.compile(r"[ \t\r\n\u00a0\u202f-]+")
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Without I, L, O and U, which people mistake for others (Crockford's base 32)."""
_LETTERS: Final = 16
"""80 bits: nobody meets the same reference twice by chance."""

IBAN_LENGTHS: Final[Mapping[str, int]] = {
    "AD": 24,
    "AE": 23,
    "AL": 28,
    "AT": 20,
    "AZ": 28,
    "BA": 20,
    "BE": 16,
    "BG": 22,
    "BH": 22,
    "BR": 29,
    "BY": 28,
    "CH": 21,
    "CR": 22,
    "CY": 28,
    "CZ": 24,
    "DE": 22,
    "DK": 18,
    "DO": 28,
    "EE": 20,
    "EG": 29,
    "ES": 24,
    "FI": 18,
    "FO": 18,
    "FR": 27,
    "GB": 22,
    "GE": 22,
    "GI": 23,
    "GL": 18,
    "GR": 27,
    "GT": 28,
    "HR": 21,
    "HU": 28,
    "IE": 22,
    "IL": 23,
    "IQ": 23,
    "IS": 26,
    "IT": 27,
    "JO": 30,
    "KW": 30,
    "KZ": 20,
    "LB": 28,
    "LC": 32,
    "LI": 21,
    "LT": 20,
    "LU": 20,
    "LV": 21,
    "MC": 27,
    "MD": 24,
    "ME": 22,
    "MK": 19,
    "MR": 27,
    "MT": 31,
    "MU": 30,
    "NL": 18,
    "NO": 15,
    "PK": 24,
    "PL": 28,
    "PS": 29,
    "PT": 25,
    "QA": 29,
    "RO": 24,
    "RS": 22,
    "SA": 24,
    "SC": 31,
    "SE": 24,
    "SI": 19,
    "SK": 24,
    "SM": 27,
    "ST": 25,
    "SV": 28,
    "TL": 23,
    "TN": 24,
    "TR": 26,
    "UA": 29,
    "VA": 22,
    "VG": 24,
    "XK": 20,
}
"""Characters of an account number by its country (the IBAN registry of SWIFT); other countries' only have right check digits."""

BankReference = Annotated[
    str,
    Field(pattern=r"^[A-Z0-9][A-Z0-9/:.-]{0,63}$"),
    Form("a bank's reference: capital letters and digits, and / : . - between", "BK00000001"),
]
"""How a bank names one movement on an account, in upper-case ASCII without spaces."""


def creditor_reference(*parts: str) -> str:
    """The reference that belongs to these parts, without spaces: told again, it is the same; other parts have another one."""
    number = int.from_bytes(hashlib.sha256("\x1f".join(parts).encode()).digest(), "big")
    letters: list[str] = []
    for _ in range(_LETTERS):
        number, rest = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[rest])
    body = "".join(letters)
    return f"RF{98 - _remainder(body + 'RF00'):02}{body}"


def parse_reference(text: str) -> str:
    """The reference without spaces, in capitals. Raises `ValueError` for anything that is none, or has wrong check digits."""
    found = _compact(text)
    if not _REFERENCE.fullmatch(found):
        raise ValueError("not a creditor reference: RF, two digits, then up to 21 letters and digits")
    if not _checks(found):
        raise ValueError("the check digits of the creditor reference are wrong: compare it with the call")
    return found


def shown_reference(reference: str) -> str:
    """The reference in groups of four, as it is printed."""
    return " ".join(reference[start : start + 4] for start in range(0, len(reference), 4))


def parse_iban(text: str) -> str:
    """The account number without spaces, in capitals (ISO 13616). Raises `ValueError`, which never repeats the number."""
    found = _compact(text)
    if not _IBAN.fullmatch(found):
        raise ValueError("not an account number: two letters, two digits, then 11 to 30 letters and digits (IBAN)")
    expected = IBAN_LENGTHS.get(found[:2])
    if expected not in {None, len(found)}:
        raise ValueError(f"an account number of {found[:2]} has {expected} characters, this one {len(found)}")
    if not _checks(found):
        raise ValueError("the check digits of the account number are wrong: compare it with the payee's letter")
    return found


def parse_bic(text: str) -> str:
    """A bank's identifier in capitals (ISO 9362): eight or eleven characters. Raises `ValueError`."""
    found = _compact(text)
    if not _BIC.fullmatch(found):
        raise ValueError("not a bank identifier: four characters, a country, two or five characters more (BIC)")
    return found


def parse_account_number(text: str) -> str:
    """An account number that is no IBAN, without spaces and hyphens, in capitals. Raises `ValueError`, which never repeats the number."""
    found = _compact(text)
    if not _NUMBER.fullmatch(found):
        raise ValueError("not an account number: 4 to 34 letters and digits")
    if _IBAN.fullmatch(found):
        raise ValueError("this number has the form of an IBAN: give it as `iban`, so that its check digits are looked at")
    return found


def parse_clearing_member(text: str) -> str:
    """A bank by its number in a clearing system, after the system's five letters: `USABA021000021`. Raises `ValueError`.

    The systems are those of ISO 20022's external code set; a routing number of the American Bankers Association has a check digit.
    """
    found = _compact(text)
    if not _CLEARING.fullmatch(found):
        raise ValueError("not a bank of a clearing system: five letters of the system, then the bank's number (`USABA021000021`)")
    system, member = found[:5], found[5:]
    if system in {"USABA", "CACPA"} and not (len(member) == 9 and member.isdigit()):
        raise ValueError(f"a bank's number of {system} has nine digits")
    if system == "USABA" and sum(int(digit) * weight for digit, weight in zip(member, (3, 7, 1) * 3, strict=True)) % 10:
        raise ValueError("the check digit of the routing number is wrong: compare it with the payee's letter")
    return found


def names_account(written: str, account: str) -> bool:
    """Whether a bank's text means this account: by its number, spaces and hyphens aside, or by an IBAN's national part."""
    return _compact(written) in ({account, account[4:]} if _IBAN.fullmatch(account) else {account})


def masked(account: str) -> str:
    """An account number as it may be shown: the last four characters, and of an IBAN its country and check digits."""
    if _IBAN.fullmatch(account):
        return f"{account[:4]}…{account[-4:]}"
    return f"…{account[-4:]}" if len(account) > 8 else "…"


def _compact(text: str) -> str:
    return _SPACES.sub("", text[:100]).upper()


def _checks(text: str) -> bool:
    return _remainder(text[4:] + text[:4]) == 1


def _remainder(text: str) -> int:
    """The number modulo 97 in which every letter stands for two digits, A for 10."""
    return int("".join(str(int(character, 36)) for character in text)) % 97


def _lei(text: str) -> str:
    """ISO 17442: the number that the letters and digits spell leaves 1 when divided by 97 (ISO 7064)."""
    if int("".join(str(int(character, 36)) for character in text)) % 97 != 1:
        raise ValueError("the check digits of this Legal Entity Identifier are wrong; copy it again from its certificate")
    return text


Lei = Annotated[
    str,
    Field(pattern=r"^[A-Z0-9]{18}[0-9]{2}$"),
    AfterValidator(_lei),
    Form("a Legal Entity Identifier: 18 capital letters and digits, then two check digits (ISO 17442)", "52990000000000000196"),
]
"""A Legal Entity Identifier with right check digits."""
