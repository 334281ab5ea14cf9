"""Makes tests/golden/signatures/passkey.json: what a passkey signs in a real Chromium, whose authenticator is a virtual one.

`python -m tests.passkey_in_chromium [--chromium /usr/bin/chromium]` (Debian: `apt install chromium`; `pip install playwright`). It is run once, and
again when another form of assertion is to be kept; tests read what it wrote. Nothing leaves the machine: the pages are answered here.
"""

from __future__ import annotations

import argparse
import json
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from playwright.sync_api import CDPSession, Page, sync_playwright

from signatures import sshsig
from signatures.keys import Algorithm, PublicKey, encode
from signatures.sshsig import Hash, Purpose

VECTOR: Final = Path(__file__).parent / "golden" / "signatures" / "passkey.json"
RELYING_PARTY: Final = "consortium.example"
ORIGIN: Final = "https://desk.consortium.example"
"""A page below the relying party's domain, so that the two differ."""
MESSAGE: Final = '{"actor":"ada","command":{"kind":"cast_ballot","choice":"yes"},"note":"«Ångström», 東京"}'.encode()
QUIET: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
COMMON: Final = """
const bytes = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));
const text = buffer => btoa(String.fromCharCode(...new Uint8Array(buffer)));
"""
CREATE: Final = """async ({rp, challenge}) => {COMMON
  const made = await navigator.credentials.create({publicKey: {
    rp: {id: rp, name: rp}, user: {id: bytes("YWRh"), name: "ada", displayName: "Ada"}, challenge: bytes(challenge),
    pubKeyCredParams: [{type: "public-key", alg: -7}], authenticatorSelection: {residentKey: "required", userVerification: "required"},
    extensions: {credBlob: bytes("YWRh")},
  }});
  return {id: text(made.rawId), key: text(made.response.getPublicKey())};
}"""
GET: Final = """async ({rp, id, challenge, verification, extensions}) => {COMMON
  const made = await navigator.credentials.get({publicKey: {
    rpId: rp, challenge: bytes(challenge), allowCredentials: [{type: "public-key", id: bytes(id)}], userVerification: verification, extensions,
  }});
  return {authenticator_data: text(made.response.authenticatorData), client_data: text(made.response.clientDataJSON),
          signature: text(made.response.signature)};
}"""
WAYS: Final[dict[str, tuple[Purpose, Hash, str, dict[str, Any]]]] = {
    "a command": (Purpose.COMMAND, Hash.SHA512, "discouraged", {}),
    "a command, by somebody whom the authenticator knows": (Purpose.COMMAND, Hash.SHA512, "required", {}),
    "a login, hashed with SHA-256": (Purpose.LOGIN, Hash.SHA256, "required", {}),
    "the possession of the key, with data of an extension": (Purpose.POSSESSION, Hash.SHA512, "required", {"getCredBlob": True}),
}


def authenticator(page: Page) -> tuple[CDPSession, str]:
    """A virtual one that is always touched, and knows its user."""
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2", "ctap2Version": "ctap2_1", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
        "hasCredBlob": True, "isUserVerified": True, "automaticPresenceSimulation": True, "defaultBackupEligibility": True,
    }  # fmt: skip
    return session, session.send("WebAuthn.addVirtualAuthenticator", {"options": options})["authenticatorId"]


def key_of(spki: bytes) -> PublicKey:
    """The passkey's, as OpenSSH writes it."""
    public = load_der_public_key(spki)
    assert isinstance(public, ec.EllipticCurvePublicKey)
    return encode(Algorithm.SK_P256, public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint), RELYING_PARTY)


def main() -> None:
    """Writes the vector, each assertion checked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    words = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=words.chromium, args=list(QUIET))
        page = browser.new_page()
        page.route("**/*", lambda route: route.fulfill(body="<title>Desk</title>", content_type="text/html"))
        page.goto(f"{ORIGIN}/")
        authenticator(page)
        made = page.evaluate(CREATE.replace("COMMON", COMMON), {"rp": RELYING_PARTY, "challenge": "YWRh"})
        key = key_of(b64decode(made["key"]))
        kept = []
        for name, (purpose, hash_name, verification, extensions) in WAYS.items():
            challenge = b64encode(sshsig.to_be_signed(MESSAGE, purpose, hash_name)).decode()
            asked = {"rp": RELYING_PARTY, "id": made["id"], "challenge": challenge, "verification": verification, "extensions": extensions}
            got = page.evaluate(GET.replace("COMMON", COMMON), asked)
            parts = {part: b64decode(value) for part, value in got.items()}
            signature = sshsig.from_assertion(key, purpose, **parts, hash_name=hash_name)
            sshsig.verify(signature, MESSAGE, purpose, key, {ORIGIN})
            kept.append({"name": name, "purpose": purpose, "hash": hash_name, **got, "armoured": sshsig.armour(sshsig.encode(signature))})
        told = {
            "browser": f"Chromium {browser.version}", "origin": ORIGIN, "key": key.line, "message": MESSAGE.decode(), "assertions": kept,
        }  # fmt: skip
        browser.close()
    VECTOR.parent.mkdir(exist_ok=True)
    VECTOR.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{VECTOR}: {len(kept)} assertions of {told['browser']}")


if __name__ == "__main__":
    main()
