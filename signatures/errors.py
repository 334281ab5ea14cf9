"""Why a key or a signature is not accepted. Each error has a stable id, `rule`, and says in one plain sentence what is wrong."""

from __future__ import annotations

from typing import ClassVar


class Unacceptable(Exception):
    """A key or a signature that is not accepted: `rule` names why, and `str(error)` says it to people. Nothing else is raised over bytes."""

    rule: ClassVar[str]


# ---------------------------------------------------------------- keys


class MalformedKey(Unacceptable):
    """The bytes or the line are not a public key of OpenSSH in its one canonical form."""

    rule = "malformed_key"


class UnsupportedKey(Unacceptable):
    """It is a key of OpenSSH, and of a kind that is not taken here."""

    rule = "unsupported_key"


class WeakKey(Unacceptable):
    """The key has the right form, and a point that a signer's key never has: some fit any message."""

    rule = "weak_key"


# ---------------------------------------------------------------- signatures


class MalformedSignature(Unacceptable):
    """The bytes or the text are not a signature in the form SSHSIG."""

    rule = "malformed_signature"


class UnsupportedSignature(Unacceptable):
    """The form of the signature, or its hash, is none that is taken here, or none that this key makes."""

    rule = "unsupported_signature"


class OtherKey(Unacceptable):
    """Another key signed."""

    rule = "signed_by_other_key"


class OtherPurpose(Unacceptable):
    """It was signed for another purpose, or in another program's namespace."""

    rule = "signed_for_other_purpose"


class NotTouched(Unacceptable):
    """The security key signed without anybody touching it."""

    rule = "signed_without_touch"


class OtherChallenge(Unacceptable):
    """The browser was asked for something else than a signature over this message."""

    rule = "passkey_signed_something_else"


class OtherOrigin(Unacceptable):
    """The passkey was used on a page that is not accepted."""

    rule = "passkey_used_elsewhere"


class WrongSignature(Unacceptable):
    """Everything has the right form, and the signature is not this key's over this message."""

    rule = "wrong_signature"
