"""Citations of law as people read them: the rule book's short names, and the Chinese titles behind them."""

from __future__ import annotations

import re
from typing import Final

TITLES: Final = {
    "PIPL": "个人信息保护法",
    "AdLaw": "广告法",
    "NDSR": "网络数据安全管理条例",
    "MinorReg": "未成年人网络保护条例",
    "AlgoReg": "互联网信息服务算法推荐管理规定",
    "CPL": "消费者权益保护法",
    "CPLIR": "消费者权益保护法实施条例",
    "ECL": "电子商务法",
    "EmailReg": "互联网电子邮件服务管理办法",
    "NetTrade": "网络交易监督管理办法",
    "PriceReg": "明码标价和禁止价格欺诈规定",
    "SMSReg-2026": "通信短信息服务管理规定",
    "SPP-Crim": "侵犯公民个人信息刑事解释",
    "XBReg": "促进和规范数据跨境流动规定",
}
"""Short name of the rule book → Chinese title."""


_LISTS: Final = frozenset({"PIPL 13", "NDSR 22", "AdLaw 9", "EmailReg 12", "EmailReg 13"})
"""Articles that are lists: what stands in brackets after them is an item (项), elsewhere a paragraph (款)."""

_DIGITS: Final = "零一二三四五六七八九"


def citation(ref: str, language: str) -> str:
    """Return a citation such as `PIPL 24(2)` in words: the law is quoted in Chinese, in English by its short name."""
    name, _, place = ref.partition(" ")
    title = TITLES.get(name)
    if title is not None and language == "en":
        return ref
    if not place:
        return f"《{title}》" if title else ref
    return f"《{title or name}》{_place(name, place)}"


def _place(name: str, place: str) -> str:
    """Return `24(2)` as 第二十四条第二款, `22(4)` of a list as 第二十二条第（四）项, `3–5` as 第三条至第五条."""
    found = re.fullmatch(r"(\d{1,2})(?:\((\d)\)|–(\d{1,2}))?", place)
    if found is None:
        return place
    article, part, last = found.groups()
    words = f"第{_numeral(int(article))}条"
    if last:
        return f"{words}至第{_numeral(int(last))}条"
    if not part:
        return words
    numeral = _numeral(int(part))
    return f"{words}第（{numeral}）项" if f"{name} {article}" in _LISTS else f"{words}第{numeral}款"


def _numeral(number: int) -> str:
    """Return a number below 100 as law writes it: 二十四."""
    tens, ones = divmod(number, 10)
    head = "" if tens == 0 else "十" if tens == 1 else f"{_DIGITS[tens]}十"
    return head + (_DIGITS[ones] if ones or not tens else "")
