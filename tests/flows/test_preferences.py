"""A customer opens the link in a message, sees where she stands, and stops what she wants to stop."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import resolve
from django.utils import timezone

from audit.actors import SYSTEM
from audit.models import AuditEntry
from consent.decisions.engine import judge_send
from consent.decisions.facts import Plan
from consent.decisions.history import Contact
from consent.decisions.reasons import Reason
from consent.domain.terms import Act, SuppressionKind, WxAction
from consent.models import (
    ConsentRecord,
    ConsentState,
    DataSubject,
    Identifier,
    NoticeVersion,
    PreferenceLink,
    Suppression,
    TemplateSubscription,
)
from consent.screening.set_based import SetBasedBackend
from consent.selectors.preferences import OWN_NO, Setting, preferences_for
from consent.selectors.register import register_live
from consent.services.preferences import preference_link_create, preference_stop
from consent.services.subjects import holders_mark
from consent.web.urls import urlpatterns
from governance.crypto.blind_index import lookup
from governance.domain.identifiers import IdentifierType
from governance.models import Channel, Purpose
from tests.flows.customers import (
    LIN,
    NOTICE,
    PERSONALISED,
    PROMOTION,
    agreed,
    allowed,
    checks,
    customer,
    link_of,
    say,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("retailer")]

PAGE = "/c/"
SURVEY = "marketing.survey"
PARTNER, ABROAD = ("share.partner", "yinhe-mall"), ("crossborder.transfer", "lotus-mail")
OPENID = "oLinLinLinLinLinLinLinLinLin"


@pytest.fixture
def lin() -> DataSubject:
    return agreed(LIN, (PROMOTION, "sms"), (PROMOTION, "email"))


def opened(client: Client, subject: DataSubject, query: str = "") -> str:
    """Open a person's page by a new link and return its text."""
    client.get(link_of(subject))
    return text_of(client.get(PAGE + query).content)


def text_of(body: bytes) -> str:
    """Return what a reader sees, with single blanks."""
    without_tags = re.sub(r"<(?:style|script).*?</(?:style|script)>|<[^>]+>", " ", body.decode(), flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(without_tags))


def stop(client: Client, subject: DataSubject, **scope: str) -> str:
    """Tap a stop button of the page that is open, and return the text of the page that follows."""
    link = PreferenceLink.objects.filter(subject=subject).latest("created_at")
    answer = client.post(PAGE, {"link": str(link.id), **scope})
    assert answer.status_code == 303
    return text_of(client.get(answer["Location"]).content)


def settings_of(subject: DataSubject) -> dict[tuple[str, str], Setting]:
    found = preferences_for(subject_id=subject.id, at=timezone.now())
    return {(c.slot.purpose, c.slot.channel or ""): c.setting for topic in found.topics for c in topic.choices}


def opt_out(kind: IdentifierType, value: str, channel: str | None, how: SuppressionKind) -> None:
    """Note a "no" to an identifier, as a reply or our own list brings it."""
    Suppression.objects.create(
        type=kind.value,
        lookup=lookup(kind, value),
        kind=how.value,
        channel=Channel.objects.get(code=channel) if channel else None,
        said_at=timezone.now() - timedelta(days=2),
    )
    holders_mark([lookup(kind, value)])


# -- the link ----------------------------------------------------------------------------------------------------------


def test_a_link_takes_its_secret_out_of_the_address(client: Client, lin: DataSubject) -> None:
    path = link_of(lin)
    token = path.split("/")[2]

    answer = client.get(path)
    page = client.get(answer["Location"])

    assert (answer.status_code, answer["Location"]) == (303, PAGE)
    assert answer["Referrer-Policy"] == "no-referrer"
    cookie = answer.cookies["choices"]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"], cookie["max-age"]) == (True, "Lax", "/", 1800)
    assert page.status_code == 200
    assert page["Cache-Control"] == "no-store"
    assert page["Referrer-Policy"] == "same-origin"  # no-referrer would make browsers post with `Origin: null`
    assert token not in page.content.decode()


def test_over_tls_the_cookie_belongs_to_this_host_only(client: Client, lin: DataSubject, settings) -> None:
    settings.SESSION_COOKIE_SECURE = True

    cookie = client.get(link_of(lin)).cookies["__Host-choices"]

    assert (cookie["secure"], cookie["path"], cookie["domain"]) == (True, "/", "")


