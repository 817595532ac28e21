"""Filters over public keys: what the inventory says, authorized_keys files and allowed_signers files.

All are pure: text in, text or lists out. A key is compared by its blob, the base64 text behind its type, never by its comment.
"""

import base64
import binascii
import hashlib
import re

from ansible.errors import AnsibleFilterError

TYPES = (
    "ssh-ed25519",
    "sk-ssh-ed25519@openssh.com",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "webauthn-sk-ecdsa-sha2-nistp256@openssh.com",
    "ssh-rsa",
)
BLOB = re.compile(r"\b(?:%s)[ \t]+([A-Za-z0-9+/]+={0,2})(?=[ \t]|$)" % "|".join(re.escape(t) for t in TYPES))
FROM = re.compile(r"[0-9a-fA-F.:/]+\Z")
EXPIRES = re.compile(r"\d{12}Z\Z")


def _mapping(entry):
    return entry if isinstance(entry, dict) else {"key": entry}


def _decode(blob):
    try:
        return base64.b64decode(blob, validate=True)
    except binascii.Error:
        return b""


def _blob(line):
    """The blob of a line of an authorized_keys, allowed_signers or .pub file; None for comments and blank lines."""
    found = None if line.lstrip().startswith("#") else BLOB.search(line)
    return found.group(1) if found else None


def _key_error(entry, among_from, expires):
    given = _mapping(entry)
    key = given.get("key", "")
    words = key.split()
    name = " ".join(words[2:]) or key[:40]
    if "\n" in key.strip() or len(words) < 2 or words[0] not in TYPES:
        return "%r is no public key" % name
    kind = words[0].encode()
    if not _decode(words[1]).startswith(len(kind).to_bytes(4, "big") + kind):
        return "the public key %r is damaged" % name
    wrong = [f for f in given.get("from") or among_from or [] if not FROM.match(str(f))]
    if wrong:
        return "from of %r: %r is no address or network" % (name, wrong[0])
    expires = given.get("expires") or expires
    if expires and not EXPIRES.match(str(expires)):
        return "expires of %r: %r is not YYYYMMDDHHMMZ" % (name, expires)
    unknown = set(given) - {"key", "from", "expires"}
    if unknown:
        return "%r has an unknown field %s" % (name, ", ".join(sorted(unknown)))
    return None


def key_errors(entries, among_from=(), expires=""):
    """What is wrong with the keys of the inventory, one sentence a key; empty when nothing is."""
    return [e for e in (_key_error(entry, among_from, expires) for entry in entries) if e]


def blobs(entries):
    """The blobs of the keys of the inventory."""
    return [_mapping(entry)["key"].split()[1] for entry in entries]


def expire(entries, expires=""):
    """Whether one of the keys of the inventory has an end."""
    return any(_mapping(entry).get("expires") or expires for entry in entries)


def fingerprint(blob):
    """SHA256:… as ssh-keygen -l prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(_decode(blob)).digest()).decode().rstrip("=")


def fingerprints(text):
    """The fingerprints of all keys of a file."""
    return [fingerprint(b) for b in map(_blob, text.splitlines()) if b]


def beside(present, intended):
    """The keys that are there and are not intended, then those that are: how a file stands while keys are rotated."""
    new = {_blob(line) for line in intended.splitlines()}
    old = [line for line in present.splitlines() if _blob(line) and _blob(line) not in new]
    return "".join(line + "\n" for line in old + intended.splitlines())


def revoked(wanted):
    """The fingerprint of what is to be revoked: a fingerprint, or the text of a public key."""
    wanted = wanted.strip()
    if re.match(r"SHA256:[A-Za-z0-9+/]{43}\Z", wanted):
        return wanted
    blob = _blob(wanted)
    if not blob:
        raise AnsibleFilterError("%r is neither a fingerprint SHA256:… nor a public key" % wanted)
    return fingerprint(blob)


def without_key(text, wanted):
    """The file without every line of that key."""
    out = revoked(wanted)
    return "".join(
        line + "\n" for line in text.splitlines() if not (_blob(line) and fingerprint(_blob(line)) == out)
    )


def without_person(text, name):
    """An allowed_signers file without this principal. The whole line goes, also when it names several persons: a key that is to be gone must
    not stay for another name."""
    lines = text.splitlines()
    return "".join(line + "\n" for line in lines if name not in (line.split(None, 1) or [""])[0].split(","))


class FilterModule:
    """Makes them known to Ansible, each with the prefix of the role."""

    def filters(self):
        """Name and function of each filter."""
        named = (key_errors, blobs, expire, fingerprint, fingerprints, beside, revoked, without_key, without_person)
        return {"mcp_" + f.__name__: f for f in named}
