from django.urls import path

from audit.api import views

app_name = "audit"
urlpatterns = [
    path("entries", views.EntriesView.as_view(), name="entries"),
    path("entries/query", views.EntryQueryView.as_view(), name="entry-query"),
    path("checkpoint", views.NewestCheckpointView.as_view(), name="checkpoint"),
    path("checkpoints", views.CheckpointsView.as_view(), name="checkpoints"),
    path("checkpoints/<str:size>", views.CheckpointView.as_view(), name="checkpoint-of"),
    path("proofs", views.ProofView.as_view(), name="proofs"),
    path("tile/<str:level>/<path:place>", views.TileView.as_view(), name="tile"),
]
