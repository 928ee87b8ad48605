"""Two languages, both complete: catalogs in step with the sources, and pages without words of the other language."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client, RequestFactory
from django.utils.translation import gettext, override

from audit.admin_base import ACTORS, EVENTS
from audit.domain.details import EVENT_DETAILS
from audit.errors import ConflictError, InvalidInputError, NotFoundError, NotPermittedError, ZhixuError
from audit.management.catalogs import (
    PACKAGES,
    catalog_entries,
    catalog_path,
    catalog_read,
    catalogs_differ,
    messages_in_sources,
)
from audit.problems import TITLES, ProblemError, problem_document, words_of
from config.error_pages import server_error
from consent.admin import words as consent_words
from consent.decisions.answers import _DETAIL
from consent.decisions.reasons import REASONS
from consent.domain.imports import RowError
from consent.domain.terms import Act, Outcome, Severity
from consent.selectors.jobs import JOB_ERRORS
from governance.admin import words as governance_words
from governance.domain.tables import TABLE_ERRORS, TableError
from tests.flows.test_admin import PAGES, page

ROOT = Path(__file__).resolve().parent.parent.parent
DOORS = ("consent.errors", "governance.errors")  # what the API answers with; audit's own are told to operators
CHINESE = re.compile("[\u4e00-\u9fff]")
PLACES = re.compile(r"%\(\w+\)[sd]|\{\w*\}|%[sd]")


# -- the catalogs ----------------------------------------------------------------------------------------------------


def test_the_catalogs_are_in_step_with_the_sources_and_with_what_django_reads() -> None:
    assert catalogs_differ() == []


@pytest.mark.parametrize("package", PACKAGES)
def test_nothing_is_guessed_or_left_over(package: str) -> None:
    catalog = catalog_read(package)

    assert [message.id for message in catalog if message.id and message.fuzzy] == []
    assert list(catalog.obsolete) == []
    text = catalog_path(package, "po").read_text(encoding="utf-8")
    assert "Date" not in text.split("\n\n")[0]  # no dates: a refresh changes only what changed
    assert str(ROOT) not in text


@pytest.mark.parametrize("package", PACKAGES)
def test_both_languages_have_the_same_places(package: str) -> None:
    for (singular, _context), message in catalog_entries(catalog_read(package)).items():
        chinese = message.string if isinstance(message.string, str) else message.string[0]
        english = singular if isinstance(message.id, str) else message.id[1]
        assert sorted(PLACES.findall(english)) == sorted(PLACES.findall(chinese)), singular
        assert re.findall("<[^>]+>", english) == re.findall("<[^>]+>", chinese), singular


def test_one_message_has_one_translation() -> None:
    seen: dict[tuple[str, str | None], object] = {}
    for package in PACKAGES:
        for key, message in catalog_entries(catalog_read(package)).items():
            assert seen.setdefault(key, message.string) == message.string, key


def test_chinese_punctuation_in_chinese_sentences() -> None:
    for package in PACKAGES:
        for key, message in catalog_entries(catalog_read(package)).items():
            chinese = message.string if isinstance(message.string, str) else message.string[0]
            assert not re.search("[\u4e00-\u9fff][,;:?!]", chinese), key
            assert key[0].endswith(".") is (chinese.endswith("。") or key[0].endswith("no.")), key


def test_the_command_says_what_is_out_of_step(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("messages", "--check")

    assert capsys.readouterr().err == ""


def test_the_extraction_finds_calls_templates_contexts_plurals_and_errors() -> None:
    config, consent, audit = (messages_in_sources(name) for name in ("config", "consent", "audit"))

    assert ("everything", None) in config  # a filter argument of a template
    assert ("Add: %(name)s", None) in config  # a block
    assert ("between the items of a list", None) not in consent
    assert (", ", "between the items of a list") in consent
    assert audit["%(count)s entry", None][0] == ("%(count)s entry", "%(count)s entries")
    assert ("The second approver must be another person.", None) in consent  # what an error says


# -- what is registered ----------------------------------------------------------------------------------------------


def errors_of(family: type[ZhixuError]) -> Iterator[type[ZhixuError]]:
    for error in family.__subclasses__():
        yield error
        yield from errors_of(error)


def in_chinese(words: object) -> str:
    with override("zh-hans"):
        return str(words)


def test_every_problem_has_a_title_in_both_languages() -> None:
    for code, title in TITLES.items():
        with override("en"):
            english = problem_document(ProblemError(400, code), "1")
        with override("zh-hans"):
            chinese = problem_document(ProblemError(400, code), "1")
        assert english["title"] == title
        assert english["title"].isascii()
        assert CHINESE.search(chinese["title"]), code
        assert CHINESE.search(chinese["detail"]), code


def test_every_error_that_a_caller_may_cause_has_a_title() -> None:
    families = (NotFoundError, NotPermittedError, ConflictError, InvalidInputError)
    codes = {error.code for family in families for error in errors_of(family) if error.__module__ in DOORS}

    assert codes <= set(TITLES)


def test_every_reason_a_file_or_a_job_is_refused_for_has_both_languages() -> None:
    for code, message in (TABLE_ERRORS | JOB_ERRORS).items():
        assert message.isascii(), code
        with override("zh-hans"):
            assert CHINESE.search(gettext(message)), code
    with override("zh-hans"):
        assert words_of(TableError("missing_column", "phone")) == "缺少列：phone。"
    assert str(TableError("missing_column", "phone")) == "A column is missing: phone."
    assert {error.value for error in RowError} <= {reason.name for reason in REASONS}


def test_every_reason_has_both_languages() -> None:
    for reason, info in REASONS.items():
        assert CHINESE.search(info.zh), reason
        assert len(re.findall("[A-Za-z]{2,}", info.en)) >= 2, reason
    for chinese, english in _DETAIL.values():
        assert sorted(PLACES.findall(chinese)) == sorted(PLACES.findall(english))


def test_every_stored_word_has_chinese() -> None:
    tables = {
        f"{module.__name__}.{name}": table
        for module in (consent_words, governance_words)
        for name, table in vars(module).items()
        if name.isupper() and isinstance(table, dict)
    } | {"EVENTS": EVENTS, "ACTORS": ACTORS}
    for name, table in tables.items():
        for value, words in table.items():
            assert CHINESE.search(in_chinese(words)) or in_chinese(words) == "App", (name, value)
            with override("en"):
                assert str(words).isascii(), (name, value)
    assert set(consent_words.ACTS) == {act.value for act in Act}
    assert set(consent_words.OUTCOMES) == {outcome.value for outcome in Outcome}
    assert set(consent_words.SEVERITIES) == {severity.value for severity in Severity}


def test_every_obligation_remedy_and_event_has_words() -> None:
    answers = (ROOT / "consent" / "decisions" / "answers.py").read_text(encoding="utf-8")

    assert set(re.findall(r'duties\.append\(\("([A-Z_]+)"', answers)) == set(consent_words.OBLIGATIONS)
    assert set(re.findall(r'"code": "([A-Z_]+)"', answers)) == set(consent_words.REMEDIES)
    assert set(EVENT_DETAILS) == set(EVENTS)


# -- pages -----------------------------------------------------------------------------------------------------------

_UNSEEN = {"script", "style", "code", "pre", "svg", "textarea", "option"}
_SAID = ("aria-label", "title", "placeholder", "alt")


class Seen(HTMLParser):
    """The texts of a page that people read in its own language."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._open: list[tuple[str, bool]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        hidden = tag in _UNSEEN or given.get("lang") == "en"
        if not hidden and not any(part for _tag, part in self._open):
            self.texts += [given[name] or "" for name in _SAID if name in given]
            if tag == "input" and given.get("type") == "submit":
                self.texts.append(given.get("value") or "")
        if tag not in {"input", "br", "img", "link", "meta", "hr"}:
            self._open.append((tag, hidden))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        if data.strip() and not any(hidden for _tag, hidden in self._open):
            self.texts.append(" ".join(data.split()))


