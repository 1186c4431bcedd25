# Settings fit for production behind Bigtop. All that differs between two machines comes from the environment:
#
#     DJANGO_SECRET_KEY       the key; without it one is made and kept in the data directory (good for a demo)
#     DJANGO_ALLOWED_HOSTS    names this site answers to, separated by commas (default: this machine only)
#     DJANGO_HTTPS            1 when browsers reach the site over https
#     DJANGO_DEBUG            1 for Django's debug pages; never on a public machine
#     DJANGO_DATA             where the site writes (default: var/ beside manage.py)

import os
from pathlib import Path

from mysite.secret import key_in


def flag(name: str) -> bool:
    return os.environ.get(name, "") in {"1", "yes", "true", "on"}


BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(os.environ.get("DJANGO_DATA", BASE_DIR / "var"))
DATA_DIR.mkdir(parents=True, exist_ok=True)

# ---- security

DEBUG = flag("DJANGO_DEBUG")
SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY") or key_in(DATA_DIR / "secret_key")
ALLOWED_HOSTS = os.environ.get("DJANGO_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]").split(",")

if flag("DJANGO_HTTPS"):
    # TLS ends at a proxy, which says so in X-Forwarded-Proto. Bigtop believes that header from proxies named
    # by --forwarded-allow-ips (this machine unless told otherwise) and passes the scheme on to Django. So
    # SECURE_PROXY_SSL_HEADER is not set: it would make Django believe the header from anybody.
    SECURE_SSL_REDIRECT = True
    SECURE_HSTS_SECONDS = 3600  # raise it once you are sure that you never go back to http
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True

# ---- the application

INSTALLED_APPS = [
    "guestbook",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "mysite.urls"
WSGI_APPLICATION = "mysite.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

USE_TZ = True

# ---- the database

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": DATA_DIR / "db.sqlite3",
        # A worker keeps its connection between requests. Each worker opens its own, after the fork.
        "CONN_MAX_AGE": 600,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            # Several workers write to one file. WAL lets the others read meanwhile; IMMEDIATE takes the write
            # lock when a transaction begins, where waiting for it works: a transaction that reads first and
            # asks for the lock later is refused at once, whatever the timeout.
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
        },
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# ---- static files: `manage.py collectstatic` puts them in STATIC_ROOT, under names that contain their hash,
# and `bigtop serve --static /static=var/static` answers for them

STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"},
}

# ---- logs: to stderr. Django's own default with DEBUG off is to mail errors and to drop the rest.

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(levelname)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {"django": {"handlers": [], "propagate": True}},
}