def test_a_link_can_be_opened_again_and_lasts_400_days(client: Client, lin: DataSubject) -> None:
    now = timezone.now()

    almost_over = link_of(lin, now - timedelta(days=399))

    assert [client.get(almost_over).status_code for _ in range(3)] == [303, 303, 303]


def test_dead_links_all_look_and_cost_the_same(client: Client, lin: DataSubject) -> None:
    expired = link_of(lin, timezone.now() - timedelta(days=400))
    unknown = expired.replace(expired[5], "A" if expired[5] != "A" else "B")
    paths = [expired, unknown, "/c/x/", "/c/..%2F..%2Fetc/", "/c/%F0%9F%98%80/", f"/c/{'a' * 4000}/", PAGE]
    client.get("/c/warm-up/")

    seen = set()
    for path in paths:
        with CaptureQueriesContext(connection) as queries:
            answer = client.get(path)
        seen.add((answer.status_code, answer.content, len(queries), answer["Referrer-Policy"]))

    assert len(seen) == 1
    assert next(iter(seen))[0] == 404
    assert next(iter(seen))[2] == 1


def test_only_a_hash_of_the_secret_is_kept_and_making_a_link_leaves_a_trace(lin: DataSubject) -> None:
    token = link_of(lin).split("/")[2]

    link = PreferenceLink.objects.get(subject=lin)
    entry = AuditEntry.objects.get(type="preference_link.created", subject_ref=lin.ref)

    assert len(token) == 43
    assert token.encode() not in bytes(link.token_sha256)
    assert entry.object_ref == str(link.id)
    assert token.encode() not in bytes(entry.body)


def test_a_link_is_never_made_for_less_than_30_days(lin: DataSubject) -> None:
    at = timezone.now()

    preference_link_create(subject_id=lin.id, actor=SYSTEM, at=at, lifetime=timedelta(days=30))
    with pytest.raises(ValueError, match="30 days"):
        preference_link_create(subject_id=lin.id, actor=SYSTEM, at=at, lifetime=timedelta(days=29))


# -- the page ----------------------------------------------------------------------------------------------------------


def test_the_page_says_what_is_on_since_when_and_by_which_notice(client: Client, lin: DataSubject) -> None:
    page = opened(client, lin)

    assert "兰花零售（上海）有限公司" in page
    assert page.index("全部停止") < page.index("已开启")
    day = timezone.localtime(timezone.now() - timedelta(days=40))
    assert f"短信 {day.year}年{day.month}月{day.day}日起开启" in page
    assert "《小程序用户须知》第2版" in page
    assert "同意的地方： 小程序注册页" in page


def test_the_page_names_nobody(client: Client, lin: DataSubject) -> None:
    client.get(link_of(lin))

    body = client.get(PAGE).content.decode()

    for value in ("139", "0001", "lin@", "M9000", str(lin.ref), str(lin.ref.hex)):
        assert value not in body


def test_the_page_is_chinese_whatever_the_phone_says_and_english_on_demand(client: Client, lin: DataSubject) -> None:
    say(lin, Act.GRANT, PARTNER[0], None, recipient=PARTNER[1])
    say(lin, Act.GRANT, PERSONALISED, None, field_group="health")
    client.get(link_of(lin))

    chinese = client.get(PAGE, headers={"accept-language": "en-US"})
    english = client.get(PAGE + "?lang=en", headers={"accept-language": "zh-CN"})

    words = set(re.findall(r"[A-Za-z]{3,}", text_of(chinese.content)))
    assert words <= {"English", "App"}
    assert (chinese["Content-Language"], english["Content-Language"]) == ("zh-Hans", "en")
    assert '<html lang="en">' in english.content.decode()
    assert "Stop everything" in text_of(english.content)
    assert "全部停止" in text_of(client.get(PAGE).content)  # nothing was remembered


def test_refusals_show_their_date(client: Client, lin: DataSubject) -> None:
    said = timezone.now() - timedelta(days=10)
    say(lin, Act.DENY, PROMOTION, "phone", at=said)
    day = timezone.localtime(said)

    assert f"{day.year}年{day.month}月{day.day}日您已拒绝：电话" in opened(client, lin)


