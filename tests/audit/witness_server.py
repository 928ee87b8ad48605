"""A small C2SP witness over HTTP. It shares no code with the product: what it accepts, others accept."""

from __future__ import annotations

import base64
import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey


def continues(old: int, old_root: bytes, new: int, new_root: bytes, proof: list[bytes]) -> bool:
    """Check a consistency proof by the recursion of RFC 6962 section 2.1.2, read backwards."""
    rest = list(proof)

    def rebuilt(m: int, n: int, complete: bool) -> tuple[bytes, bytes]:
        if m == n:
            node = old_root if complete else rest.pop()
            return node, node
        k = 1
        while k * 2 < n:
            k *= 2
        if m <= k:
            right = rest.pop()
            before, after = rebuilt(m, k, complete)
            return before, hashlib.sha256(b"\x01" + after + right).digest()
        left = rest.pop()
        before, after = rebuilt(m - k, n - k, False)
        return hashlib.sha256(b"\x01" + left + before).digest(), hashlib.sha256(b"\x01" + left + after).digest()

    try:
        return rebuilt(old, new, True) == (old_root, new_root) and not rest
    except IndexError:
        return False


class Witness:
    """One witness of one log. `broken` makes it answer what it should not."""

    def __init__(self, log_verifier: str) -> None:
        self._name, _, rest = log_verifier.partition("+")
        self._log_key = Ed25519PublicKey.from_public_bytes(base64.b64decode(rest.partition("+")[2])[1:])
        self._key = Ed25519PrivateKey.generate()
        self.name = "witness.example/w1"
        self.size, self.root = 0, b""
        self.requests: list[str] = []
        self.statuses: list[int] = []
        self.broken = ""
        self.url = ""
        self._lock = threading.Lock()

    @property
    def verifier(self) -> str:
        public = self._key.public_key().public_bytes_raw()
        return f"{self.name}+{self._key_id().hex()}+{base64.b64encode(bytes([4]) + public).decode()}"

    def _key_id(self) -> bytes:
        public = self._key.public_key().public_bytes_raw()
        return hashlib.sha256(self.name.encode() + b"\n\x04" + public).digest()[:4]

    def answer(self, body: str) -> tuple[int, str, str]:
        """Return status, content type and body, as C2SP tlog-witness has them."""
        with self._lock:
            if self.broken == "away":
                return 503, "text/plain", "later"
            head, _, checkpoint = body.partition("\n\n")
            old_line, *proof_lines = head.split("\n")
            old = int(old_line.removeprefix("old "))
            proof = [base64.b64decode(line, validate=True) for line in proof_lines]
            text, _, signatures = checkpoint.partition("\n\n")
            text += "\n"
            if not self._signed(text, signatures):
                return 403, "text/plain", ""
            origin, size_line, root_line = text.splitlines()
            size, root = int(size_line), base64.b64decode(root_line)
            if origin != self._name:
                return 404, "text/plain", ""
            if old > size:
                return 400, "text/plain", ""
            if old != self.size:
                return 409, "text/x.tlog.size", f"{self.size}\n"
            if old == size and root != self.root:
                return 409, "text/plain", ""
            if (proof or root != self.root) and old in (0, size) and not (old == 0 and not proof):
                return 422, "text/plain", ""
            if 0 < old < size and not continues(old, self.root, size, root, proof):
                return 422, "text/plain", ""
            self.size, self.root = size, root
            if self.broken == "rewrites":  # a good signature, but on a text that has ours only as its beginning
                return 200, "text/plain", "\n" + self._cosignature(f"{checkpoint}")
            return 200, "text/plain", self._cosignature(text)

    def _signed(self, text: str, signatures: str) -> bool:
        for line in signatures.splitlines():
            name, _, encoded = line.removeprefix("\u2014 ").partition(" ")
            if name == self._name:
                try:
                    self._log_key.verify(base64.b64decode(encoded)[4:], text.encode())
                except InvalidSignature:
                    continue
                return True
        return False

    def _cosignature(self, text: str) -> str:
        seconds = int(time.time())
        signed = f"cosignature/v1\ntime {seconds + (self.broken == 'lies')}\n{text}".encode()
        raw = self._key_id() + seconds.to_bytes(8, "big") + self._key.sign(signed)
        return f"\u2014 {self.name} {base64.b64encode(raw).decode()}\n"


@contextmanager
def serving(witness: Witness) -> Iterator[Witness]:
    """Serve a witness on a port of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            witness.requests.append(body)
            status, kind, said = (404, "text/plain", "") if self.path != "/add-checkpoint" else witness.answer(body)
            witness.statuses.append(status)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(said.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=[0.02], daemon=True)
    thread.start()
    witness.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield witness
    finally:
        server.shutdown()
        server.server_close()
