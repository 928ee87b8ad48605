"""What every rule owes: a place in the order, a source, words, a bit, and vectors that can fail."""

from __future__ import annotations

import re

import pytest

from consent.decisions.bits import BITS, bit
from consent.decisions.reasons import REASONS, Reason
from consent.decisions.rules import RULES, HolderRule, RowRule, Rule
from consent.domain.terms import Severity
from tests.worlds import VECTORS, cases_read

CASES = cases_read()
CODES = [reason for reason in Reason if reason is not Reason.ALLOW]

CATALOGUE = """
AD-09-3-ABS T1 T2 T3 · AD-09-FLAG T1 · AD-11-CITE T1 · AD-17-DISEASE T1 · AD-ABS-EXCEPT T1 T2 · ALGO-17-OFF T1
ALGO-18/19 T1 · CPLIR-23-NO-BUNDLE T1 T2 T3 · EML-12-HARVEST T1 · EML-13-AD-PREFIX T1 T2 T3 · EML-13-ENVELOPE T1
EML-13-EXPLICIT T1 · EML-14-CONTACT-30D T1 · EML-14-STOP T1 · EXAMPLE 1 2 3 4 5 6 7 8 · GBT-45574-AGGREGATE T1
MINOR-24-NO-ADM T1 T2 T3 · MINOR-AGE-SIGNAL T1 · MKT-43-CONSENT T1 T2 T3 · MKT-43-OPTOUT T1 T3
MKT-43-SENDERID T1 T2 · MKT-BASIS-CONSENT T1 T3 · MKT-CONSENT-SHAPE T1 T2 · MKT-KIND T1 T2 T3
NDSR-22-NO-NAGGING T1 T3 · NDSR-22-SCOPE T1 T2 T3 · NET16-STOP-NO-RENAME T1 T2 T3 · PIA-REVIEW T1 T2
PIPL-06-PURPOSE T1 · PIPL-08-QUALITY T1 T2 · PIPL-10-SOURCE T1 T2 T3 · PIPL-13-BASIS T1 T2 T3
PIPL-14-RECONSENT T1 T2 T3 · PIPL-14-VALID T1 T2 T3 · PIPL-15-NONRETRO T1 · PIPL-19-RETENTION T1 · PIPL-21-DPA T1 T2
PIPL-21-SCOPE T1 · PIPL-21-SUB T1 · PIPL-23-THIRDPARTY T1 T2 · PIPL-24-OPTION T1 T2 T3 · PIPL-24-PRICE T1 T2 T3
PIPL-26-CAMERA T2 · PIPL-27-PUBLIC T1 · PIPL-28-NECESSITY T1 T2 · PIPL-28-U14 T1 · PIPL-29-SENSITIVE T1 T2 T3
PIPL-31-GUARDIAN T1 T2 T3 · PIPL-39-XB-CONSENT T1 · PIPL-47-FREEZE T1 · PIPL-55-PIA T1 T2 T3 · PIPL-59 T1
PIPL-69-EVIDENCE T1 T2 T3 · POL-FREQ T1 T2 · POL-QUIET T1 T2 T3 · POPUP-44-ONECLICK T1 · PUSH-CONSENT T1
SMS-CARRIER-CATEGORIES T1 · SMS-PORT-SEPARATION T1 T2 · SMS26-IDENTITY T1 · SUPPRESS-KEEP T1 · TEL-CONSENT T1
VENDOR-PIA T1 · WD-DEADLINE T1 T2 T3 · WD-SCOPE T1 · WD-VENDOR T1 · WX-OA / WECOM T1 · WX-SUB T1 · WX-TEMPLATE T1 T2
XB T1 T2 T3 T4 · XB-CERT-3Y / XB-ASSESS-3Y T1 · XB-PIA T1 T2
"""
"""The test lines of the rule catalogue (sections 1 to 6, 9 to 11, 14, 18 and appendix A) that a send check can show."""


def catalogue_lines() -> list[str]:
    lines = []
    for entry in re.split(r"[·\n]", CATALOGUE):
        words = entry.split()
        name = " ".join(word for word in words if not re.fullmatch(r"T?[0-9]", word))
        lines += [f"{name} {word}" for word in words if re.fullmatch(r"T?[0-9]", word)]
    return lines


@pytest.mark.parametrize("reason", CODES, ids=lambda reason: reason.name)
def test_a_reason_has_a_rule_a_case_that_fires_and_one_that_just_does_not(reason: Reason) -> None:
    cases = [case for case in CASES if case.file == reason.name]

    assert any(rule.reason is reason for rule in RULES)
    assert any(case.fires for case in cases)
    assert any(not case.fires for case in cases)


@pytest.mark.parametrize("reason", CODES, ids=lambda reason: reason.name)
def test_some_pair_of_cases_differs_by_one_fact_and_only_one_of_them_fires(reason: Reason) -> None:
    cases = {case.name: case for case in CASES if case.file == reason.name}
    pairs = [(cases[case.near_miss_of], case) for case in cases.values() if case.near_miss_of]

    assert all(near.facts == 1 for _, near in pairs), "a near miss differs by one fact"
    assert any(first.fires is not near.fires for first, near in pairs)


def test_no_vector_file_is_about_an_unknown_reason() -> None:
    names = {path.stem for path in (VECTORS / "decisions").glob("*.json")}

    assert names == {reason.name for reason in CODES}


def test_case_names_are_unique_within_a_file() -> None:
    names = [(case.file, case.name) for case in CASES]

    assert len(names) == len(set(names))


