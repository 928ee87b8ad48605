"""The words retailers use in their exports, in Chinese and English. Unknown words are never guessed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from consent.domain.sends import SendStatus
from consent.domain.terms import Act, Bundle, Control, SendKind, SubjectStatus, WxAction
from governance.domain.cells import split_list
from governance.domain.identifiers import IdentifierType


def _words(table: Mapping[str, str]) -> dict[str, str]:
    return {word.casefold(): key for key, words in table.items() for word in (key, *words.split())}


ACTS = {
    word: Act(key)
    for word, key in _words(
        {
            "grant": "同意 授权 订阅 勾选同意",
            "deny": "拒绝 不同意",
            "withdraw": "撤回 退订 取消授权 撤销",
            "confirm": "确认 二次确认",
            "renew": "续期 更新",
        }
    ).items()
}
CONTROLS = {
    word: Control(key)
    for word, key in _words(
        {
            "checkbox": "勾选 复选框",
            "toggle": "开关",
            "button": "按钮 点击",
            "signature": "签名 签字",
            "voice": "语音 录音",
            "reply": "回复 短信回复",
            "continue_to_use": "继续使用 默示",
        }
    ).items()
}
BUNDLES = {
    word: Bundle(key)
    for word, key in _words({"own": "独立 单独弹窗", "terms": "条款 随协议", "accept_all": "全选 一键同意"}).items()
}
YES = frozenset({"yes", "是", "y", "true", "1"})
NO = frozenset({"no", "否", "n", "false", "0"})
STATES = {
    "active": SubjectStatus.ACTIVE,
    "正常": SubjectStatus.ACTIVE,
    "在用": SubjectStatus.ACTIVE,
    "1": SubjectStatus.ACTIVE,
    "": SubjectStatus.ACTIVE,
    "closed": SubjectStatus.ERASED,
    "已注销": SubjectStatus.ERASED,
    "注销": SubjectStatus.ERASED,
    "erased": SubjectStatus.ERASED,
    "已删除": SubjectStatus.ERASED,
    "删除": SubjectStatus.ERASED,
    "deceased": SubjectStatus.DECEASED,
    "已故": SubjectStatus.DECEASED,
    "身故": SubjectStatus.DECEASED,
}
"""Any other word means frozen."""
PERSONALISATION_ON = frozenset({"", "on", "开", "是", "1", "开启"})
"""Any other word means off."""
EVERYTHING = frozenset({"全部", "所有", "*", "all"})
ALL_MARKETING = "全部营销"
SEND_KINDS = {
    word: SendKind(key)
    for word, key in _words({"marketing": "营销", "service": "服务 通知", "solicitation": "征询"}).items()
}
NOT_SENT = frozenset({"失败", "空号", "failed"})
SEND_STATUSES = {
    word: SendStatus(key)
    for word, key in _words(
        {
            "delivered": "成功 发送成功 送达 已送达 success DELIVRD",
            "failed": "失败 发送失败 未送达 空号 failure UNDELIV REJECTD EXPIRED",
        }
    ).items()
}
"""Of the words of short-message gateways those of SMPP 3.4, table 5.1."""
IN_HOUSE = frozenset({"自有", "自营", "in_house"})
DUTY_WORDS = {
    word.casefold(): key
    for key, words in {
        "APPEND_OPTOUT_TEXT": ("附退订方式", "退订语"),
        "SHOW_SENDER_SIGNATURE": ("附签名", "签名"),
        "EMAIL_AD_PREFIX": ("标题注明广告", "广告标识"),
        "SEND_WINDOW": ("发送时段",),
        "FREQUENCY_REMAINING": ("频次",),
        "DROP_FIELDS": ("去除字段", "不含字段"),
        "USE_GENERIC_VARIANT": ("通用版本", "非个性化"),
        "REPORT_SEND": ("回报发送",),
    }.items()
    for word in (key, *words)
}
WX_ACTIONS = {
    word: WxAction(key)
    for word, key in _words({"accept": "接受 允许", "reject": "拒绝", "ban": "关闭 总是拒绝"}).items()
}
IDENTIFIERS = {
    "phone": IdentifierType.PHONE,
    "手机号": IdentifierType.PHONE,
    "手机": IdentifierType.PHONE,
    "email": IdentifierType.EMAIL,
    "邮箱": IdentifierType.EMAIL,
    "member_id": IdentifierType.MEMBER_ID,
    "会员号": IdentifierType.MEMBER_ID,
    "wechat_openid": IdentifierType.WECHAT_OPENID,
    "openid": IdentifierType.WECHAT_OPENID,
}
CARRIER_REASONS = frozenset({"运营商黑名单", "carrier_blacklist"})

_MEMBER_ID = ("会员号", "会员编号", "会员ID")
_PHONE = ("手机号", "手机", "手机号码", "联系电话")
_EMAIL = ("邮箱", "电子邮箱", "邮件地址")
_PROOF = ("凭证号", "证明编号")

MEMBER_COLUMNS: dict[str, tuple[str, ...]] = {
    "member_id": _MEMBER_ID,
    "name": ("姓名", "会员姓名"),
    "gender": ("性别",),
    "phone": _PHONE,
    "phone_bound_at": ("手机号绑定时间", "绑定时间"),
    "email": _EMAIL,
    "wechat_openid": ("OpenID", "微信OpenID"),
    "birth_date": ("出生日期", "生日"),
    "brand": ("品牌", "所属品牌"),
    "registered_at": ("注册时间", "注册日期"),
    "last_activity": ("最近活动", "最近消费日期"),
    "state": ("状态", "会员状态"),
    "import_batch": ("来源批次", "导入批次"),
    "personalisation": ("个性化", "个性化推荐开关"),
    "personalisation_off_at": ("个性化关闭时间",),
    "pause_until": ("暂停至", "免打扰至"),
    "restricted": ("限制处理",),
    "recycled_on": ("号码易主日期", "二次放号日期"),
}
CONSENT_COLUMNS: dict[str, tuple[str, ...]] = {
    "event_id": ("流水号", "事件号"),
    "member_id": _MEMBER_ID,
    "phone": _PHONE,
    "email": _EMAIL,
    "purpose": ("用途", "授权用途"),
    "channel": ("渠道", "触达渠道"),
    "recipient": ("接收方", "第三方"),
    "field_group": ("敏感组", "敏感信息组"),
    "act": ("动作", "操作"),
    "event_time": ("时间", "操作时间"),
    "point": ("采集点", "采集点编号"),
    "notice": ("告知版本", "协议版本"),
    "text_hash": ("文本哈希", "文本摘要"),
    "control": ("控件", "操作方式"),
    "pre_checked": ("默认勾选",),
    "bundle": ("捆绑", "授权方式"),
    "separate": ("单独", "单独同意"),
    "valid_until": ("有效期至",),
    "evidence": ("证据级别", "证据等级"),
    "proof": _PROOF,
}
OPTOUT_COLUMNS: dict[str, tuple[str, ...]] = {
    "received_at": ("接收时间", "回复时间"),
    "channel": ("渠道",),
    "identifier": ("号码", "标识"),
    "text": ("内容", "回复内容"),
    "port": ("端口", "端口号"),
    "brand": ("品牌",),
}
GUARDIAN_COLUMNS: dict[str, tuple[str, ...]] = {
    "member_id": ("会员号", "儿童会员号"),
    "guardian": ("监护人", "监护人姓名"),
    "relation": ("关系",),
    "purposes": ("同意用途", "用途"),
    "given_at": ("同意时间",),
    "withdrawn_at": ("撤回时间",),
    "proof": _PROOF,
}
SEND_COLUMNS: dict[str, tuple[str, ...]] = {
    "sent_at": ("发送时间",),
    "channel": ("渠道",),
    "identifier": ("接收标识", "接收人"),
    "campaign": ("活动",),
    "kind": ("类型", "消息类型"),
    "template": ("模板", "模板ID"),
    "status": ("状态",),
}
RECEIPT_COLUMNS: dict[str, tuple[str, ...]] = {
    "sent_at": ("发送时间", "下发时间"),
    "decision_id": ("决定编号", "决策编号"),
    "screening": ("筛查编号", "筛选编号"),
    "row_no": ("行号",),
    "identifier": ("接收标识", "接收人", "号码", *_PHONE, *_EMAIL),
    "identifier_type": ("标识类型",),
    "campaign": ("活动", "活动编号"),
    "channel": ("渠道", "触达渠道"),
    "recipient": ("服务商", "供应商", "接收方", "通道商"),
    "kind": ("类型", "消息类型"),
    "template": ("模板", "模板ID"),
    "met": ("已履行义务", "已履行"),
    "unmet": ("未履行义务", "未履行"),
    "status": ("状态", "发送状态"),
    "message_id": ("消息编号", "消息ID", "回执号"),
}
SUBSCRIPTION_COLUMNS: dict[str, tuple[str, ...]] = {
    "openid": ("OpenID",),
    "template": ("模板ID", "模板"),
    "action": ("动作",),
    "at": ("时间",),
}
SUPPRESSION_COLUMNS: dict[str, tuple[str, ...]] = {
    "type": ("类型", "标识类型"),
    "identifier": ("标识", "号码"),
    "scope": ("范围",),
    "reason": ("原因",),
    "added_at": ("加入时间",),
    "removed_at": ("移除时间",),
}


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The register's own words: ids and aliases of purposes and channels."""

    purposes: Mapping[str, str]
    channels: Mapping[str, str]
    marketing: frozenset[str]

    def purpose(self, text: str) -> str | None:
        return self.purposes.get(text.casefold())

    def channel(self, text: str) -> str | None:
        return self.channels.get(text.casefold())

    def restricted(self, text: str) -> frozenset[str]:
        """Read a cell that names restricted purposes; an unknown word restricts all marketing."""
        named: set[str] = set()
        for word in split_list(text):
            purpose = self.purpose(word)
            named |= {purpose} if purpose else self.marketing
        return frozenset(named)

    def guardian_purposes(self, text: str) -> frozenset[str]:
        """Read the purposes a guardian consented to; unknown words consent to nothing."""
        named: set[str] = set()
        for word in split_list(text):
            if word == ALL_MARKETING:
                named |= self.marketing
            elif purpose := self.purpose(word):
                named.add(purpose)
        return frozenset(named)


def word_map(entries: Iterable[tuple[str, Iterable[str]]]) -> dict[str, str]:
    """Return case-folded word → id for ids with their aliases."""
    return {word.casefold(): key for key, aliases in entries for word in (key, *aliases)}


def yes_no(text: str) -> bool | None:
    """Read a yes or no; anything else is unknown."""
    word = text.casefold()
    if word in YES:
        return True
    return False if word in NO else None
