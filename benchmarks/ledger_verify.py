"""The offline verifier on a synthetic ledger: entries a second on one core, memory, and how long proofs are.

python -m benchmarks.ledger_verify [--entries 1000000] [--people 250000] [--keep FOLDER]

The export is made without a database, by the product's own writers of canonical JSON, tiles, notes and proofs: three
in four entries are acts of people, each folded and compared; a head is signed every 500 entries.
"""

from __future__ import annotations

import hashlib
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
import uuid
from argparse import ArgumentParser
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from audit.domain.canonical import canonical_json
from audit.domain.checkpoint import Head, head_text, proof_text
from audit.domain.merkle import CompactRange, inclusion_proof, leaf_hash
from audit.domain.tiles import TILE_WIDTH, subtree_reader, tile_path, tiles_grow
from audit.signing import Ed25519Signer
from consent.domain.records import ConsentBook, Notice, NoticeRef, Point, Record, Terms, stand
from consent.domain.terms import Act, Bundle, Control, PointKind
from governance.domain.register import Purpose
from governance.domain.terms import PurposeKind

ROOT = Path(__file__).resolve().parent.parent
GOAL_SECONDS = 60  # for a million
ORIGIN = "zhixu.bench/audit"
HEAD_EVERY = 500
START = datetime(2026, 1, 1, tzinfo=UTC)
NOTICE = NoticeRef("privacy", 1)
BOOK = ConsentBook(
    {
        "promotion": Purpose("promotion", PurposeKind.MARKETING, "consent"),
        "personalised": Purpose("personalised", PurposeKind.MARKETING, "consent", frozenset({"promotion"})),
    },
    {"sms": True, "email": False, "app_push": False, "phone": True},
    {"app": Point("app", PointKind.APP, frozenset({"email"}))},
    {NOTICE: Notice(NOTICE, START, False, frozenset(), {"promotion": Terms(12, frozenset(), {"sms": 4})}, "ab" * 32)},
    7,
)
EVENTS = {
    Act.GRANT: "consent.granted",
    Act.RENEW: "consent.renewed",
    Act.CONFIRM: "consent.confirmed",
    Act.DENY: "consent.denied",
    Act.WITHDRAW: "consent.withdrawn",
}


def stamp(at: datetime) -> str:
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