@pytest.mark.parametrize("line", catalogue_lines())
def test_a_line_of_the_catalogue_has_a_vector(line: str) -> None:
    assert any(case.rule == line for case in CASES)


def test_every_vector_names_a_known_line_of_the_catalogue_or_none() -> None:
    assert {case.rule for case in CASES if case.rule} == set(catalogue_lines())


def test_the_order_of_the_rules_is_the_order_of_the_numbers() -> None:
    numbers = [rule.reason.value for rule in RULES]

    assert numbers == sorted(numbers)


def test_no_number_is_used_twice() -> None:
    assert len({reason.value for reason in Reason}) == len(list(Reason.__members__))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.fires.__name__)
def test_a_rule_names_its_id_its_article_and_how_sure_we_are(rule: Rule) -> None:
    """Or says plainly that it is no law: a house rule, a platform's, or failing closed."""
    first = (rule.fires.__doc__ or "").splitlines()[0]
    kind = REASONS[rule.reason].kind
    named = re.match(r"(?P<ids>[A-Z][A-Z0-9/-]+(?:, [A-Z][A-Z0-9/-]+)*|AdLaw 4, 34) · ", first)
    marked = re.search(r"\b(R1|R2|I|M)\b", first)
    plain = re.match(r"(Fail closed|House rule|House promise|Platform fact)", first)

    if kind == "legal":
        assert named, first
        assert marked, first
    else:
        assert plain or re.search(r"house policy|platform|practice, not law|· R2|· I\b", first), first


TWO_WEIGHTS = {
    Reason.SOURCE_UNLAWFUL: {Severity.HOLD, Severity.DENY},
    Reason.SENSITIVE_NO_SEPARATE_CONSENT: {Severity.STRIP, Severity.DENY},
    Reason.PERSONALISATION_OFF: {Severity.STRIP, Severity.DENY},
}


@pytest.mark.parametrize(
    "rule", [rule for rule in RULES if isinstance(rule, HolderRule | RowRule)], ids=lambda rule: rule.reason.name
)
def test_a_finding_on_a_person_has_a_bit_of_its_own(rule: HolderRule | RowRule) -> None:
    wanted = TWO_WEIGHTS.get(rule.reason, {REASONS[rule.reason].severity})

    assert {severity for reason, severity in BITS if reason is rule.reason} == wanted
    for severity in wanted:
        assert bit(rule.reason, severity).bit_count() == 1


STORED_BITS = [
    "SUBJECT_ERASED/deny",
    "PROCESSING_FROZEN/deny",
    "SUBJECT_DECEASED/deny",
    "SOURCE_UNLAWFUL/deny",
    "SOURCE_UNLAWFUL/hold",
    "CHILD_NO_GUARDIAN_CONSENT/deny",
    "MINOR_ADM_MARKETING/deny",
    "PRODUCT_TO_MINOR/deny",
    "OPTED_OUT/deny",
    "CONSENT_WITHDRAWN/deny",
    "PROCESSING_RESTRICTED/deny",
    "PAUSED_BY_CUSTOMER/deny",
    "IDENTIFIER_NOT_OWNED/deny",
    "CARRIER_BLACKLIST/deny",
    "NO_CONSENT/deny",
    "CONSENT_PENDING/deny",
    "CONSENT_CHANNEL_NOT_COVERED/deny",
    "CONSENT_INVALID_FORM/deny",
    "CONSENT_BUNDLED/deny",
    "CONSENT_SCOPE_CHANGED/deny",
    "CONSENT_EXPIRED/deny",
    "CONSENT_NO_EVIDENCE/deny",
    "SENSITIVE_NO_SEPARATE_CONSENT/deny",
    "SENSITIVE_NO_SEPARATE_CONSENT/strip",
    "THIRD_PARTY_NO_SEPARATE_CONSENT/deny",
    "XB_NO_SEPARATE_CONSENT/deny",
    "PERSONALISATION_OFF/strip",
    "PERSONALISATION_OFF/deny",
    "RETENTION_EXPIRED/deny",
    "WX_NO_SUBSCRIPTION/deny",
    "QUOTA_EXHAUSTED/deny",
    "DECLARED_FREQUENCY_EXCEEDED/deny",
    "REASK_TOO_SOON/deny",
    "FREQUENCY_CAP/defer",
    "E_INPUT/deny",
]


def test_bits_are_never_moved() -> None:
    """They are stored with every decision: a place may be added at the end, and nothing else."""
    places = [f"{reason.name}/{severity.value}" for reason, severity in BITS]

    assert places[:35] == STORED_BITS
    assert len(places) == len(set(places)) <= 63, "one signed 64-bit column holds them all"


@pytest.mark.parametrize("reason", list(Reason), ids=lambda reason: reason.name)
def test_a_reason_is_said_in_both_languages(reason: Reason) -> None:
    info = REASONS[reason]

    assert re.search("[\u4e00-\u9fff]", info.zh)
    assert re.match("[A-Z]", info.en)


@pytest.mark.parametrize("reason", list(Reason), ids=lambda reason: reason.name)
def test_only_a_legal_reason_shows_a_law(reason: Reason) -> None:
    info = REASONS[reason]

    assert info.kind in ("legal", "policy", "platform")
    assert bool(info.law) is (info.kind == "legal")
    assert all(law.confidence in ("R1", "R2", "I") for law in info.law)


@pytest.mark.parametrize(
    "reason", [Reason.OPTED_OUT, Reason.CONSENT_WITHDRAWN, Reason.PROCESSING_RESTRICTED], ids=lambda reason: reason.name
)
def test_nobody_but_the_person_lifts_his_own_no(reason: Reason) -> None:
    assert REASONS[reason].override == "person only"
