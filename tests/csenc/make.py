#!/usr/bin/env python3
"""Makes the files in Cloud Sync's encrypted format that the tests read and the fuzzer begins with.

tests/csenc/make.py    (needs openssl and lz4)

With other people's tools and nothing of Mooring, so that both have to be wrong in the same way to agree. The keys are
for these files alone: everyone can read them here. The session key is always the same, so that the fuzzer can encrypt
whatever it likes under it.
"""
import base64, hashlib, pathlib, subprocess, tempfile

HERE = pathlib.Path(__file__).parent
SEEDS = HERE.parent.parent / "fuzz/seeds/csenc"
PASSWORD = b"correct horse battery staple"
SALT = b"aZ-0bY9x"
SESSION = {1: b"0123456789abcdefghijklmnopqrstuv", 3: bytes(range(32)).hex().upper().encode()}
LINES = "".join(f"line {number * number % 997}\n" for number in range(20000)).encode()


def run(*words, data=b""):
    return subprocess.run(words, input=data, capture_output=True, check=True).stdout


def md5(data):
    return hashlib.md5(data).digest()


def derive(secret, salt, rounds):
    out, digest = b"", b""
    while len(out) < 48:
        digest = md5(digest + secret + salt)
        for _ in range(rounds - 1):
            digest = md5(digest)
        out += digest
    return out[:32].hex(), out[32:48].hex()


def aes(secret, salt, rounds, data):
    key, iv = derive(secret, salt, rounds)
    return run("openssl", "enc", "-aes-256-cbc", "-K", key, "-iv", iv, data=data)


def proof(letter, secret):
    salt = letter * 9 + "-"
    return salt + md5(salt.encode() + secret).hex()


def value(of):
    if isinstance(of, dict):
        return b"\x42" + b"".join(value(key) + value(each) for key, each in of.items()) + b"\x40"
    if isinstance(of, int):
        return bytes([1, 1, of])
    run_ = of.encode() if isinstance(of, str) else of
    return (b"\x10" if isinstance(of, str) else b"\x11") + len(run_).to_bytes(2, "big") + run_


def lz4(data):
    # Linked blocks of 64 KiB and a checksum of the content, as Cloud Sync has them.
    return run("lz4", "-q", "-B4", "-BD", "-c", "-", data=data)


def head(version, name, compress=1):
    major, minor = version
    session = SESSION[major]
    salt, rounds = (b"", 1) if major == 1 else (SALT, 1000)
    with tempfile.NamedTemporaryFile() as public:
        public.write(run("openssl", "rsa", "-RSAPublicKey_in", "-pubout", data=PUBLIC))
        public.flush()
        oaep = ("-pubin", "-inkey", public.name, "-pkeyopt", "rsa_padding_mode:oaep")
        by_key = run("openssl", "pkeyutl", "-encrypt", *oaep, data=session)
    fields = {
        "compress": compress,
        "digest": "md5",
        "enc_key1": base64.b64encode(aes(PASSWORD, salt, rounds, session)).decode(),
        "enc_key2": base64.b64encode(by_key).decode(),
        "encrypt": 1,
        "file_name": name,
        "key1_hash": proof("a", PASSWORD),
        "key2_hash": proof("b", PUBLIC),
        "salt": salt.decode(),
        "session_key_hash": proof("c", session),
        "type": "metadata",
        "version": {"major": major, "minor": minor},
    }
    if major == 1:
        del fields["salt"]
    return fields


def file(fields, content, packed, size=8192):
    session = SESSION[fields["version"]["major"]]
    secret = session if fields["version"]["major"] == 1 else bytes.fromhex(session.decode())
    data = aes(secret, b"", 1, packed)
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    begin = b"__CLOUDSYNC_ENC__"
    return b"".join(
        [begin, md5(begin).hex().encode(), value(fields)]
        + [value({"data": part, "type": "data"}) for part in parts]
        + [value({"file_md5": md5(content).hex(), "type": "metadata"})]
    )


if not (HERE / "private.pem").exists():
    (HERE / "private.pem").write_bytes(run("openssl", "genrsa", "-traditional", "2048"))
PUBLIC = run("openssl", "rsa", "-in", HERE / "private.pem", "-RSAPublicKey_out")
(HERE / "public.pem").write_bytes(PUBLIC)
LINE = b"A single line without its end"
for version, content in (((1, 0), LINE), ((3, 0), b""), ((3, 1), LINES)):
    name = "v%d.%d" % version
    (HERE / f"{name}.csenc").write_bytes(file(head(version, f"{name}.txt"), content, lz4(content)))
# What no file was seen to have, but may: other keys, another order, pieces of other sizes, more than one frame.
odd = {"zone": {"a": {"b": 7}}, "raw": b"\x00\xff"} | dict(reversed(head((3, 1), "odd.txt").items()))
(HERE / "odd.csenc").write_bytes(file(odd, LINES, lz4(LINES[:5000]) + lz4(LINES[5000:]), size=1001))
plain = head((3, 1), "uncompressed.txt", compress=0)
(HERE / "uncompressed.csenc").write_bytes(file(plain, LINES[:9000], LINES[:9000]))
SEEDS.mkdir(parents=True, exist_ok=True)
for name, options in (("linked", ["-B4", "-BD"]), ("large", ["-B7", "-BX"]), ("legacy", ["-l"])):
    (SEEDS / name).write_bytes(b"\x20" + run("lz4", "-q", *options, "-c", "-", data=LINES[:150000]))