def test_channels_that_cannot_reach_her_are_not_listed_unless_she_spoke_of_them(lin: DataSubject) -> None:
    preference_stop(subject_id=lin.id, purpose=None, channel=None, actor=SYSTEM, at=timezone.now())
    after_a_no_to_everything = settings_of(lin)

    say(lin, Act.DENY, PROMOTION, "wx_template", at=timezone.now())

    assert (PROMOTION, "wx_template") not in after_a_no_to_everything
    assert settings_of(lin)[PROMOTION, "wx_template"] is Setting.STOPPED


def test_separate_consents_name_who_gets_the_data(client: Client, lin: DataSubject) -> None:
    say(lin, Act.GRANT, PARTNER[0], None, recipient=PARTNER[1])
    say(lin, Act.GRANT, ABROAD[0], None, recipient=ABROAD[1])
    say(lin, Act.GRANT, PERSONALISED, None, field_group="health")

    page = opened(client, lin)

    assert "向第三方提供您的个人信息：银河百货会员中心" in page
    assert "向境外提供您的个人信息：Lotus Mail Pte（新加坡）" in page
    assert "将您的健康信息用于：个性化" in page


def test_a_notice_stays_readable_for_everybody(client: Client) -> None:
    known = client.get(f"/c/notices/{NOTICE.id}/{NOTICE.version}/")
    unknown = client.get("/c/notices/mp/99/")

    text = NoticeVersion.objects.get(notice__code=NOTICE.id, version=NOTICE.version).text
    assert re.sub(r"\s+", " ", text).strip() in text_of(known.content)
    assert unknown.status_code == 404


def test_a_notice_that_is_not_in_force_yet_does_not_show(client: Client) -> None:
    published = NoticeVersion.objects.get(notice__code="mp", version=2)
    draft = NoticeVersion.objects.create(
        notice=published.notice,
        version=98,
        effective_at=timezone.now() + timedelta(days=1),
        text="草稿",
        text_sha256="0" * 64,
    )

    assert client.get(f"/c/notices/mp/{published.version}/").status_code == 200
    assert client.get(f"/c/notices/mp/{draft.version}/").status_code == 404


def test_the_page_takes_a_fixed_number_of_queries(lin: DataSubject, django_assert_num_queries) -> None:
    at = timezone.now()
    with django_assert_num_queries(10):
        preferences_for(subject_id=lin.id, at=at)

    for number, channel in enumerate(("sms", "email", "phone", "app_push", "popup")):
        say(lin, Act.GRANT, PERSONALISED, channel)
        sister = customer(LIN | {IdentifierType.MEMBER_ID: f"M91000{number}"})
        say(sister, Act.GRANT, SURVEY, channel)
    with django_assert_num_queries(10):
        preferences_for(subject_id=lin.id, at=at)


# -- stopping ----------------------------------------------------------------------------------------------------------


def test_one_tap_stops_one_thing_and_the_next_check_denies(client: Client, lin: DataSubject) -> None:
    opened(client, lin)
    before = allowed(checks(LIN, PROMOTION, "sms"))

    page = stop(client, lin, stop="choice", purpose=PROMOTION, channel="sms")

    after = checks(LIN, PROMOTION, "sms")
    assert before == [True, True]
    assert [verdict.primary for verdict in after] == [Reason.CONSENT_WITHDRAWN, Reason.CONSENT_WITHDRAWN]
    assert allowed(checks(LIN, PROMOTION, "email")) == [True, True]
    record = ConsentRecord.objects.filter(subject=lin).latest("id")
    assert (record.act, record.purpose.code, record.channel.code) == ("withdraw", PROMOTION, "sms")
    assert (record.actor_kind, record.actor_ref) == ("customer", str(lin.ref))
    said = timezone.localtime(record.said_at)
    assert "已停止：促销 · 短信" in page
    assert f"{said:%H:%M:%S}（北京时间）" in page
    assert f"cev_{record.ref.hex}" in page


