"""What must hold before real people's data come in. `check --deploy` asks; production refuses to start without."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from audit.domain.roles import WEB
from audit.errors import ZhixuError
from audit.options import option
from audit.selectors.roles import role_faults
from audit.services.anchor_targets import anchor_targets
from governance.crypto.keyring import keyring


@register(Tags.security)
def keys_are_usable(app_configs: object, **kwargs: Any) -> Sequence[CheckMessage]:
    """Without its key ring the product can neither read nor find anybody: it does not start."""
    try:
        keyring()
    except ZhixuError as error:
        return [Error(str(error), hint="See docs/deploy.md, section keys.", id="zhixu.E001")]
    return []


@register(Tags.security, deploy=True)
def production_is_not_a_demo(app_configs: object, **kwargs: Any) -> Sequence[CheckMessage]:
    found: list[CheckMessage] = []
    if option("KEYRING_AUTOCREATE"):
        found.append(Error("The key ring is created by itself: a demo setting.", id="zhixu.E002"))
    if option("TENANT") in ("zhixu", "test"):
        hint = "Set ZHIXU_TENANT to a name of your own before data is stored; it can never change."
        found.append(Error("ZHIXU_TENANT is the default.", hint=hint, id="zhixu.E003"))
    if not str(option("BASE_URL")).startswith("https://"):
        found.append(Error("ZHIXU_BASE_URL is not https: customers' links would travel in clear.", id="zhixu.E004"))
    if not settings.CELERY_BROKER_URL:
        hint = "Set ZHIXU_BROKER_URL and run a worker, or accept that a restart delays running jobs."
        found.append(Warning("Jobs run inside the web process.", hint=hint, id="zhixu.W001"))
    return found


@register(Tags.security, deploy=True)
def heads_are_kept_outside(app_configs: object, **kwargs: Any) -> Sequence[CheckMessage]:
    """Whoever has the database can rewrite the ledger; only what is kept elsewhere shows it."""
    hint = "Set ZHIXU_ANCHORS; see docs/deploy.md, section anchors."
    try:
        targets = anchor_targets()
    except ZhixuError as error:
        return [Error(f"ZHIXU_ANCHORS: {error}.", hint=hint, id="audit.E010")]
    if len(targets) < 2:
        return [Error("The ledger's heads need two anchors or more.", hint=hint, id="audit.E010")]
    if not any(target.elsewhere for target in targets):
        return [Error("Every anchor is on the database's host: none is out of its reach.", hint=hint, id="audit.E010")]
    return []


@register(Tags.database, deploy=True)
def web_role_cannot_rewrite_the_ledger(app_configs: object, **kwargs: Any) -> Sequence[CheckMessage]:
    """Run with `--database default` and the web's DATABASE_URL. Production asks it again at every start."""
    if not kwargs.get("databases"):
        return []
    hint = "Run manage.py roles_create and give the web process the role zx_web; see docs/deploy.md."
    return [Error(f"The database role {fault}.", hint=hint, id="audit.E011") for fault in role_faults(WEB)]
