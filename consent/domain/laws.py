"""Citations of law as people read them: the rule book's short names, and the Chinese titles behind them."""

from __future__ import annotations

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


def citation(ref: str, language: str) -> str:
    """Return a citation such as `PIPL 24(2)` in words: the law is quoted in Chinese, in English by its short name.

    A number in brackets is a paragraph (款), or an item (项) where the article is a list.
    """
    name, _, place = ref.partition(" ")
    title = TITLES.get(name)
    if language == "en" or title is None:
        return ref if title is not None or not place else f"《{name}》{place}"
    return f"《{title}》{place}" if place else f"《{title}》"