def test_stop_everything_stops_everything(client: Client, lin: DataSubject) -> None:
    say(lin, Act.GRANT, PERSONALISED, "sms")
    say(lin, Act.GRANT, PARTNER[0], None, recipient=PARTNER[1])
    opened(client, lin)

    page = stop(client, lin, stop="everything")

    assert "已全部停止" in page
    assert "目前没有开启的项目" in page
    for purpose, channel in ((PROMOTION, "sms"), (PROMOTION, "email"), (PERSONALISED, "sms")):
        assert {v.primary for v in checks(LIN, purpose, channel)} == {Reason.CONSENT_WITHDRAWN}
    states = ConsentState.objects.filter(subject=lin, refused_at__isnull=True, grant__isnull=False)
    assert not states.exists()
    assert not preferences_for(subject_id=lin.id, at=timezone.now()).anything_on


def test_stopping_one_separate_consent_leaves_the_others(client: Client, lin: DataSubject) -> None:
    for purpose, recipient in (PARTNER, ABROAD):
        say(lin, Act.GRANT, purpose, None, recipient=recipient)
    opened(client, lin)

    page = stop(client, lin, stop="separate", purpose=PARTNER[0], recipient=PARTNER[1])

    assert "已停止：向第三方提供您的个人信息：银河百货会员中心" in page
    separate = preferences_for(subject_id=lin.id, at=timezone.now()).separate
    assert {(c.slot.recipient, c.setting) for c in separate} == {
        ("yinhe-mall", Setting.STOPPED),
        ("lotus-mail", Setting.ON),
    }
    assert settings_of(lin)[PROMOTION, "sms"] is Setting.ON


def test_stopping_the_narrower_purpose_stops_the_wider_and_the_page_says_so(client: Client, lin: DataSubject) -> None:
    say(lin, Act.GRANT, PERSONALISED, "sms")

    page = opened(client, lin)
    stop(client, lin, stop="choice", purpose=PROMOTION, channel="sms")

    assert "停止后，个性化也会一并停止" in page
    assert settings_of(lin)[PERSONALISED, "sms"] is Setting.STOPPED
    assert {v.primary for v in checks(LIN, PERSONALISED, "sms")} == {Reason.CONSENT_WITHDRAWN}


def test_saying_stop_twice_is_one_no(client: Client, lin: DataSubject) -> None:
    opened(client, lin)

    first = stop(client, lin, stop="everything")
    second = stop(client, lin, stop="everything")

    assert re.findall(r"cev_\w+", first) == re.findall(r"cev_\w+", second)
    assert ConsentRecord.objects.filter(subject=lin, act="withdraw").count() == 1


def test_after_a_new_yes_the_same_stop_is_a_new_no(client: Client, lin: DataSubject) -> None:
    opened(client, lin)
    first = stop(client, lin, stop="choice", purpose=PROMOTION, channel="sms")
    say(lin, Act.GRANT, PROMOTION, "sms", at=timezone.now())
    again = allowed(checks(LIN, PROMOTION, "sms"))

    second = stop(client, lin, stop="choice", purpose=PROMOTION, channel="sms")

    assert again == [True, True]
    assert re.findall(r"cev_\w+", first) != re.findall(r"cev_\w+", second)
    assert allowed(checks(LIN, PROMOTION, "sms")) == [False, False]


def test_after_a_tap_on_allow_in_wechat_the_same_stop_is_a_new_no(client: Client, lin: DataSubject) -> None:
    wechat = customer({IdentifierType.WECHAT_OPENID: OPENID})
    opened(client, wechat)
    stop(client, wechat, stop="everything")
    _allow_in_wechat()
    shown = preferences_for(subject_id=wechat.id, at=timezone.now()).one_time

    stop(client, wechat, stop="everything")

    after = preferences_for(subject_id=wechat.id, at=timezone.now()).one_time
    assert shown is not None
    assert after is not None
    assert (shown.setting, after.setting) == (Setting.ON, Setting.STOPPED)


def test_a_no_is_the_last_word_even_if_another_clock_was_ahead(client: Client, lin: DataSubject) -> None:
    ahead = timezone.now() + timedelta(seconds=3)
    say(lin, Act.GRANT, PROMOTION, "sms", at=ahead, clock=ahead)

    preference_stop(subject_id=lin.id, purpose=PROMOTION, channel="sms", actor=SYSTEM, at=timezone.now())

    assert settings_of(lin)[PROMOTION, "sms"] is Setting.STOPPED
    assert allowed(checks(LIN, PROMOTION, "sms")) == [False, False]


