"""Signatures: what was signed is accepted; unsigned, altered, or signed by another key is refused by name."""

import base64
import errno
import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from quotegrid.tables import Quoter, TableError
from quotegrid.tables.publication.generation_follower import GenerationFollower
from quotegrid.tables.publication.generations import table_name
from quotegrid.tables.publication.publishing import publisher
from quotegrid.tables.publication.signing import (
    KeyFileError,
    PrivateKey,
    PublicKeys,
    fingerprint,
    signed_bytes,
    write_key_pair,
)


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    return write_key_pair(tmp_path / "desk")


def test_a_key_pair_is_written_once_and_kept_from_others(keys: tuple[Path, Path], tmp_path: Path) -> None:
    private, public = keys
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["desk.key", "desk.pub"]
    before = private.read_bytes()
    with pytest.raises(FileExistsError, match="no key is overwritten"):
        write_key_pair(tmp_path / "desk")
    private.rename(tmp_path / "other.key")
    with pytest.raises(FileExistsError, match=r"desk\.pub"):
        write_key_pair(tmp_path / "desk")
    assert (tmp_path / "other.key").read_bytes() == before and public.exists()


def test_no_half_of_a_key_pair_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError, match=r"No such folder: '.*nowhere'"):
        write_key_pair(tmp_path / "nowhere" / "desk")
    link, full = os.link, OSError(errno.ENOSPC, "No space left on device")

    def link_private_alone(source: str, target: Path) -> None:
        if target.suffix == ".pub":
            raise full
        link(source, target)

    monkeypatch.setattr(os, "link", link_private_alone)
    with pytest.raises(OSError, match=r"No space left on device: '.*desk\.pub'"):
        write_key_pair(tmp_path / "desk")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o610])
def test_a_private_key_that_others_may_read_is_refused(keys: tuple[Path, Path], mode: int) -> None:
    keys[0].chmod(mode)
    with pytest.raises(KeyFileError) as caught:
        PrivateKey(keys[0])
    assert f"its permissions are {mode:04o}" in str(caught.value) and "chmod 600" in str(caught.value)


def test_files_that_are_no_keys(keys: tuple[Path, Path], tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.key"
    elliptic = generate_private_key(SECP256R1())
    form = serialization.PrivateFormat.PKCS8
    pem = serialization.Encoding.PEM
    der, point = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    # curve 1.2.840.10045.3.1.8 instead of .7: the library knows no such curve, which is an error of its own
    unknown_private, unknown_public = (
        _pem(kind, content.replace(bytes.fromhex("2a8648ce3d030107"), bytes.fromhex("2a8648ce3d030108")))
        for kind, content in (
            ("PRIVATE", elliptic.private_bytes(der, form, serialization.NoEncryption())),
            ("PUBLIC", elliptic.public_key().public_bytes(der, point)),
        )
    )
    ours = base64.b64decode(b"".join(keys[0].read_bytes().split(b"\n")[1:-2]))
    short_ed448 = _pem("PRIVATE", ours.replace(bytes.fromhex("2b6570"), bytes.fromhex("2b6571")))
    for content in (
        b"secret words",
        unknown_private,
        short_ed448,
        keys[1].read_bytes(),
        elliptic.private_bytes(pem, form, serialization.NoEncryption()),
        elliptic.private_bytes(pem, form, serialization.BestAvailableEncryption(b"password")),
    ):
        wrong.write_bytes(content)
        wrong.chmod(0o600)
        with pytest.raises(
            KeyFileError, match="no Ed25519 private key in PEM form without a password"
        ) as caught:
            PrivateKey(wrong)
        assert "secret" not in str(caught.value)
        assert caught.value.__context__ is None  # no message of the library that might quote the file
    wrong.write_bytes(unknown_public)
    for path in (keys[0], wrong):
        with pytest.raises(KeyFileError, match="no Ed25519 public key in PEM form"):
            PublicKeys([path])


def _pem(kind: str, der: bytes) -> bytes:
    lines = (
        f"-----BEGIN {kind} KEY-----",
        base64.encodebytes(der).decode().strip(),
        f"-----END {kind} KEY-----",
    )
    return "\n".join(lines).encode()


def test_a_signature_has_the_bytes_that_the_protocol_says(keys: tuple[Path, Path]) -> None:
    content = PrivateKey(keys[0]).sign("0f" * 32)
    assert signed_bytes("0f" * 32) == b"quotegrid table " + b"0f" * 32 and len(content) == 96
    loaded = serialization.load_pem_public_key(keys[1].read_bytes())
    assert isinstance(loaded, Ed25519PublicKey) and loaded.public_bytes_raw() == content[:32]
    loaded.verify(content[32:], b"quotegrid table " + b"0f" * 32)


def test_signatures_that_are_refused(keys: tuple[Path, Path], tmp_path: Path) -> None:
    key, ours = PrivateKey(keys[0]), PublicKeys([keys[1]])
    other = write_key_pair(tmp_path / "other")
    good, path = key.sign("0f" * 32), tmp_path / "table.signature"
    path.write_bytes(good)
    ours.check("0f" * 32, path)
    PublicKeys([other[1], keys[1]]).check("0f" * 32, path)
    cases = {
        "signature-form": [good[:-1], good + b"\0", b""],
        "signature-wrong": [good[:-1] + bytes([good[-1] ^ 1]), key.sign("0e" * 32), good[:32] + bytes(64)],
        "signature-key": [PrivateKey(other[0]).sign("0f" * 32)],
    }
    for rule, contents in cases.items():
        for content in contents:
            path.write_bytes(content)
            with pytest.raises(TableError) as caught:
                ours.check("0f" * 32, path)
            assert caught.value.rule == rule
            if rule == "signature-key":
                assert f"is not among those given: {fingerprint(key.public_bytes)}" in str(caught.value)
    path.unlink()
    with pytest.raises(TableError, match=r"the table is not signed \[signature-missing\]"):
        ours.check("0f" * 32, path)


def test_a_follower_takes_signed_tables_alone(keys: tuple[Path, Path], tmp_path: Path, table_by_hand) -> None:
    folder = tmp_path / "live"
    folder.mkdir()
    tables = [table_by_hand(gain=float(number)) for number in range(3)]
    key = PrivateKey(keys[0])
    with publisher(folder) as at_work:
        at_work.publish(tables[0], key.sign(tables[0].content_hash))
        follower = GenerationFollower(folder, Quoter, keys=PublicKeys([keys[1]]))
        at_work.publish(tables[1], unsigned=True)
        assert not follower.refresh() and follower.refusal is not None
        assert follower.refusal[:2] == (table_name(2), "signature-missing")
        at_work.publish(tables[2], key.sign(tables[1].content_hash))
        assert not follower.refresh() and follower.refusal.rule == "signature-wrong"
        assert follower.held.generation == 1
        with pytest.raises(TableError, match="signature-wrong"):
            GenerationFollower(folder, Quoter, keys=PublicKeys([keys[1]]))
        at_work.publish(tables[2], key.sign(tables[2].content_hash))
        assert follower.refresh() and follower.refusal is None
    secret = keys[0].read_bytes().splitlines()[1]
    for name in os.listdir(folder):
        assert secret not in (folder / name).read_bytes()
