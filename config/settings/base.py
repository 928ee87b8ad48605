"""Settings shared by every environment."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _

from config import env

BASE_DIR = env.ROOT
SECRET_KEY = env.SECRET_KEY
ALLOWED_HOSTS = env.ALLOWED_HOSTS
DEBUG = False

ZHIXU: dict[str, Any] = {
    "TENANT": env.TENANT,  # enters keys and encrypted data: never change it once data is stored
    "KEYRING": env.KEYRING,
    "KEYRING_AUTOCREATE": False,
    "STATE": env.STATE,
    "AUDIENCES": env.STATE / "audiences",  # where the audience files that campaigns name are found
    "BASE_URL": env.BASE_URL,
    "CHECK_TTL_SECONDS": 60,
    "SCREENING_TTL_HOURS": 24,
    "BATCH_MAX_ITEMS": 1000,
    "UPLOAD_MAX_BYTES": 1 << 30,
    "BODY_MAX_BYTES": 1 << 20,
    "TRUSTED_PROXIES": env.TRUSTED_PROXIES,
    "SIGNER": "governance.services.signers.signer",
    "VERIFIERS": "governance.services.signers.verifiers",
    "SUBJECT_OF": "consent.api.subjects.subject_ref_of",
    "SUBJECTS_FIND": "consent.services.people.people_refs",
    "GUARD_ROLES": False,  # production: no process starts under a database role that can rewrite the ledger
    # What tables hold decides which database role may do what with them (audit/domain/roles.py).
    "ROLE_TABLES": {
        "keys": ["governance_data_key", "governance_epoch_key"],
        "doors": [
            "auth_",
            "django_session",
            "django_admin_log",
            "oauth2_provider_",
            "governance_api_client",
            "governance_idempotency_record",
        ],
        "hidden": ["consent_preference_link"],
        "staged": {"consent_decision": ["SELECT"], "consent_decision_seal": ["SELECT", "INSERT"]},
    },
    "ANCHORS": env.ANCHORS,  # where signed heads are kept outside the database (docs/deploy.md)
    "EXPORTERS": ["consent.selectors.evidence.evidence_files"],  # what apps add to an export of the ledger
    # What stages entries of its own just before the ledger is sequenced.
    "LEDGER_STAGERS": ["consent.services.decision_seals.decisions_seal"],
}

INSTALLED_APPS = [
    "config.apps.ZhixuAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.postgres",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "oauth2_provider",
    "csp",
    "audit",
    "governance",
    "consent",
]

MIDDLEWARE = [
    "config.middleware.LeanPaths",
    "config.middleware.RequestId",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "config.middleware.DeniedAccess",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

LEAN_PATHS = {
    "/api/v1/decisions/check": "consent.api.lean.check",
    "/api/v1/decisions/check-batch": "consent.api.lean.check_batch",
    "/access/v1/evaluation": "consent.api.authzen.evaluation",
    "/access/v1/evaluations": "consent.api.authzen.evaluations",
}

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "config" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

DATABASES = {
    "default": env.DATABASE
    | {
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": True,
        # prepare_threshold: without it psycopg prepares nothing, and planning a check costs ten times deciding it.
        # A generic plan is right for it: every look-up in it is by key.
        "OPTIONS": env.DATABASE.get("OPTIONS", {})
        | {
            "application_name": "zhixu",
            "prepare_threshold": 5,
            "options": "-c jit=off -c plan_cache_mode=force_generic_plan",
        },
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

LANGUAGE_CODE = "zh-hans"
LANGUAGES = [("zh-hans", _("Simplified Chinese")), ("en", _("English"))]
LOCALE_PATHS = [BASE_DIR / "config" / "locale"]
TIME_ZONE = "Asia/Shanghai"
USE_TZ = True

EMAIL_HOST = env.EMAIL["EMAIL_HOST"]
EMAIL_PORT = env.EMAIL["EMAIL_PORT"]
EMAIL_HOST_USER = env.EMAIL["EMAIL_HOST_USER"] or ""
EMAIL_HOST_PASSWORD = env.EMAIL["EMAIL_HOST_PASSWORD"] or ""
EMAIL_USE_TLS = env.EMAIL.get("EMAIL_USE_TLS", False)
EMAIL_USE_SSL = env.EMAIL.get("EMAIL_USE_SSL", False)
EMAIL_TIMEOUT = 20
DEFAULT_FROM_EMAIL = env.MAIL_FROM

STATIC_URL = "static/"
STATIC_ROOT = env.STATE / "static"
STATICFILES_DIRS = [BASE_DIR / "config" / "static"]

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
}
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CONTENT_TYPE_NOSNIFF = True
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_AGE = 8 * 3600
CSRF_COOKIE_HTTPONLY = True
CSRF_FAILURE_VIEW = "config.error_pages.csrf_failure"
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 << 20

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["governance.api.authentication.ClientAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["governance.api.permissions.HasScope"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "config.api_errors.problem_handler",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Zhixu 知许",
    "DESCRIPTION": "Consent and data governance for retail marketers: decisions with reasons, screenings with proof.",
    "VERSION": "v1",
    "OAS_VERSION": "3.1.1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PUBLIC": True,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "AUTHENTICATION_WHITELIST": [],
    "POSTPROCESSING_HOOKS": ["config.schema.add_lean_paths"],
}

OAUTH2_PROVIDER_APPLICATION_MODEL = "governance.APIClient"
OAUTH2_PROVIDER = {
    "ACCESS_TOKEN_EXPIRE_SECONDS": 3600,
    "REFRESH_TOKEN_REUSE_PROTECTION": True,
    "ALLOWED_REDIRECT_URI_SCHEMES": ["https"],
    "SCOPES_BACKEND_CLASS": "governance.api.authentication.ClientScopes",
    "COMPLIANT_BCP_RFC9700_IMPLICIT_GRANT": True,
    "COMPLIANT_BCP_RFC9700_PASSWORD_GRANT": True,
    "COMPLIANT_BCP_RFC9700_PKCE_METHOD": True,
    "COMPLIANT_BCP_RFC9700_ACCESS_TOKEN_TRANSPORT": True,
    "COMPLIANT_BCP_RFC9700_AUTHZ_RESPONSE_ISS": True,
    "COMPLIANT_BCP_RFC9700_TOKEN_STORAGE": True,
    "COMPLIANT_BCP_RFC9700_REFRESH_TOKEN": True,
    "COMPLIANT_BCP_RFC9700_REDIRECT_URI_SCHEME": True,
    "COMPLIANT_BCP_RFC9700_REDIRECT_URI_MATCHING": True,
    "COMPLIANT_BCP_RFC9700_PKCE_REQUIRED": True,
}

CELERY_BROKER_URL = env.BROKER_URL
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_IGNORE_RESULT = True
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 1800}
CELERY_WORKER_MAX_TASKS_PER_CHILD = 500
CELERY_BEAT_SCHEDULE = {
    "sweep": {"task": "consent.jobs_sweep", "schedule": 60.0},
    "verify": {"task": "audit.ledger_verify", "schedule": 3600.0},  # once a day; this often it looks whether it is due
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name} {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {"django.request": {"level": "ERROR"}},  # a refused call is no news; what we broke is
}