def test_a_receipt_is_shown_to_its_owner_only(client: Client, lin: DataSubject) -> None:
    zhao = agreed({IdentifierType.PHONE: "+8613900010002"}, (PROMOTION, "sms"))
    opened(client, lin)
    stop(client, lin, stop="everything")
    ref = ConsentRecord.objects.filter(subject=lin).latest("id").ref

    assert "已全部停止" in text_of(client.get(f"{PAGE}?done={ref}").content)
    assert "已全部停止" not in opened(client, zhao, f"?done={ref}")


def test_english_lasts_through_a_stop(client: Client, lin: DataSubject) -> None:
    client.get(link_of(lin) + "?lang=en")
    link = PreferenceLink.objects.get(subject=lin)

    answer = client.post(PAGE + "?lang=en", {"link": link.id, "stop": "choice", "purpose": PROMOTION, "channel": "sms"})

    assert "Stopped: Promotions · SMS" in text_of(client.get(answer["Location"]).content)


# -- what is no tap on a button ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"stop": "choice"},
        {"stop": "choice", "purpose": PROMOTION},
        {"stop": "choice", "channel": "sms"},
        {"stop": "choice", "purpose": "marketing.unheard-of", "channel": "sms"},
        {"stop": "choice", "purpose": PROMOTION, "channel": "pigeon"},
        {"stop": "separate", "purpose": PARTNER[0], "recipient": "nobody"},
        {"stop": "channel"},
        {"stop": "everything", "purpose": PROMOTION},
        {"stop": "start", "purpose": PROMOTION, "channel": "sms"},
    ],
)
def test_a_form_no_button_sends_changes_nothing(client: Client, lin: DataSubject, form: dict[str, str]) -> None:
    opened(client, lin)
    link = PreferenceLink.objects.get(subject=lin)
    before = ConsentRecord.objects.count()

    answer = client.post(PAGE, {"link": link.id, **form})

    assert answer.status_code == 400
    assert ConsentRecord.objects.count() == before
    assert client.post(PAGE, {"link": link.id, "stop": "everything"}).status_code == 303


def test_a_button_of_one_link_does_nothing_once_another_link_is_open(client: Client, lin: DataSubject) -> None:
    zhao = agreed({IdentifierType.PHONE: "+8613900010002"}, (PROMOTION, "sms"))
    opened(client, lin)
    opened(client, zhao)
    mine, hers = (PreferenceLink.objects.get(subject=person) for person in (zhao, lin))

    wrong = client.post(PAGE, {"link": hers.id, "stop": "everything"})
    right = client.post(PAGE, {"link": mine.id, "stop": "everything"})

    assert (wrong.status_code, right.status_code) == (400, 303)
    assert settings_of(lin)[PROMOTION, "sms"] is Setting.ON
    assert settings_of(zhao)[PROMOTION, "sms"] is Setting.STOPPED


def test_a_foreign_site_cannot_press_the_button(lin: DataSubject) -> None:
    browser = Client(enforce_csrf_checks=True)
    path = link_of(lin)
    link = PreferenceLink.objects.get(subject=lin)
    browser.get(path)
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', browser.get(PAGE).content.decode())
    assert token
    form = {"link": link.id, "stop": "everything"}

    forged = browser.post(PAGE, form)
    foreign = browser.post(PAGE, form | {"csrfmiddlewaretoken": token[1]}, headers={"origin": "https://evil.example"})
    own = browser.post(PAGE, form | {"csrfmiddlewaretoken": token[1]}, headers={"origin": "http://testserver"})

    assert (forged.status_code, foreign.status_code, own.status_code) == (403, 403, 303)


def test_looking_changes_nothing(client: Client, lin: DataSubject) -> None:
    path = link_of(lin)
    client.get(path)
    ref = ConsentRecord.objects.filter(subject=lin).latest("id").ref
    paths = [
        path,
        PAGE,
        f"{PAGE}?lang=en",
        f"{PAGE}?done={ref}",
        f"{PAGE}?stop=everything",
        "/c/x/",
        "/c/notices/mp/2/",
        f"/c/receipts/rcp_{ref.hex}/",
    ]
    assert {resolve(path.split("?")[0]).url_name for path in paths} == {route.name for route in urlpatterns}
    before = _fingerprint()

    answers = [getattr(client, method)(path) for path in paths for method in ("get", "head", "options")]

    assert _fingerprint() == before
    assert {answer.status_code for answer in answers} <= {200, 303, 404, 405}