class Made:
    """A ledger in the making, written out a tile at a time."""

    def __init__(self, folder: Path, people: int) -> None:
        self.folder, self.random = folder, random.Random(7)  # noqa: S311 - the same ledger every time
        self.signer = Ed25519Signer(ORIGIN, b"k" * 32)
        self.tree, self.tiles = CompactRange(), {}
        self.bodies: list[bytes] = []
        self.heads: list[bytes] = []
        self.refs = [uuid.UUID(int=self.random.getrandbits(128), version=4) for _ in range(people)]
        self.acts: dict[int, list[Record]] = {}
        self.versions = dict.fromkeys(range(people), 0)
        self.at = START

    def entry(self, kind: str, **more: object) -> uuid.UUID:
        self.at += timedelta(microseconds=2000)
        number = uuid.UUID(int=self.random.getrandbits(128), version=4)
        body = {
            "v": 1,
            "id": str(number),
            "t": stamp(self.at),
            "type": kind,
            "tenant": "bench",
            "actor": {"k": "api", "ref": "crm"},
            **more,
        }
        encoded = canonical_json(body)
        self.bodies.append(encoded)
        for place, data in tiles_grow(self.tree, [leaf_hash(encoded)]).items():
            self.tiles[place] = self.tiles.get(place, b"") + data
        if len(self.bodies) == TILE_WIDTH:
            self.flush()
        if self.tree.size % HEAD_EVERY == 0:
            self.head()
        return number

    def act(self) -> None:
        person = self.random.randrange(len(self.refs))
        self.versions[person] += 1
        if self.versions[person] == 1:
            self.entry("subject.created", subj=str(self.refs[person]), ver=1, d={"kind": "member"})
            self.versions[person] = 2
        said = self.at - timedelta(days=self.random.randrange(30), seconds=self.random.randrange(86400))
        act = self.random.choice([Act.GRANT, Act.GRANT, Act.GRANT, Act.RENEW, Act.CONFIRM, Act.WITHDRAW])
        wide = act is Act.WITHDRAW and self.random.random() < 0.3
        record = Record(
            ref=str(uuid.UUID(int=self.random.getrandbits(128), version=4)),
            seq=self.versions[person],
            at=said,
            act=act,
            purpose=None if wide else self.random.choice(["promotion", "personalised"]),
            channel=None if wide else self.random.choice(list(BOOK.channels)),
            separate=False,
            point="app",
            notice=NOTICE,
            text_hash="abababab",
            control=Control.BUTTON,
            bundle=Bundle.OWN,
            evidence="A",
            proof=True,
        )
        self.acts.setdefault(person, []).append(record)
        details = {
            "purpose": record.purpose,
            "channel": record.channel,
            "notice": "privacy@1",
            "point": "app",
            "said_at": said.isoformat(),
            "text_hash": "abababab",
            "text_sha256": "ab" * 32,
            "control": "button",
            "bundle": "own",
            "evidence": "A",
            "proof": True,
        }
        self.entry(
            EVENTS[act],
            subj=str(self.refs[person]),
            ver=self.versions[person],
            obj={"k": "consent", "ref": record.ref},
            req=f"req-{self.tree.size}",
            d={key: value for key, value in details.items() if value is not None},
        )

    def head(self) -> None:
        note = self.signer.sign(head_text(Head(ORIGIN, self.tree.size, self.tree.root())))
        row = {"size": self.tree.size, "note": note, "signed_at": stamp(self.at + timedelta(microseconds=500))}
        self.heads.append(canonical_json(row) + b"\n")
        self.note = note

    def flush(self) -> None:
        n = (self.tree.size - 1) // TILE_WIDTH
        data = b"".join(len(body).to_bytes(2, "big") + body for body in self.bodies)
        self.write(tile_path("entries", n, len(self.bodies)), data)
        self.bodies = []

    def write(self, name: str, data: bytes) -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return hashlib.sha256(data).hexdigest()

    def finish(self) -> None:
        files = {
            "anchors.ndjson": b"",
            "payloads.ndjson": b"",
            "book.json": canonical_json(book_row()) + b"\n",
            "states.ndjson": b"".join(canonical_json(row) + b"\n" for row in self.people()),
            "checkpoints/sealed.ndjson": b"".join(self.heads),
        }
        sealed, size = len(self.heads), self.tree.size
        digests = {name: self.write(name, data) for name, data in files.items()}
        entry = self.entry("ledger.exported", d={"files": digests, "size": size})
        if self.bodies:
            self.flush()
        if self.tree.size % HEAD_EVERY:
            self.head()
        self.write("checkpoints/newest.ndjson", b"".join(self.heads[sealed:]))
        self.write("checkpoint", self.note.encode())
        for (level, n), data in self.tiles.items():
            self.write(tile_path(level, n, len(data) // 32), data)
        about = {"format": 1, "origin": ORIGIN, "tree_size": size, "entry": str(entry)}
        about |= {"verifiers": {"checkpoint": self.signer.verifier}}
        self.write("export.json", canonical_json(about) + b"\n")

    def people(self) -> Iterator[dict[str, object]]:
        for person, version in self.versions.items():
            if version:
                standing = stand(self.acts[person], book=BOOK, phone_bound_at=None)
                states: list[dict[str, object]] = [
                    {"purpose": slot.purpose, "channel": slot.channel, **state_row(state)}
                    for slot, state in standing.states.items()
                ]
                states += [{"purpose": s.purpose, "channel": s.channel, "narrower": True} for s in standing.narrower]
                row = {"subj": str(self.refs[person]), "ver": version, "states": states}
                yield row | ({"granted": sorted(standing.granted)} if standing.granted else {})


def state_row(state) -> dict[str, object]:  # type: ignore[no-untyped-def]
    grant, refusal = state.grant, state.refusal
    row = {
        "grant": grant and grant.ref,
        "grant_purpose": state.grant_purpose,
        "notice": grant and "privacy@1",
        "origin_at": state.origin_at and stamp(state.origin_at),
        "refusal": refusal and refusal.ref,
        "refused_at": refusal and stamp(refusal.at),
        "confirmed": state.confirmed,
        "bad_form": state.bad_form,
        "bundled": state.bundled,
        "no_evidence": state.no_evidence,
        "expires_on": state.expires_on and state.expires_on.isoformat(),
        "declared": state.declared,
        "lift_at": state.lift_at and stamp(state.lift_at),
    }
    return {key: value for key, value in row.items() if value is not None and value is not False}


def book_row() -> dict[str, object]:
    from consent.domain.evidence import book_row as row

    return row(BOOK)


def main() -> int:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--people", type=int, default=0)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--python", default=sys.executable)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        folder = options.keep or Path(home)
        if not (folder / "checkpoint").exists():
            made = Made(folder, options.people or options.entries // 4)
            announced = {"use": "checkpoint", "verifier": made.signer.verifier}
            made.entry("key.announced", d=announced | {"merge_delay": 60, "longest_transaction": 900})
            while made.tree.size < options.entries - 1:
                if made.random.random() < 0.25:
                    made.entry("subject.viewed", subj=str(made.random.choice(made.refs)), d={"where": "admin.person"})
                else:
                    made.act()
            made.finish()
            proof_say(made)
        return run(options.python, folder, options.entries)


def proof_say(made: Made) -> None:
    size = made.tree.size
    reader = subtree_reader(lambda level, n: made.tiles.get((level, n), b""))
    path = inclusion_proof(size // 3, size, reader)
    print(
        f"proof of one entry among {size:,}: {len(path)} hashes, {len(proof_text(size // 3, path, made.note)):,} bytes"
    )


# What the verifier itself used: the peak that a parent sees of a child counts what the child was forked from.
_MEASURED = """
import runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM"):
            sys.stderr.write(line.split()[1])
"""


def run(python: str, folder: Path, entries: int) -> int:
    started, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [python, "-I", "-S", "-c", _MEASURED, str(ROOT / "zhixu-verify"), str(folder), "--json"]
    done = subprocess.run(command, capture_output=True, check=False)
    seconds, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    report, memory = json.loads(done.stdout), int(done.stderr or 0)
    counts = report["counts"]
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{counts['entries']:,} entries, {counts['people']:,} people, {counts['heads']:,} heads: {report['result']}")
    rate = counts["entries"] / cpu
    print(f"CPU {cpu:.1f} s ({seconds:.1f} s by the clock), {rate:,.0f} entries/s, memory {memory / 1024:,.0f} MiB")
    if done.returncode:
        print(json.dumps(report["findings"][:5], indent=1))
        return 1
    goal = GOAL_SECONDS * entries / 1_000_000
    print(f"goal {goal:g} s of one core: {'met' if cpu <= goal else 'MISSED'}")
    return int(cpu > goal)


if __name__ == "__main__":
    sys.exit(main())
