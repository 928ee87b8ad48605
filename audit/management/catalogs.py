"""The catalogs of messages: read from the sources, written as .po for translators and as .mo for Django.

Message ids are English and marked with gettext, or are the message of an error of ours. Each package has a catalog
of its own. Nothing in them depends on the day, the machine, or the lines of a source.
"""

from __future__ import annotations

import ast
import io
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from babel.messages import Catalog, Message
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.utils.translation.template import templatize

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("audit", "governance", "consent", "config")
LOCALE = "zh_Hans"

Key = tuple[str, str | None]
"""A message id (the singular) and its context."""
Found = dict[Key, tuple[str | tuple[str, str], set[str]]]
"""Message ids with their plural, and the files they stand in."""

_WITH_CONTEXT = {"pgettext", "pgettext_lazy"}
_WITH_PLURAL = {"ngettext", "ngettext_lazy"}
_PLAIN = {"_", "gettext", "gettext_lazy", "gettext_noop", "message_id"}
_ROOTS = {"ZhixuError", "WordedError"}
_HEADER = """\
# Simplified Chinese of Zhixu: {package}. Refreshed by `manage.py messages`.
msgid ""
msgstr ""
"Project-Id-Version: Zhixu\\n"
"Language: zh_Hans\\n"
"Plural-Forms: nplurals=1; plural=0;\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"

"""


def messages_in_sources(package: str) -> Found:
    """Return every message the sources of a package hold."""
    found: Found = {}
    for path, name in _sources(package):
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".html":
            # templatize leaves the calls of gettext and blanks out the rest, so each line is an expression or nothing
            lines = (line.strip() for line in templatize(text, origin=name).splitlines())
            trees = [ast.parse(part) for line in lines for part in _calls(line)]
        else:
            trees = [ast.parse(text)]
        for tree in trees:
            for context, ids in _marked(tree):
                singular = ids if isinstance(ids, str) else ids[0]
                known = found.setdefault((singular, context), (ids, set()))
                known[1].add(name)
                if not isinstance(ids, str):
                    found[singular, context] = (ids, known[1])
    return found


def _sources(package: str) -> Iterator[tuple[Path, str]]:
    for path in sorted((ROOT / package).rglob("*")):
        if (path.suffix == ".py" and "migrations" not in path.parts) or path.suffix in (".html", ".txt"):
            if path.suffix == ".txt" and "templates" not in path.parts:
                continue
            yield path, path.relative_to(ROOT).as_posix()


def _calls(line: str) -> Iterator[str]:
    """Yield the calls of gettext in a line that `templatize` made."""
    place = 0
    while (start := line.find("gettext(", place)) >= 0 or (start := line.find("_(", place)) >= 0:
        begin = start
        while begin and (line[begin - 1].isalpha()):
            begin -= 1
        for end in range(start + 1, len(line) + 1):
            if line[end - 1] == ")" and _parses(line[begin:end]):
                yield line[begin:end]
                place = end
                break
        else:
            place = start + 1


def _parses(text: str) -> bool:
    try:
        ast.parse(text, mode="eval")
    except SyntaxError:
        return False
    return True


def _marked(tree: ast.AST) -> Iterator[tuple[str | None, str | tuple[str, str]]]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        texts = [arg.value if isinstance(arg, ast.Constant) and isinstance(arg.value, str) else "" for arg in node.args]
        if name in _WITH_CONTEXT and len(texts) > 1 and texts[1]:
            yield texts[0], texts[1]
        elif name in _WITH_PLURAL and len(texts) > 1 and texts[0]:
            yield None, (texts[0], texts[1])
        elif (name in _PLAIN or name in _errors()) and texts and texts[0]:
            yield None, texts[0]


@cache
def _errors() -> frozenset[str]:
    """Return the names of our errors whose first argument is a message id."""
    bases: dict[str, tuple[set[str], bool]] = {}
    for package in PACKAGES:
        for path, _name in _sources(package):
            if path.suffix != ".py":
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef):
                    own = any(isinstance(part, ast.FunctionDef) and part.name == "__init__" for part in node.body)
                    bases[node.name] = ({getattr(base, "id", "") for base in node.bases}, own)
    found = set(_ROOTS)
    while more := {name for name, (parents, own) in bases.items() if parents & found and not own} - found:
        found |= more
    return frozenset(found)