def english_of_ours() -> list[str]:
    """Return what we wrote in English and a page could show: no codes, so not what is one lower-case word."""
    ids = {key[0] for package in PACKAGES for key in catalog_entries(catalog_read(package)) if "%(" not in key[0]}
    return [text for text in ids if " " in text or text[0].isupper()]


def assert_chinese(html: str) -> None:
    texts = [text.casefold() for text in Seen(html).texts]
    short = {text.casefold() for text in english_of_ours()} - {"zhixu", "sms", "email"}  # names and codes
    assert [text for text in texts if text.rstrip(": ") in short] == []
    whole = "\n".join(texts)
    assert [text for text in short if len(text) > 12 and " " in text and text in whole] == []
    assert not re.search(r"\bobject \(", whole)  # a model without a name


@pytest.fixture
def desk(client: Client, retailer: Path, db: None) -> Client:
    client.force_login(User.objects.create_superuser("lan", first_name="兰"))
    return client


MORE: dict[str, tuple[str, int]] = {
    "add a purpose": ("governance_purpose_add", 200),
    "add a campaign": ("consent_campaign_add", 200),
    "users": ("auth_user_changelist", 200),
    "add a user": ("auth_user_add", 200),
    "password": ("password_change", 200),
    "history": ("governance_purpose_history", 200),
    "unknown person": ("consent_datasubject_change", 404),
}


