from django.contrib import admin
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from oauth2_provider.views.base import TokenView

from config import health
from consent.api import authzen

urlpatterns = [
    path("admin/", admin.site.urls),
    path("i18n/", include("django.conf.urls.i18n")),
    path("c/", include("consent.web.urls")),
    path("api/v1/", include("consent.api.urls")),
    path("api/v1/audit/", include("audit.api.urls")),
    path("api/schema/", SpectacularAPIView.as_view(permission_classes=[], authentication_classes=[]), name="schema"),
    path(
        "api/docs/",
        SpectacularSwaggerSplitView.as_view(permission_classes=[], authentication_classes=[]),
        name="docs",
    ),
    path("access/v1/evaluation", authzen.evaluation),
    path("access/v1/evaluations", authzen.evaluations),
    path(".well-known/authzen-configuration", authzen.configuration),
    path("oauth/token/", csrf_exempt(TokenView.as_view()), name="token"),
    path("healthz", health.alive),
    path("readyz", health.ready),
]

handler400 = "config.error_pages.bad_request"
handler403 = "config.error_pages.forbidden"
handler404 = "config.error_pages.not_found"
handler500 = "config.error_pages.server_error"
