from django.urls import path

from guestbook import views

urlpatterns = [
    path("", views.home, name="home"),
    path("hello/", views.hello, name="hello"),
    path("guestbook/", views.entries, name="entries"),
    path("upload/", views.upload, name="upload"),
    path("upload/<path:name>", views.upload_raw, name="upload-raw"),
    path("stream/", views.stream, name="stream"),
    path("slow/", views.slow, name="slow"),
    path("visits/", views.visits, name="visits"),
    path("together/", views.together, name="together"),
    path("crash/", views.crash, name="crash"),
]