@pytest.mark.parametrize("name", PAGES)
def test_every_page_of_the_desk_is_chinese(desk: Client, name: str) -> None:
    assert_chinese(desk.get(PAGES[name][0]()).content.decode())


@pytest.mark.parametrize("name", MORE)
def test_pages_that_django_has_a_part_in_are_chinese(desk: Client, name: str) -> None:
    place, status = MORE[name]
    known = {"governance_purpose_history": 1, "consent_datasubject_change": 999_999_999}
    if name == "history":
        from governance.models import Purpose

        known["governance_purpose_history"] = Purpose.objects.all()[0].pk

    response = desk.get(page(place, *([known[place]] if place in known else [])))

    assert response.status_code == status
    assert_chinese(response.content.decode())


def test_signing_in_is_chinese_and_in_english_if_asked(client: Client, db: None) -> None:
    chinese = client.get(page("login")).content.decode()
    english = client.get(page("login"), headers={"accept-language": "en"}).content.decode()

    assert_chinese(chinese)
    assert "登录" in chinese
    assert "Log in" in english


# -- what went wrong -------------------------------------------------------------------------------------------------


def test_a_page_that_is_not_there_says_so_in_both_languages_its_reader_s_first(client: Client, db: None) -> None:
    chinese = client.get("/nowhere")
    english = client.get("/nowhere", headers={"accept-language": "en-GB,en"})

    assert (chinese.status_code, english.status_code) == (404, 404)
    assert_chinese(chinese.content.decode())
    assert "<h1>没有这个页面</h1>" in chinese.content.decode()
    assert "<h1>There is no such page</h1>" in english.content.decode()
    assert "没有这个页面" in english.content.decode()
    assert chinese["Content-Security-Policy"]


def test_who_may_not_see_a_page_is_told_so(client: Client, db: None) -> None:
    client.force_login(User.objects.create_user("clerk", is_staff=True))

    response = client.get(page("governance_purpose_changelist"))

    assert response.status_code == 403
    assert "<h1>无权查看</h1>" in response.content.decode()
    assert_chinese(response.content.decode())


def test_a_form_without_its_token_is_refused_in_words(db: None) -> None:
    response = Client(enforce_csrf_checks=True).post(page("login"), {"username": "lan"})

    assert response.status_code == 403
    assert "<h1>表单已过期</h1>" in response.content.decode()


def test_the_page_for_our_own_errors_needs_no_database() -> None:
    request = RequestFactory().get("/admin/", headers={"x-request-id": str(uuid.UUID(int=7))})

    with override("zh-hans"):
        response = server_error(request)  # without the `db` fixture any query is an error

    assert response.status_code == 500
    assert "<h1>系统出错了</h1>" in response.content.decode()
    assert "Something went wrong on our side" in response.content.decode()
    assert str(uuid.UUID(int=7)) in response.content.decode()


def test_what_calls_the_api_is_answered_with_a_problem_there_too(client: Client, db: None) -> None:
    chinese = client.get("/api/v1/nowhere", headers={"accept-language": "zh-CN"})
    english = client.get("/api/v1/nowhere", headers={"accept-language": "fr, en;q=0.5, zh;q=0.1"})

    assert (chinese.status_code, chinese["Content-Type"]) == (404, "application/problem+json")
    assert CHINESE.search(chinese.json()["title"])
    assert english.json()["title"] == "There is nothing here."
