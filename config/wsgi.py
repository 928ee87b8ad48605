"""The WSGI entry: gunicorn config.wsgi:application."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.production")
application = get_wsgi_application()

from audit.domain.roles import WEB  # noqa: E402 - Django is set up first
from audit.services.roles import role_guard  # noqa: E402

role_guard(WEB)