def catalog_path(package: str, suffix: str) -> Path:
    return ROOT / package / "locale" / LOCALE / "LC_MESSAGES" / f"django.{suffix}"


def catalog_read(package: str) -> Catalog:
    path = catalog_path(package, "po")
    if not path.exists():
        return Catalog(locale=LOCALE)
    with path.open("rb") as file:
        return read_po(file, locale=LOCALE)


def catalog_entries(catalog: Catalog) -> dict[Key, Message]:
    return {_key(message): message for message in catalog if message.id}


def _key(message: Message) -> Key:
    return (message.id if isinstance(message.id, str) else message.id[0]), message.context


def catalogs_write() -> dict[str, list[Key]]:
    """Bring every .po in step with the sources and every .mo with its .po; return what is not translated yet.

    What one package has translated, the others take over: one word per thing.
    """
    old = {package: catalog_entries(catalog_read(package)) for package in PACKAGES}
    pool: dict[Key, Message] = {}
    for entries in old.values():
        pool |= {key: message for key, message in entries.items() if _whole(message)}
    missing: dict[str, list[Key]] = defaultdict(list)
    for package in PACKAGES:
        catalog = Catalog(locale=LOCALE, creation_date=datetime(2026, 11, 21, tzinfo=UTC))
        catalog.revision_date = catalog.creation_date
        for (singular, context), (ids, files) in sorted(messages_in_sources(package).items(), key=_by_file):
            known = old[package].get((singular, context)) or pool.get((singular, context))
            words = _words(known) if known else ""
            catalog.add(
                ids,
                words if isinstance(ids, str) else (words,),
                locations=[(name, 0) for name in sorted(files)],
                context=context,
            )
            if not words:
                missing[package].append((singular, context))
        path = catalog_path(package, "po")
        path.parent.mkdir(parents=True, exist_ok=True)
        body = io.BytesIO()
        write_po(body, catalog, width=110, include_lineno=False, omit_header=True)
        path.write_bytes(_HEADER.format(package=package).encode() + body.getvalue())
        catalog_path(package, "mo").write_bytes(catalog_compiled(catalog_read(package)))
    return missing


def _by_file(item: tuple[Key, tuple[object, set[str]]]) -> tuple[str, str, str]:
    (singular, context), (_ids, files) = item
    return min(files), singular, context or ""


def catalog_compiled(catalog: Catalog) -> bytes:
    """Return the .mo of a catalog: the same bytes for the same words."""
    plain = Catalog(locale=LOCALE, creation_date=datetime(2026, 11, 21, tzinfo=UTC))
    plain.revision_date = plain.creation_date
    for message in sorted(
        catalog_entries(catalog).values(), key=lambda message: (_key(message)[0], message.context or "")
    ):
        plain.add(message.id, message.string, context=message.context)
    body = io.BytesIO()
    write_mo(body, plain)
    return body.getvalue()


def catalogs_differ() -> list[str]:
    """Return what is out of step, one sentence each: sources and .po, .po and .mo."""
    found = []
    for package in PACKAGES:
        entries = catalog_entries(catalog_read(package))
        sources = messages_in_sources(package)
        found += [f"{package}: not in the catalog: {key[0]!r}" for key in sources.keys() - entries.keys()]
        found += [f"{package}: no longer in the sources: {key[0]!r}" for key in entries.keys() - sources.keys()]
        found += [f"{package}: not translated: {key[0]!r}" for key, message in entries.items() if not _whole(message)]
        compiled = catalog_path(package, "mo")
        if not compiled.exists() or compiled.read_bytes() != catalog_compiled(catalog_read(package)):
            found.append(f"{package}: django.mo is not that of django.po")
    return found


def _whole(message: Message) -> bool:
    return not message.fuzzy and bool(_words(message))


def _words(message: Message) -> str:
    """Return the one Chinese form: Chinese has no plural."""
    return message.string if isinstance(message.string, str) else (message.string or ("",))[0]


def translations() -> Mapping[Key, str]:
    """Return all messages with their Chinese."""
    return {
        key: _words(message) for package in PACKAGES for key, message in catalog_entries(catalog_read(package)).items()
    }
