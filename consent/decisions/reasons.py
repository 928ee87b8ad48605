"""The closed list of reason codes: number, weight, law and words. Data, not code.

Source: reference/pipl-rules.md section 18 and design/decisions.md. Numbers are the precedence; codes and
numbers are never reused. A law carries its confidence mark: R1 text read, R2 secondary source,
I our reading. `kind` keeps law, house policy and platform rules apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from consent.domain.terms import Severity

RULE_SET = "2026-11-21.1"
"""Version of the rules and reasons in this release; every decision carries it."""


class Reason(IntEnum):
    """A reason code; the value is its place in the order of precedence."""

    E_INPUT = 10
    POLICY_GAP = 15
    SUBJECT_ERASED = 20
    PROCESSING_FROZEN = 30
    SUBJECT_DECEASED = 40
    SOURCE_UNLAWFUL = 50
    CHILD_NO_GUARDIAN_CONSENT = 60
    MINOR_ADM_MARKETING = 70
    PRODUCT_TO_MINOR = 80
    OPTED_OUT = 90
    CONSENT_WITHDRAWN = 100
    PROCESSING_RESTRICTED = 110
    PAUSED_BY_CUSTOMER = 115
    IDENTIFIER_NOT_OWNED = 120
    CARRIER_BLACKLIST = 125
    NO_CONSENT = 130
    CONSENT_PENDING = 135
    CONSENT_CHANNEL_NOT_COVERED = 140
    CONSENT_INVALID_FORM = 150
    CONSENT_BUNDLED = 160
    CONSENT_SCOPE_CHANGED = 170
    CONSENT_EXPIRED = 180
    CONSENT_NO_EVIDENCE = 190
    NO_LEGAL_BASIS = 195
    BASIS_NOT_ALLOWED_FOR_MARKETING = 200
    FIELD_PURPOSE_MISMATCH = 210
    CCTV_PURPOSE = 215
    SENSITIVE_NOT_NECESSARY = 220
    SENSITIVE_NO_SEPARATE_CONSENT = 230
    THIRD_PARTY_NO_SEPARATE_CONSENT = 240
    XB_NO_MECHANISM = 250
    XB_NO_SEPARATE_CONSENT = 260
    VENDOR_NO_DPA = 270
    SUBPROCESSOR_NOT_APPROVED = 280
    VENDOR_SUPPRESSION_STALE = 290
    PIA_MISSING = 300
    PERSONALISATION_OFF = 310
    ADM_NO_OPTION = 320
    PRICE_DISCRIMINATION_REVIEW = 330
    AGGREGATED_SENSITIVE = 340
    RETENTION_EXPIRED = 350
    CAMPAIGN_NOT_APPROVED = 355
    CONTENT_NOT_REVIEWED = 360
    CONTENT_CHANGED = 370
    CONTENT_PROHIBITED = 380
    CONTENT_ABSOLUTE_TERM = 390
    CONTENT_NEEDS_APPROVAL = 400
    CONTENT_EVIDENCE_MISSING = 410
    NO_SENDER_ID = 420
    NO_OPTOUT = 430
    EMAIL_NO_AD_PREFIX = 440
    SENDER_SPOOF = 445
    POPUP_NO_CLOSE = 450
    WX_NO_SUBSCRIPTION = 460
    QUOTA_EXHAUSTED = 465
    WX_TEMPLATE_NO_MARKETING = 470
    ROUTE_MISMATCH = 480
    CARRIER_CATEGORY = 485
    DECLARED_FREQUENCY_EXCEEDED = 490
    REASK_TOO_SOON = 500
    FREQUENCY_CAP = 510
    QUIET_HOURS = 520
    BULK_APPROVAL = 530
    ALLOW = 900


@dataclass(frozen=True, slots=True)
class Law:
    ref: str
    confidence: str

    def __str__(self) -> str:
        return self.ref


@dataclass(frozen=True, slots=True)
class ReasonInfo:
    """What a code means. `severity` is its usual weight; a rule with two weights says so itself."""

    severity: Severity
    kind: str  # legal, policy or platform
    law: tuple[Law, ...]
    override: str  # who may lift it; empty: nobody, the fact must change
    zh: str
    en: str


def _law(refs: str) -> tuple[Law, ...]:
    """Read `PIPL 15; NetTrade 16:R2`: R1 where no mark stands."""
    laws = []
    for ref in filter(None, (part.strip() for part in refs.split(";"))):
        name, _, mark = ref.partition(":")
        laws.append(Law(name, mark or "R1"))
    return tuple(laws)


def _info(severity: Severity, kind: str, refs: str, zh: str, en: str, override: str = "") -> ReasonInfo:
    return ReasonInfo(severity, kind, _law(refs), override, zh, en)


_DENY, _HOLD, _DEFER = Severity.DENY, Severity.HOLD, Severity.DEFER
_WARN, _STRIP = Severity.WARN, Severity.STRIP

REASONS: dict[Reason, ReasonInfo] = {
    Reason.E_INPUT: _info(_DENY, "policy", "", "输入不完整，已按禁止处理", "Input is incomplete; treated as a denial"),
    Reason.POLICY_GAP: _info(
        _DENY,
        "policy",
        "",
        "用途、渠道、字段、接收方或活动未登记，已按禁止处理",
        "Purpose, channel, field, recipient or campaign is not registered; treated as a denial",
    ),
    Reason.SUBJECT_ERASED: _info(
        _DENY,
        "legal",
        "PIPL 47; ECL 24",
        "个人信息已删除或账号已注销",
        "The person's data is erased or the account closed",
    ),
    Reason.PROCESSING_FROZEN: _info(
        _DENY,
        "legal",
        "PIPL 47(2); NDSR 24",
        "仅可存储和保护，不得使用",
        "The data may only be stored and protected, not used",
    ),
    Reason.SUBJECT_DECEASED: _info(_DENY, "policy", "", "当事人已故", "The person has died"),
    Reason.SOURCE_UNLAWFUL: _info(
        _DENY,
        "legal",
        "PIPL 10; EmailReg 12; SPP-Crim 3–5",
        "联系方式来源不合法或来源证明缺失",
        "The contact data comes from an unlawful or unproven source",
    ),
    Reason.CHILD_NO_GUARDIAN_CONSENT: _info(
        _DENY,
        "legal",
        "PIPL 31; NDSR 22(3); 未成年人保护法 72",
        "不满14周岁，无监护人同意",
        "Under 14 without a guardian's consent",
    ),
    Reason.MINOR_ADM_MARKETING: _info(
        _DENY,
        "legal",
        "MinorReg 24(3)",
        "禁止以自动化决策向未成年人营销",
        "No marketing to minors by automated decision-making",
    ),
    Reason.PRODUCT_TO_MINOR: _info(
        _DENY,
        "legal",
        "AdLaw 22; AdLaw 40",
        "该类商品不得向未成年人推广",
        "This kind of product must not be promoted to minors",
    ),
    Reason.OPTED_OUT: _info(
        _DENY,
        "legal",
        "CPL 29(3); AdLaw 43; NetTrade 16:R2; EmailReg 14; PIPL 44",
        "已拒绝接收，不得更换名义再次发送",
        "Refused to receive; sending again under another name is not allowed",
        "person only",
    ),
    Reason.CONSENT_WITHDRAWN: _info(
        _DENY, "legal", "PIPL 15", "已拒绝或已撤回同意", "Consent was refused or withdrawn", "person only"
    ),
    Reason.PROCESSING_RESTRICTED: _info(
        _DENY,
        "legal",
        "PIPL 44; NDSR 23",
        "个人已限制该处理",
        "The person has restricted this processing",
        "person only",
    ),
    Reason.PAUSED_BY_CUSTOMER: _info(
        _DENY, "policy", "", "个人已暂停接收营销信息", "The person has paused marketing messages", "person only"
    ),
    Reason.IDENTIFIER_NOT_OWNED: _info(
        _DENY, "legal", "PIPL 8; PIPL 13", "号码已易主，同意失效", "The number has a new owner; the consent is void"
    ),
    Reason.CARRIER_BLACKLIST: _info(
        _DENY, "platform", "", "号码在运营商黑名单中", "The number is on the carrier's blacklist"
    ),
    Reason.NO_CONSENT: _info(
        _DENY,
        "legal",
        "PIPL 13; CPL 29(3); AdLaw 43(1); CPLIR 24:R2; SMSReg-2026:R2; EmailReg 13(2)",
        "未取得同意或请求",
        "No consent or request",
    ),
    Reason.CONSENT_PENDING: _info(
        _DENY, "policy", "", "同意尚未二次确认", "The consent awaits its confirmation (double opt-in)"
    ),
    Reason.CONSENT_CHANNEL_NOT_COVERED: _info(
        _DENY, "legal", "AdLaw 43(1); PIPL 14", "同意不含此渠道", "The consent does not cover this channel"
    ),
    Reason.CONSENT_INVALID_FORM: _info(
        _DENY,
        "legal",
        "PIPL 14(1); PIPL 5; NDSR 22(1)",
        "同意形式无效（默认勾选、默示等）",
        "The consent was not given by a clear act (pre-ticked, implied …)",
    ),
    Reason.CONSENT_BUNDLED: _info(
        _DENY,
        "legal",
        "CPLIR 23:R2; NetTrade 13:R2; PIPL 16",
        "捆绑或概括授权无效",
        "A bundled or blanket consent is void",
    ),
    Reason.CONSENT_SCOPE_CHANGED: _info(
        _DENY,
        "legal",
        "PIPL 14(2); NDSR 22(6)",
        "目的、方式或种类已变，须重新取得同意",
        "Purpose, method or category has changed; consent must be asked for again",
    ),
    Reason.CONSENT_EXPIRED: _info(
        _DENY, "legal", "NDSR 22(4); PIPL 19", "同意期限已届满", "The period of the consent is over"
    ),
    Reason.CONSENT_NO_EVIDENCE: _info(
        _DENY, "legal", "PIPL 69; SMSReg-2026:R2", "缺少同意证明", "The consent cannot be proved"
    ),
    Reason.NO_LEGAL_BASIS: _info(
        _DENY, "legal", "PIPL 13", "处理目的未登记合法性基础", "The purpose has no legal basis in the register"
    ),
    Reason.BASIS_NOT_ALLOWED_FOR_MARKETING: _info(
        _DENY, "legal", "PIPL 13; CPL 29(3)", "该合法性基础不适用于营销", "This legal basis does not carry marketing"
    ),
    Reason.FIELD_PURPOSE_MISMATCH: _info(
        _DENY, "legal", "PIPL 6", "字段用途超出目的", "A field is used beyond its purposes", "officer after PIA"
    ),
    Reason.CCTV_PURPOSE: _info(
        _DENY,
        "legal",
        "PIPL 26",
        "公共场所图像不得用于营销",
        "Images from public places must not be used for marketing",
    ),
    Reason.SENSITIVE_NOT_NECESSARY: _info(
        _DENY,
        "legal",
        "PIPL 28(2)",
        "敏感个人信息无充分必要",
        "Sensitive data without sufficient necessity",
        "officer after PIA",
    ),
    Reason.SENSITIVE_NO_SEPARATE_CONSENT: _info(
        _DENY,
        "legal",
        "PIPL 29; NDSR 22(2)",
        "敏感个人信息缺少单独同意",
        "No separate consent for sensitive data",
    ),
    Reason.THIRD_PARTY_NO_SEPARATE_CONSENT: _info(
        _DENY,
        "legal",
        "PIPL 23",
        "向第三方提供未获单独同意",
        "No separate consent for providing data to this third party",
    ),
    Reason.XB_NO_MECHANISM: _info(
        _DENY,
        "legal",
        "PIPL 38; PIPL 40; XBReg 5:R2; XBReg 8:R2",
        "出境路径未备齐",
        "The route for sending data abroad is not in place",
    ),
    Reason.XB_NO_SEPARATE_CONSENT: _info(
        _DENY, "legal", "PIPL 39", "出境未获单独同意", "No separate consent for sending data abroad"
    ),
    Reason.VENDOR_NO_DPA: _info(
        _DENY, "legal", "PIPL 21; NDSR 12", "无有效委托合同或条款不全", "No valid or complete entrusting contract"
    ),
    Reason.SUBPROCESSOR_NOT_APPROVED: _info(
        _DENY, "legal", "PIPL 21(3)", "未同意转委托", "A sub-entrusted party was not approved", "officer"
    ),
    Reason.VENDOR_SUPPRESSION_STALE: _info(
        _DENY,
        "legal",
        "NetTrade 16:R2; PIPL 15",
        "供应商退订名单未同步",
        "The vendor's opt-out list is not up to date",
        "officer",
    ),
    Reason.PIA_MISSING: _info(
        _DENY,
        "legal",
        "PIPL 55; PIPL 56",
        "缺少有效的个人信息保护影响评估",
        "No valid impact assessment covers this use",
        "officer files PIA",
    ),
    Reason.PERSONALISATION_OFF: _info(
        _STRIP,
        "legal",
        "PIPL 24(2); NDSR 42; AlgoReg 17",
        "已关闭个性化，仅可发送通用版",
        "Personalisation is off; only the generic variant may be sent",
        "person only",
    ),
    Reason.ADM_NO_OPTION: _info(
        _HOLD,
        "legal",
        "PIPL 24(2)",
        "缺少不针对个人特征的选项或便捷的拒绝方式",
        "No non-personal option and no easy way to refuse",
    ),
    Reason.PRICE_DISCRIMINATION_REVIEW: _info(
        _HOLD,
        "legal",
        "PIPL 24(1); AlgoReg 21",
        "价格差别待遇须复核",
        "Differential pricing needs a review",
        "officer",
    ),
    Reason.AGGREGATED_SENSITIVE: _info(
        _HOLD,
        "policy",
        "",
        "字段组合后可能构成敏感信息",
        "The combined fields may amount to sensitive data",
        "officer",
    ),
    Reason.RETENTION_EXPIRED: _info(
        _DENY,
        "legal",
        "PIPL 19; PIPL 47",
        "保存期已满，待删除",
        "The retention period is over; the data awaits deletion",
    ),
    Reason.CAMPAIGN_NOT_APPROVED: _info(
        _HOLD,
        "policy",
        "",
        "活动未经审批，或与审批内容不符",
        "The campaign is not approved, or differs from what was approved",
        "approver",
    ),
    Reason.CONTENT_NOT_REVIEWED: _info(
        _HOLD, "legal", "AdLaw 4:I; AdLaw 34:I", "内容未审核", "The content was not reviewed", "reviewer"
    ),
    Reason.CONTENT_CHANGED: _info(
        _HOLD,
        "policy",
        "",
        "内容在审核后已变更，须复审",
        "The content has changed since its review",
        "reviewer",
    ),
    Reason.CONTENT_PROHIBITED: _info(
        _DENY,
        "legal",
        "AdLaw 9; AdLaw 15–20; AdLaw 22; AdLaw 37",
        "含禁止内容",
        "The content holds something prohibited",
    ),
    Reason.CONTENT_ABSOLUTE_TERM: _info(
        _HOLD,
        "legal",
        "AdLaw 9(3)",
        "含绝对化用语，须有例外理由和证明",
        "An absolute term needs a proven exception",
        "reviewer+proof",
    ),
    Reason.CONTENT_NEEDS_APPROVAL: _info(
        _HOLD,
        "legal",
        "AdLaw 46",
        "须先取得广告审查批准文号",
        "This product needs an advertising approval number first",
    ),
    Reason.CONTENT_EVIDENCE_MISSING: _info(
        _HOLD,
        "legal",
        "AdLaw 8; AdLaw 11; AdLaw 28; PriceReg 16–20",
        "事实或价格依据缺失",
        "A claim of fact or price lacks its proof",
        "reviewer+proof",
    ),
    Reason.NO_SENDER_ID: _info(
        _HOLD,
        "legal",
        "AdLaw 43(2); NetTrade 16:R2",
        "未明示真实身份和联系方式",
        "The true sender and a contact are not shown",
    ),
    Reason.NO_OPTOUT: _info(
        _HOLD,
        "legal",
        "AdLaw 43(2); NetTrade 16:R2; EmailReg 14(2)",
        "未提供免费便捷的退订方式",
        "No free and easy way to opt out",
    ),
    Reason.EMAIL_NO_AD_PREFIX: _info(
        _HOLD,
        "legal",
        "EmailReg 13(3)",
        "标题前部缺“广告”或“AD”字样",
        'The subject does not begin with "广告" or "AD"',
    ),
    Reason.SENDER_SPOOF: _info(
        _HOLD, "legal", "EmailReg 13(1)", "发件域名未经验证", "The sender's domain is not verified"
    ),
    Reason.POPUP_NO_CLOSE: _info(_HOLD, "legal", "AdLaw 44(2)", "无一键关闭", "The pop-up has no one-click close"),
    Reason.WX_NO_SUBSCRIPTION: _info(
        _DENY, "platform", "", "无微信订阅授权", "No WeChat subscription for this template"
    ),
    Reason.QUOTA_EXHAUSTED: _info(_DENY, "platform", "", "一次性订阅已用完", "The one-time subscriptions are used up"),
    Reason.WX_TEMPLATE_NO_MARKETING: _info(
        _DENY, "platform", "", "模板消息禁止营销", "Template messages must not carry marketing"
    ),
    Reason.ROUTE_MISMATCH: _info(
        _HOLD, "policy", "", "通道用途不符", "The vendor route is meant for another kind of message", "officer"
    ),
    Reason.CARRIER_CATEGORY: _info(
        _WARN, "platform", "", "供应商限制该行业", "The vendor restricts this product category", "officer"
    ),
    Reason.DECLARED_FREQUENCY_EXCEEDED: _info(
        _DENY,
        "legal",
        "NDSR 22(4):I",
        "超出告知的发送频次",
        "More messages than the notice promised",
    ),
    Reason.REASK_TOO_SOON: _info(
        _DENY, "legal", "NDSR 22(5)", "不得频繁征求同意", "Consent must not be asked for again so soon"
    ),
    Reason.FREQUENCY_CAP: _info(_DEFER, "policy", "", "超出频控", "Over the frequency cap", "officer"),
    Reason.QUIET_HOURS: _info(_DEFER, "policy", "", "非发送时段", "Outside the sending window", "officer"),
    Reason.BULK_APPROVAL: _info(
        _HOLD, "policy", "", "批量发送需双人复核", "A send of this size needs a second approver", "second approver"
    ),
    Reason.ALLOW: _info(_WARN, "legal", "PIPL 13", "允许发送", "Sending is allowed"),
}
