"""Plain words for the codes of the register, in both languages.

A retailer names his purposes himself: in Chinese his own name is shown. What he adds to the known codes is shown
by the name he gave it.
"""

from __future__ import annotations

from django.utils.translation import get_language, gettext
from django.utils.translation import gettext_lazy as _

from governance.domain.register import Purpose, Recipient

ENGLISH = "en"

_PURPOSES = {
    "marketing.promotion": (_("Promotions"), _("Offers, new products and events.")),
    "marketing.personalised": (_("Personalised offers"), _("Content chosen by what you bought or looked at.")),
    "marketing.winback": (_("Welcome back"), _("Offers after you have not shopped for a while.")),
    "marketing.survey": (_("Surveys"), _("Questions about our products and service.")),
}
_CHANNELS = {
    "sms": _("SMS"),
    "phone": _("Phone calls"),
    "email": _("Email"),
    "app_push": _("App notifications"),
    "popup": _("Pop-ups in the app"),
    "wx_sub": _("WeChat one-time messages"),
    "wx_template": _("WeChat template messages"),
}
_GROUPS = {
    "health": _("health information"),
    "financial": _("financial information"),
    "identity": _("identity documents"),
    "face": _("face recognition data"),
    "child": _("information about a child"),
    "intimate": _("intimate purchases"),
    "location": _("precise location"),
}
_COUNTRIES = {
    "HK": _("Hong Kong, China"),
    "MO": _("Macao, China"),
    "TW": _("Taiwan, China"),
    "SG": _("Singapore"),
    "US": _("United States"),
    "JP": _("Japan"),
    "KR": _("South Korea"),
    "GB": _("United Kingdom"),
    "DE": _("Germany"),
    "FR": _("France"),
    "AU": _("Australia"),
}


def purpose_name(purpose: Purpose) -> str:
    """Return the retailer's own name in Chinese, and ours in English where the code is known."""
    known = _PURPOSES.get(purpose.id)
    if known and (get_language() == ENGLISH or purpose.name in ("", purpose.id)):
        return str(known[0])
    return purpose.name or purpose.id


def purpose_about(code: str) -> str:
    """Return one sentence on what a purpose means for the person; empty for codes we do not know."""
    return str(_PURPOSES[code][1]) if code in _PURPOSES else ""


def channel_name(code: str, name: str) -> str:
    return str(_CHANNELS.get(code, name or code))


def channel_place(code: str) -> int:
    """Return the place of a channel in a list: what rings and buzzes most comes first."""
    return list(_CHANNELS).index(code) if code in _CHANNELS else len(_CHANNELS)


def group_name(code: str) -> str:
    return str(_GROUPS.get(code, code))


def recipient_name(recipient: Recipient) -> str:
    """Return the recipient's name, with the country if that is not the mainland."""
    if not recipient.abroad:
        return recipient.name
    country = str(_COUNTRIES.get(recipient.country, recipient.country))
    return gettext("%(name)s (%(country)s)") % {"name": recipient.name, "country": country}
