"""Ed25519 signatures of tables (PUBLISHING.md): who published this?

    signed bytes = "quotegrid table " and the 64 digits of the content hash            80 bytes
    a signature's file = the public key, then the signature of RFC 8032           32 + 64 bytes

The content hash covers every byte of a table. Keys are PEM files; a private key never leaves the object that
read it, and no message shows more of a key than the fingerprint of its public half. Needs `cryptography`.
"""

import errno
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path

from cryptography.exceptions import InternalError, InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from quotegrid.tables.publication.generations import require_regular
from quotegrid.tables.table_error import TableError

KEY_BYTES, SIGNATURE_BYTES = 32, 64
_NO_KEY = (ValueError, TypeError, UnsupportedAlgorithm, InternalError)  # what reading a key may raise


class KeyFileError(ValueError):
    """A file of a key cannot be used, and the sentence says why; it never shows what is in the file."""


def signed_bytes(content_hash: str) -> bytes:
    """What is signed for a table with this content hash."""
    return b"quotegrid table " + content_hash.encode("ascii")


def fingerprint(public_key: bytes) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of a public key's 32 bytes."""
    return hashlib.sha256(public_key).hexdigest()[:16]


class PrivateKey:
    """Signs tables.

    Raises:
        OSError: there is no such file, or it cannot be read.
        KeyFileError: others may read it, or it holds no Ed25519 private key.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        with open(path, "rb") as file:
            _refuse_what_others_may_read(os.fstat(file.fileno()), path)
            text = file.read()
        try:
            key = serialization.load_pem_private_key(text, password=None)
        except _NO_KEY:
            key = None  # a message of the library could quote the file
        if not isinstance(key, Ed25519PrivateKey):
            raise KeyFileError(
                f"{os.fspath(path)}: no Ed25519 private key in PEM form without a password; "
                "`quotegrid keygen` makes one"
            )
        self._key = key

    @property
    def public_bytes(self) -> bytes:
        """The 32 bytes of the public half."""
        return self._key.public_key().public_bytes_raw()

    def sign(self, content_hash: str) -> bytes:
        """The content of the signature's file of a table."""
        return self.public_bytes + self._key.sign(signed_bytes(content_hash))


class PublicKeys:
    """Accepts what was signed by one of some keys.

    Raises:
        OSError: one of the files cannot be read.
        KeyFileError: one of them holds no Ed25519 public key.
    """

    def __init__(self, paths: Iterable[str | os.PathLike[str]]) -> None:
        self._keys = {key.public_bytes_raw(): key for key in map(_read_public_key, paths)}

    def check(self, content_hash: str, signature: Path) -> None:
        """Refuse unless the file `signature` holds a signature of this hash by one of the keys.

        Raises:
            OSError: the file is there and cannot be read.
            TableError: signature-missing, signature-form, signature-key or signature-wrong.
        """
        try:
            require_regular(signature)
            with open(signature, "rb") as file:
                content = file.read(KEY_BYTES + SIGNATURE_BYTES + 1)
        except FileNotFoundError:
            raise TableError(
                "signature-missing", f"{signature} is not there: the table is not signed"
            ) from None
        if len(content) != KEY_BYTES + SIGNATURE_BYTES:
            raise TableError(
                "signature-form",
                f"{signature} is no signature: it must have {KEY_BYTES + SIGNATURE_BYTES} bytes",
            )
        signer = content[:KEY_BYTES]
        if signer not in self._keys:
            allowed = ", ".join(fingerprint(key) for key in self._keys) or "none"
            raise TableError(
                "signature-key",
                f"{signature}: signed by the key {fingerprint(signer)}, which is not among those given: "
                f"{allowed}",
            )
        try:
            self._keys[signer].verify(content[KEY_BYTES:], signed_bytes(content_hash))
        except InvalidSignature:
            raise TableError(
                "signature-wrong",
                f"{signature}: this is no signature of the table {content_hash[:12]}… by the key "
                f"{fingerprint(signer)}: one of them was altered",
            ) from None


def write_key_pair(stem: str | os.PathLike[str]) -> tuple[Path, Path]:
    """Make a new key pair: the private key STEM.key, for its owner's eyes alone, and the public key STEM.pub.

    Raises:
        FileExistsError: one of them is there; no key is ever overwritten.
        FileNotFoundError: there is no such folder.
        OSError: they cannot be written.
    """
    private, public = Path(f"{os.fspath(stem)}.key"), Path(f"{os.fspath(stem)}.pub")
    for path in (private, public):
        if path.exists():
            raise FileExistsError(errno.EEXIST, "File exists, and no key is overwritten", str(path))
    if not private.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "No such folder", str(private.parent))
    key = Ed25519PrivateKey.generate()
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    shown = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    _write_new(private, secret, 0o600)
    try:
        _write_new(public, shown, 0o644)
    except BaseException:
        private.unlink()  # no half of a pair stays
        raise
    return private, public


def _read_public_key(path: str | os.PathLike[str]) -> Ed25519PublicKey:
    text = Path(path).read_bytes()
    try:
        key = serialization.load_pem_public_key(text)
    except _NO_KEY:
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise KeyFileError(
            f"{os.fspath(path)}: no Ed25519 public key in PEM form; `quotegrid keygen` makes one "
            "that ends in .pub"
        )
    return key


def _refuse_what_others_may_read(status: os.stat_result, path: str | os.PathLike[str]) -> None:
    if os.name != "posix":
        return
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        raise KeyFileError(
            f"{os.fspath(path)}: its permissions are {mode:04o}, so others than its owner may use this "
            f"private key; allowed: 0600 or 0400. Run `chmod 600 {os.fspath(path)}`, and make a new key if "
            "others had access"
        )
    if status.st_uid not in (os.geteuid(), 0):
        raise KeyFileError(
            f"{os.fspath(path)}: this private key belongs to another user (number {status.st_uid})"
        )


def _write_new(path: Path, content: bytes, mode: int) -> None:
    """Write a file that must not be there yet: all of it or nothing."""
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, mode)
        os.link(temporary, path)  # unlike a rename, this replaces nothing
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = os.fspath(path)  # a full disk knows no names
        raise
    finally:
        os.unlink(temporary)