# -- never "on" against a person's own "no" ----------------------------------------------------------------------------


def _reply(lin: DataSubject) -> None:
    opt_out(IdentifierType.PHONE, LIN[IdentifierType.PHONE], "sms", SuppressionKind.OPT_OUT)


def _reply_to_everything(lin: DataSubject) -> None:
    opt_out(IdentifierType.PHONE, LIN[IdentifierType.PHONE], None, SuppressionKind.OPT_OUT)


def _unsubscribed_by_mail_from_everything(lin: DataSubject) -> None:
    opt_out(IdentifierType.EMAIL, LIN[IdentifierType.EMAIL], None, SuppressionKind.OPT_OUT)


def _listed(lin: DataSubject) -> None:
    opt_out(IdentifierType.MEMBER_ID, LIN[IdentifierType.MEMBER_ID], "sms", SuppressionKind.LISTED)


def _restricted(lin: DataSubject) -> None:
    DataSubject.objects.filter(pk=lin.pk).update(restricted=[Purpose.objects.get(code=PROMOTION).pk])


def _other_account_refused(lin: DataSubject) -> None:
    guest = customer({IdentifierType.PHONE: LIN[IdentifierType.PHONE]}, guest=True)
    say(guest, Act.DENY, PROMOTION, "sms")


@pytest.mark.parametrize(
    "said",
    [
        _reply,
        _reply_to_everything,
        _unsubscribed_by_mail_from_everything,
        _listed,
        _restricted,
        _other_account_refused,
    ],
)
def test_whatever_way_a_no_was_said_the_page_shows_it_as_stopped(client: Client, lin: DataSubject, said) -> None:
    before = settings_of(lin)[PROMOTION, "sms"]

    said(lin)

    assert before is Setting.ON
    assert settings_of(lin)[PROMOTION, "sms"] is Setting.STOPPED
    assert all(set(verdict.codes) & OWN_NO for verdict in checks(LIN, PROMOTION, "sms"))
    assert not re.search(r"短信 [^ ]*起开启", opened(client, lin))


def test_a_reply_about_one_channel_leaves_the_other_on(lin: DataSubject) -> None:
    _reply(lin)

    assert settings_of(lin)[PROMOTION, "sms"] is Setting.STOPPED
    assert settings_of(lin)[PROMOTION, "email"] is Setting.ON


def test_an_opt_out_ends_when_its_author_agrees_again_and_so_does_the_page(lin: DataSubject) -> None:
    _reply(lin)

    say(lin, Act.GRANT, PROMOTION, "sms", at=timezone.now())

    assert settings_of(lin)[PROMOTION, "sms"] is Setting.ON
    assert allowed(checks(LIN, PROMOTION, "sms")) == [True, True]


def test_a_pause_is_shown_with_its_end_and_can_be_made_final(client: Client, lin: DataSubject) -> None:
    until = timezone.localdate() + timedelta(days=30)
    DataSubject.objects.filter(pk=lin.pk).update(paused_until=until)

    page = opened(client, lin)
    during = settings_of(lin)[PROMOTION, "sms"]
    stop(client, lin, stop="choice", purpose=PROMOTION, channel="sms")

    assert f"暂停至{until.year}年{until.month}月{until.day}日" in page
    assert (during, settings_of(lin)[PROMOTION, "sms"]) == (Setting.PAUSED, Setting.STOPPED)


def test_an_unconfirmed_yes_is_waiting_and_not_on(client: Client) -> None:
    mei = customer({IdentifierType.EMAIL: "mei@example.com"})
    say(mei, Act.GRANT, PROMOTION, "email", point="WEB1", at=timezone.now() - timedelta(days=1))
    waiting = settings_of(mei)[PROMOTION, "email"]

    say(mei, Act.CONFIRM, PROMOTION, "email", at=timezone.now())

    assert (waiting, settings_of(mei)[PROMOTION, "email"]) == (Setting.PENDING, Setting.ON)


def test_an_agreement_that_ran_out_is_not_on(client: Client) -> None:
    hu = customer({IdentifierType.PHONE: "+8613900010003"})
    say(hu, Act.GRANT, PROMOTION, "sms", at=timezone.now() - timedelta(days=600))

    assert settings_of(hu)[PROMOTION, "sms"] is Setting.ENDED
    assert "到期，已不再发送：短信" in opened(client, hu)


