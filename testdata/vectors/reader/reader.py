#!/usr/bin/env python3
"""An independent reader of the vectors, written from docs/spec.md.

It needs Python 3.9 and its standard library only, and shares no line with the
Go code: a CBOR reader and writer, an Ed25519 verification in plain integers,
the shapes of all frames and documents, and the one order of checks. It reads
every vector beside it, compares its verdict with the file's, encodes again what
is good, and prints "N passed, N failed".

    python3 testdata/vectors/reader/reader.py [DIRECTORY]

With "-" it reads lines "kind verdict hex" from standard input instead: mutants
of the vectors with the verdict of the other implementation.
"""

import hashlib
import sys
from pathlib import Path

# --- Ed25519 (spec §2.2, RFC 8032) ---------------------------------------------

P = 2**255 - 19
Q = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
SQRT_M1 = pow(2, (P - 1) // 4, P)


def recover_x(y, sign):
    """Return x of the point with this y, or None if there is none."""
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if v * x * x % P != u:
        x = x * SQRT_M1 % P
        if v * x * x % P != u:
            return None
    if x & 1 != sign:
        x = -x % P
    return x


def add(a, b):
    """Add points in extended coordinates (X, Y, Z, T)."""
    s, t = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    c, d = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = t - s, d - c, d + c, t + s
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(k, point):
    total = (0, 1, 1, 0)
    while k:
        if k & 1:
            total = add(total, point)
        point = add(point, point)
        k >>= 1
    return total


def encode_point(point):
    z = pow(point[2], P - 2, P)
    x, y = point[0] * z % P, point[1] * z % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


BASE_Y = 4 * pow(5, P - 2, P) % P
BASE_X = recover_x(BASE_Y, 0)
BASE = (BASE_X, BASE_Y, 1, BASE_X * BASE_Y % P)

_points = {}


def key_point(key):
    """Return the point of a good key, or None (spec §2.2 a, b, c)."""
    if key not in _points:
        _points[key] = decode_key(key)
    return _points[key]


def decode_key(key):
    if len(key) != 32:
        return None
    n = int.from_bytes(key, "little")
    y, sign = n & (2**255 - 1), n >> 255
    if y >= P:
        return None
    x = recover_x(y, sign)
    if x is None or x == 0 and sign:
        return None
    point = (x, y, 1, x * y % P)
    eight = times(8, point)
    if eight[0] % P == 0 and (eight[1] - eight[2]) % P == 0:
        return None
    return point


def verify(key, label, body, sig):
    """Say whether sig holds: the cofactorless equation, R compared as bytes."""
    point = key_point(key)
    r, s = sig[:32], int.from_bytes(sig[32:], "little")
    if point is None or s >= Q:
        return False
    message = b"upsycle/1 " + label + b"\0" + body
    k = int.from_bytes(hashlib.sha512(r + key + message).digest(), "little") % Q
    minus = (-point[0] % P, point[1], point[2], -point[3] % P)
    return encode_point(add(times(s, BASE), times(k, minus))) == r


# --- CBOR (spec §2.3) -----------------------------------------------------------


class Refused(Exception):
    """What was read is refused with a code."""

    def __init__(self, code, why):
        super().__init__(why)
        self.code = code


MALFORMED, VERSION, TOO_LARGE, BAD_SIGNATURE, NOT_A_WRITER, CERT_TIME = 1, 2, 3, 6, 7, 8
DEPTH = 6
UINT, BYTES, TEXT, ARRAY = 0, 2, 3, 4


class Reader:
    """Reads values one after another; refuses with MALFORMED."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def refuse(self, why, code=MALFORMED):
        raise Refused(code, "byte %d: %s" % (self.at, why))

    def peek(self):
        """Return the major type of what comes next, or None at the end."""
        return self.data[self.at] >> 5 if self.at < len(self.data) else None

    def head(self, major):
        if self.peek() != major:
            self.refuse("not the type that is wanted")
        info = self.data[self.at] & 31
        if info < 24:
            self.at += 1
            return info
        if info > 27:
            self.refuse("reserved or indefinite")
        size = 1 << (info - 24)
        raw = self.data[self.at + 1 : self.at + 1 + size]
        n = int.from_bytes(raw, "big")
        if len(raw) < size or n < (24, 1 << 8, 1 << 16, 1 << 32)[info - 24]:
            self.refuse("cut off, or not in its shortest form")
        self.at += 1 + size
        return n

    def uint(self, most=2**64 - 1):
        n = self.head(UINT)
        if n > most:
            self.refuse("above %d" % most)
        return n

    def string(self, major, least, most):
        n = self.head(major)
        if not least <= n <= most or n > len(self.data) - self.at:
            self.refuse("a length out of range, or cut off")
        self.at += n
        return self.data[self.at - n : self.at]

    def bytes(self, least=0, most=2**64):
        return self.string(BYTES, least, most)

    def sized(self, most):
        """Read 1 to most bytes; a longer claim is too large, there or not."""
        if self.peek() == BYTES:
            start = self.at
            n = self.head(BYTES)
            self.at = start
            if n > most:
                self.refuse("too large", TOO_LARGE)
        return self.bytes(1, most)

    def text(self, least=0, most=2**64):
        raw = self.string(TEXT, least, most)
        try:
            value = raw.decode("utf-8")
        except UnicodeDecodeError:
            self.refuse("no UTF-8")
        if any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 for c in value):
            self.refuse("a control character")
        return value

    def array(self, least=0, most=2**64):
        n = self.head(ARRAY)
        if not least <= n <= most or n > len(self.data) - self.at:
            self.refuse("a count out of range, or cut off")
        return n

    def null(self):
        if self.at < len(self.data) and self.data[self.at] == 0xF6:
            self.at += 1
            return True
        return False

    def any(self, depth=DEPTH):
        if self.null():
            return None
        major = self.peek()
        if major == UINT:
            return self.uint()
        if major == BYTES:
            return self.bytes()
        if major == TEXT:
            return self.text()
        if major == ARRAY:
            if depth == 0:
                self.refuse("too deep")
            return [self.any(depth - 1) for _ in range(self.array())]
        self.refuse("no value of the dialect")

    def end(self):
        if self.at != len(self.data):
            self.refuse("bytes after the value")


def write(value):
    """Encode None, int, bytes, str or a list."""
    if value is None:
        return b"\xf6"
    if isinstance(value, int):
        return write_head(UINT, value)
    if isinstance(value, bytes):
        return write_head(BYTES, len(value)) + value
    if isinstance(value, str):
        raw = value.encode("utf-8")
        return write_head(TEXT, len(raw)) + raw
    return write_head(ARRAY, len(value)) + b"".join(map(write, value))


def write_head(major, n):
    if n < 24:
        return bytes([major << 5 | n])
    for info, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if n < 1 << 8 * size:
            return bytes([major << 5 | info]) + n.to_bytes(size, "big")
    raise ValueError(n)


# --- fields ---------------------------------------------------------------------

MS = 2**48 - 1


def u(most=2**64 - 1):
    return lambda r: r.uint(most)


def b(n):
    return lambda r: r.bytes(n, n)


def t(most):
    return lambda r: r.text(0, most)


def key(r):
    raw = r.bytes(32, 32)
    if key_point(raw) is None:
        r.refuse("no good key")
    return raw


def some(least, most, item):
    """A list of least to most items."""
    return lambda r: [item(r) for _ in range(r.array(least, most))]


def row(*items):
    """An array of exactly these items."""

    def read(r):
        r.array(len(items), len(items))
        return [item(r) for item in items]

    return read


def maybe(item):
    """null or the item."""
    return lambda r: None if r.null() else item(r)


def signed(most, parse):
    """[body, sig] with a body that parse reads; the value is [body, sig]."""

    def read(r):
        r.array(2, 2)
        pair = [r.sized(most), r.bytes(64, 64)]
        parse(pair[0])
        return pair

    return read


def versioned(body, *items):
    """Read a document: the version first, then exactly its fields."""
    r = Reader(body)
    n = r.array(1, 32)
    if r.uint() != 1:
        r.refuse("a newer version", VERSION)
    if n != 1 + len(items):
        r.refuse("another number of fields")
    fields = [1] + [item(r) for item in items]
    r.end()
    return fields


# --- documents (spec §4.3, §6) -----------------------------------------------


def certificate(body):
    return versioned(body, key, key, u(MS), u(MS), u())


def homes(body):
    return versioned(body, key, u(), some(0, 4, key), some(0, 8, key))


def grant(body):
    return versioned(body, key, key, u(MS))


DOCUMENTS = {
    # kind: (parser, limit, label, which field signs)
    "cert": (certificate, 256, b"writer", 1),
    "homes": (homes, 1024, b"homes", 1),
    "grant": (grant, 128, b"grant", 1),
}

# --- envelopes (spec §4) --------------------------------------------------------


class Newer(Exception):
    """A newer version made this; it was not understood and is no fault."""


def header(data):
    """Read a header (spec §4.4 step 2) into its twelve fields."""
    r = Reader(data)
    n = r.array(1, 32)
    if r.uint() != 1:
        raise Newer("version")
    if n != 12:
        r.refuse("another number of fields")
    f = [1, r.uint(), key(r), key(r), r.bytes(8, 8), r.uint(2**63 - 1), r.uint(1024), r.uint(MS), r.uint(2592000)]
    f += [r.uint(), r.bytes(32, 32), maybe(b(32))(r)]
    if f[6] == 0 or f[8] == 0 or f[5] + f[6] >= 2**63:
        r.refuse("count, ttl or number out of range")
    r.end()
    if f[1] > 1 or f[9] > 15:
        raise Newer("kind or flag")
    return f


class Envelope:
    """An envelope as read: its parts, and what a newer version may have made."""

    def __init__(self, r):
        start = r.at
        r.array(4, 4)
        self.header_bytes = r.sized(512)
        self.sig = r.bytes(64, 64)
        self.cert = None
        if not r.null():
            r.array(2, 2)
            self.cert = [r.sized(256), r.bytes(64, 64)]
        self.body = r.sized(1 << 20)
        self.raw = r.data[start : r.at]
        self.newer = False
        self.header = self.cert_fields = None
        try:
            self.parse(r)
        except Newer:
            self.newer = True

    def parse(self, r):
        self.header = header(self.header_bytes)
        kind, to, sender = self.header[1:4]
        wanted = kind == 0 and sender != to
        if (self.cert is not None) != wanted or (self.header[11] is not None) != wanted:
            r.refuse("a certificate too many or too few")
        if wanted:
            try:
                self.cert_fields = certificate(self.cert[0])
            except Refused as e:
                if e.code == VERSION:
                    raise Newer("certificate") from e
                raise

    def check(self):
        """Steps 6 and 7 of spec §4.4."""
        if self.newer:
            raise Refused(VERSION, "a newer version")
        if self.cert is not None:
            self.check_certificate()
        if hashlib.sha256(self.body).digest() != self.header[10]:
            raise Refused(BAD_SIGNATURE, "another body")
        if not verify(self.header[3], b"envelope", self.header_bytes, self.sig):
            raise Refused(BAD_SIGNATURE, "the signature does not hold")

    def check_certificate(self):
        _, group, writer, begin, end, rights = self.cert_fields
        h = self.header
        right = 2 if h[9] & 1 else 1
        for bad, code in (
            (hashlib.sha256(self.cert[0]).digest() != h[11], BAD_SIGNATURE),
            (group != h[2], NOT_A_WRITER),
            (writer != h[3], NOT_A_WRITER),
            (not begin <= end <= begin + 400 * 86400 * 1000, CERT_TIME),
            (not begin <= h[7] <= end, CERT_TIME),
            (not rights & right, NOT_A_WRITER),
        ):
            if bad:
                raise Refused(code, "the certificate does not cover the envelope")
        if not verify(group, b"writer", *self.cert):
            raise Refused(NOT_A_WRITER, "the certificate's signature does not hold")

    def encode(self):
        h = self.header_bytes if self.newer else write(self.header)
        cert = self.cert
        if self.cert_fields is not None:
            cert = [write(self.cert_fields), cert[1]]
        return write([h, self.sig, cert, self.body])


# --- frames (spec §3 to §11) ----------------------------------------------------


def delivered_ranges(n, ranges):
    """Ranges rise, lie above n and leave a number between (spec §5.4)."""
    last = n
    for first, end in ranges:
        if first < last + 2 or end < first:
            return False
        last = end
    return True


KIND, CODE, BOOL = u(1), u(2**32 - 1), u(1)
PREFIX, SIG = b(16), b(64)
GRANT = maybe(signed(128, grant))
STAMP = row(key, u(MS))

FRAMES = {
    0: [some(1, 8, u()), u(2), u(MS), b(8), u(), some(0, 32, u()), t(64)],
    1: [u()],
    2: [u()],
    3: [CODE, t(256)],
    8: [signed(1024, homes), maybe(row(b(8), u()))],
    9: [u(), b(8), u(), CODE, u(1)],
    10: [u(), KIND, key, u(1), maybe(u(MS)), GRANT],
    11: [u(), CODE],
    12: [u(), KIND, key],
    13: [Envelope],
    14: [b(32), CODE, maybe(u(2**32 - 1))],
    15: [u(), Envelope],
    16: [u(), some(0, 32, row(u(), u()))],
    17: [u(), KIND, key, u(MS), u(MS), u(), u(2**32 - 1)],
    32: [key, u(2**62 - 1), u(MS), u(1), SIG, some(1, 24, row(key, u(2**31 - 1), SIG))],
    33: [key],
    34: [key, u(2**62 - 1), u(32)],
    35: [key],
    36: [key],
    37: [key, some(1, 512, row(KIND, key, u(7), GRANT))],
    38: [key, some(1, 512, row(KIND, key, BOOL))],
    39: [key, u(48), STAMP, Envelope],
    40: [key, KIND, key, BOOL, b(8), some(1, 512, PREFIX)],
    41: [u(48), some(1, 256, PREFIX)],
    42: [STAMP, Envelope],
    43: [some(1, 256, PREFIX)],
    44: [key, KIND, key, u((1 << 48) - 1), b(8)],
}


class Unknown(Exception):
    """A frame of a type that this version skips."""


def frame(data):
    """Read one frame into [type, fields...]."""
    r = Reader(data)
    n = r.array(1, 64)
    number = r.uint(2**32 - 1)
    if number not in FRAMES:
        for _ in range(n - 1):
            r.any(DEPTH - 1)
        r.end()
        raise Unknown(number)
    items = FRAMES[number]
    if n != 1 + len(items):
        r.refuse("another number of fields")
    fields = [number] + [item(r) for item in items]
    if number == 14 and fields[3] == 0:
        r.refuse("retry-after is 0; null says so")
    if number == 16 and not delivered_ranges(fields[1], fields[2]):
        r.refuse("ranges must rise and lie apart")
    r.end()
    return fields


def encode_frame(fields):
    parts = [f.encode() if isinstance(f, Envelope) else write(f) for f in fields]
    return write_head(ARRAY, len(fields)) + b"".join(parts)


def check_chain(f, receiver):
    """Hold every signature of an announcement (spec §8.1)."""
    _, root, seq, issued, kind, root_sig, hops = f
    body, sig = write([1, root, seq, issued, kind]), root_sig
    if not verify(root, b"root", body, sig):
        raise Refused(BAD_SIGNATURE, "the root's signature does not hold")
    for i, (hop, metric, hop_sig) in enumerate(hops):
        prev = hashlib.sha256(b"upsycle/1 chain\0" + write([body, sig])).digest()
        following = hops[i + 1][0] if i + 1 < len(hops) else receiver
        body, sig = write([prev, hop, metric, following]), hop_sig
        if not verify(hop, b"hop", body, sig):
            raise Refused(BAD_SIGNATURE, "hop %d does not hold" % i)


# --- the vectors ----------------------------------------------------------------


def judge(kind, data, head):
    """Return (verdict, what was encoded again)."""
    try:
        return "ok", read_again(kind, data, head)
    except Refused as e:
        return str(e.code), None
    except Newer:
        return str(VERSION), None
    except Unknown:
        return "unknown", None


def read_again(kind, data, head):
    if kind == "cbor":
        r = Reader(data)
        value = r.any()
        r.end()
        return write(value)
    if kind == "key":
        if key_point(data) is None:
            raise Refused(MALFORMED, "no good key")
        return encode_point(key_point(data))
    if kind == "header":
        if len(data) > 512:
            raise Refused(TOO_LARGE, "too large")
        return write(header(data))
    if kind == "envelope":
        r = Reader(data)
        e = Envelope(r)
        r.end()
        e.check()
        return e.encode()
    if kind == "frame":
        return encode_frame(frame(data))
    if kind == "announce":
        f = frame(data)
        check_chain(f, bytes.fromhex(head["receiver"]))
        return encode_frame(f)
    parse, limit, label, signer = DOCUMENTS[kind]
    r = Reader(data)
    pair = signed(limit, parse)(r)
    r.end()
    fields = parse(pair[0])
    if not verify(fields[signer], label, *pair):
        raise Refused(BAD_SIGNATURE, "the signature does not hold")
    return write([write(fields), pair[1]])


def read_vector(path):
    head, _, body = path.read_text(encoding="utf-8").partition("\n\n")
    lines = dict(line.split(": ", 1) for line in head.split("\n"))
    return lines, bytes.fromhex("".join(body.split()))


def worked_example():
    """Hold the code above against the bytes of spec §4.5."""
    group = bytes.fromhex("8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c")
    writer = bytes.fromhex("8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394")
    cert = write([1, group, writer, 0x19B71B44C00, 0x19D46570000, 3])
    body = bytes.fromhex("a76baf7d30b6e73cac322391d09b96e0ac9d06421da5457103ca407ec091dd45")
    h = write([1, 0, group, writer, b"\5" * 8, 0, 1, 1767225600000, 604800, 0, body, hashlib.sha256(cert).digest()])
    sig = bytes.fromhex(
        "54286e65938efd24c8f61aa8d3b67fbaa10302100e48d54987353076c2b2d55f"
        "91717ca0f1e18551e611a46dc3cab141336ead1041952642bbbe10b861d4e50d"
    )
    name = hashlib.sha256(b"upsycle/1 id\0" + h).hexdigest()
    return (
        len(cert) == 89
        and len(h) == 165
        and name == "c1ed76e21f4866938807f68d4646c2d47001d9d0ac89bb1f35570b5d6a888b5f"
        and verify(writer, b"envelope", h, sig)
        and not verify(group, b"envelope", h, sig)
    )


def compare(lines):
    """Judge mutants; return how many agree, and what does not."""
    passed, failures = 0, []
    for line in lines:
        kind, want, text = line.split()
        data = bytes.fromhex(text)
        verdict, again = judge(kind, data, {})
        if verdict == want and again in (None, data):
            passed += 1
        else:
            failures.append("%s %s: %s, want %s" % (kind, text, verdict, want))
    return passed, failures


def main():
    if sys.argv[1:] == ["-"]:
        passed, failures = compare(sys.stdin)
        return report(passed, failures)
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent
    passed, failures = 0, []
    if worked_example():
        passed += 1
    else:
        failures.append("the worked example of spec 4.5 does not hold")
    for path in sorted(folder.glob("*.txt")):
        head, data = read_vector(path)
        verdict, again = judge(head["kind"], data, head)
        if verdict != head["expect"]:
            failures.append("%s: %s, want %s (%s)" % (path.name, verdict, head["expect"], head["comment"]))
        elif verdict == "ok" and again != data:
            failures.append("%s: encoded again as %s" % (path.name, again.hex()))
        else:
            passed += 1
    return report(passed, failures)


def report(passed, failures):
    for line in failures:
        print(line)
    print("%d passed, %d failed" % (passed, len(failures)))
    return 1 if failures or passed < 2 else 0


if __name__ == "__main__":
    sys.exit(main())
