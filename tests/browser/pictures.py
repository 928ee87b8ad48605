"""Take the pictures of the README against the demo's sample data: `python -m tests.browser.pictures`.

Needs Chromium and a font with Chinese characters. The demo runs in a folder of its own and is gone afterwards.
"""

from __future__ import annotations

import csv
import re
import shutil
import struct
import sys
import tempfile
import zlib
from collections import Counter, defaultdict
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.conftest import ARGUMENTS, NAMES, PHONE
from tests.demo_server import ROOT, DemoServer, running_demo

FOLDER = ROOT / "docs" / "images"
WIDE = {"width": 1280, "height": 900}
_EXACT, _COLOURS = 64, 256


def main() -> None:
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        sys.exit(f"no browser on the PATH ({', '.join(NAMES)})")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home, running_demo(Path(home)) as demo, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        _officer(browser, demo)
        _customer(browser, demo)
        _api(browser, demo)
        browser.close()


def _officer(browser: Browser, demo: DemoServer) -> None:
    page = browser.new_page(base_url=demo.base, viewport=WIDE, locale="en", timezone_id="Asia/Shanghai")
    page.goto("/admin/")
    page.fill("#id_username", "officer")
    page.fill("#id_password", demo.officer_password)
    page.click("input[type=submit]")
    _keep(page, "admin-overview")

    page.fill("#zx-identifier", _somebody_who_withdrew())
    page.click(".zx-search button")
    page.select_option("select[name=campaign]", "vip-sms")
    page.click("select[name=campaign] + button")
    _keep(page, "admin-why")

    page.goto("/admin/consent/campaign/?q=d11-sms")
    page.click("#result_list tbody th a")
    page.wait_for_selector(".zx-counts")
    page.evaluate("document.querySelector('.zx-counts').scrollIntoView(); window.scrollBy(0, -160)")
    _keep(page, "admin-campaign")


def _customer(browser: Browser, demo: DemoServer) -> None:
    page = browser.new_page(viewport=PHONE, device_scale_factor=2, locale="zh-CN", timezone_id="Asia/Shanghai")
    page.goto(demo.preference_link)
    _keep(page, "customer")


def _api(browser: Browser, demo: DemoServer) -> None:
    page = browser.new_page(base_url=demo.base, viewport=WIDE, locale="en")
    page.goto("/api/docs/")
    page.wait_for_selector(".opblock")
    _keep(page, "api-docs")


def _somebody_who_withdrew() -> str:
    """Return a phone number that one member of the sample alone holds, who agreed to something and took it back."""
    folder = ROOT / "samples" / "demo"
    with (folder / "members.csv").open(encoding="gb18030", newline="") as members:
        rows = [row for row in csv.DictReader(members) if re.fullmatch(r"1\d{10}", row["手机号"])]
    held = Counter(row["手机号"] for row in rows)
    with (folder / "consents.csv").open(encoding="utf-8-sig", newline="") as consents:
        withdrew = {row["会员号"] for row in csv.DictReader(consents) if (row["动作"], row["渠道"]) == ("撤回", "短信")}
    return next(row["手机号"] for row in rows if row["会员号"] in withdrew and held[row["手机号"]] == 1)


def _keep(page: Page, name: str) -> None:
    path = FOLDER / f"{name}.png"
    path.write_bytes(_smaller(page.screenshot(animations="disabled")))
    print(f"{path.relative_to(ROOT)} {path.stat().st_size // 1024} KB")  # noqa: T201


# -- fewer colours, smaller files: PNG, third edition (ISO/IEC 15948) --------------------------------------------------


def _smaller(png: bytes) -> bytes:
    """Return a screenshot with a palette: its commonest colours as they are, the rest as means of like ones."""
    width, height, channels, rows = _rows_of(png)
    pixels = [[bytes(row[place : place + 3]) for place in range(0, width * channels, channels)] for row in rows]
    counts = Counter(pixel for row in pixels for pixel in row)
    palette = [colour for colour, _count in counts.most_common(_EXACT)]
    alike: dict[bytes, Counter[bytes]] = defaultdict(Counter)
    for colour in counts.keys() - set(palette):
        alike[bytes(part >> 4 for part in colour)][colour] = counts[colour]
    heavy = sorted(alike.values(), key=Counter.total, reverse=True)[: _COLOURS - len(palette)]
    palette += [bytes(sum(c[k] * n for c, n in some.items()) // some.total() for k in range(3)) for some in heavy]
    index = {colour: _nearest(colour, palette) for colour in counts}
    data = b"".join(b"\0" + bytes(index[pixel] for pixel in row) for row in pixels)
    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        _chunk(kind, body)
        for kind, body in (
            (b"IHDR", head),
            (b"PLTE", b"".join(palette)),
            (b"IDAT", zlib.compress(data, 9)),
            (b"IEND", b""),
        )
    )


def _nearest(colour: bytes, palette: list[bytes]) -> int:
    return min(range(len(palette)), key=lambda k: sum((a - b) ** 2 for a, b in zip(palette[k], colour, strict=True)))


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _rows_of(png: bytes) -> tuple[int, int, int, list[bytearray]]:
    """Return width, height, bytes a pixel and the unfiltered rows of an 8-bit RGB or RGBA picture."""
    place, data = 8, b""
    width = height = channels = 0
    while place < len(png):
        length, kind = struct.unpack(">I4s", png[place : place + 8])
        body = png[place + 8 : place + 8 + length]
        if kind == b"IHDR":
            width, height, _depth, colour = struct.unpack(">IIBB", body[:10])
            channels = 4 if colour == 6 else 3
        elif kind == b"IDAT":
            data += body
        place += 12 + length
    raw, stride = zlib.decompress(data), width * channels
    rows: list[bytearray] = []
    above = bytearray(stride)
    for start in range(0, len(raw), stride + 1):
        above = _unfiltered(raw[start], bytearray(raw[start + 1 : start + 1 + stride]), above, channels)
        rows.append(above)
    return width, height, channels, rows


def _unfiltered(kind: int, row: bytearray, above: bytearray, step: int) -> bytearray:
    """Undo the filter of one row (section 9.2)."""
    for place in range(len(row)):
        left = row[place - step] if place >= step else 0
        corner = above[place - step] if place >= step else 0
        if kind == 1:
            row[place] = (row[place] + left) & 255
        elif kind == 2:
            row[place] = (row[place] + above[place]) & 255
        elif kind == 3:
            row[place] = (row[place] + (left + above[place]) // 2) & 255
        elif kind == 4:
            guess = left + above[place] - corner
            near = min((left, above[place], corner), key=lambda value: abs(guess - value))
            row[place] = (row[place] + near) & 255
    return row


if __name__ == "__main__":
    main()