def test_somebody_who_closed_the_account_sees_nothing_switched_on(lin: DataSubject) -> None:
    say(lin, Act.GRANT, PARTNER[0], None, recipient=PARTNER[1])
    DataSubject.objects.filter(pk=lin.pk).update(status=4)

    assert not preferences_for(subject_id=lin.id, at=timezone.now()).anything_on


def test_of_two_numbers_the_page_stays_on_while_one_can_be_reached(lin: DataSubject) -> None:
    two = LIN | {IdentifierType.MEMBER_ID: "M900002", IdentifierType.PHONE: "+8613900010008"}
    he = agreed(two, (PROMOTION, "sms"))
    second = customer({IdentifierType.PHONE: "+8613900010009"})
    Identifier.objects.filter(subject=second).update(subject=he)

    opt_out(IdentifierType.PHONE, "+8613900010008", "sms", SuppressionKind.OPT_OUT)
    one_left = settings_of(he)[PROMOTION, "sms"]
    opt_out(IdentifierType.PHONE, "+8613900010009", "sms", SuppressionKind.OPT_OUT)

    assert (one_left, settings_of(he)[PROMOTION, "sms"]) == (Setting.ON, Setting.STOPPED)


def test_the_page_and_the_check_agree_on_the_customers_of_a_real_retailer() -> None:
    """Stopped: every check respects it as the person's own "no". On: none does. Not on: nothing is sent."""
    now = timezone.now()
    register = register_live()
    listed = Identifier.objects.filter(lookup__in=Suppression.objects.values("lookup")).values("subject_id")
    waiting = ConsentState.objects.filter(confirmed=False, refused_at=None, grant__isnull=False).values("subject_id")
    spoken = ConsentState.objects.values("subject_id")
    people = {
        person
        for group in (listed, waiting, spoken)
        for person in DataSubject.objects.filter(id__in=group).order_by("id")[:50]
    }
    asked: dict[tuple[str, str], list[tuple[Contact, Setting]]] = {}
    for person in people:
        held = Identifier.objects.filter(subject=person).values_list("type", "lookup")
        contacts = [Contact(IdentifierType(kind), bytes(value)) for kind, value in held]
        for (purpose, channel), setting in settings_of(person).items():
            kind = register.rules.channels[channel].identifier
            own = [contact for contact in contacts if contact.kind is kind]
            if len(own) == 1:
                asked.setdefault((purpose, channel), []).append((own[0], setting))

    seen = set()
    for (purpose, channel), rows in asked.items():
        plan = Plan(None, purpose, channel, "marketing", now)
        judgement = judge_send(plan, register=register.rules, at=now)
        verdicts = SetBasedBackend(register).screen([contact for contact, _ in rows], judgement)
        for (contact, setting), verdict in zip(rows, verdicts, strict=True):
            seen.add(setting)
            own_no = set(verdict.codes) & OWN_NO
            alone = Identifier.objects.filter(lookup=contact.lookup).count() == 1  # nobody else's yes counts
            if setting is Setting.STOPPED:
                assert own_no, (purpose, channel, verdict)
            elif setting is Setting.PAUSED:
                assert Reason.PAUSED_BY_CUSTOMER in verdict.codes
            else:
                assert not own_no, (purpose, channel, setting, verdict)
            if setting is not Setting.ON and alone:
                assert not verdict.outcome.may_send, (purpose, channel, setting, verdict)
    assert {Setting.ON, Setting.STOPPED, Setting.PENDING, Setting.ENDED, Setting.NEVER} <= seen


def _allow_in_wechat() -> None:
    TemplateSubscription.objects.create(
        lookup=lookup(IdentifierType.WECHAT_OPENID, OPENID),
        template="T1",
        action=WxAction.ACCEPT.value,
        said_at=timezone.now(),
    )


def _fingerprint() -> dict[str, object]:
    """Return a digest of every table."""
    with connection.cursor() as cursor:
        tables = connection.introspection.table_names(cursor)
        found = {}
        for table in tables:
            cursor.execute(f"SELECT count(*), md5(string_agg(t::text, '' ORDER BY t::text)) FROM {table} t")
            found[table] = cursor.fetchone()
    return found
