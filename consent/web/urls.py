"""The customer's own pages, under /c/."""

from django.urls import path

from consent.web import views

app_name = "preferences"
urlpatterns = [
    path("", views.preferences, name="page"),
    path("notices/<str:code>/<int:version>/", views.notice, name="notice"),
    path("receipts/<str:number>/", views.receipt, name="receipt"),
    path("<path:token>/", views.open_link, name="open"),  # whatever it is: every dead link gets the same page
]
