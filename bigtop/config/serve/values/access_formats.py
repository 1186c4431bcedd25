# Formats of the access log as they are given: a name, gunicorn's atoms or nginx's variables.

from __future__ import annotations

from bigtop.errors import ConfigError, one_line
from bigtop.http.access_log import access_names


def checked(text: str, origin: str, *, has_logger: bool) -> str:
    """Return a format that workers understand: a name of a whole line, or in gunicorn's language.

    Where a class of gunicorn's kind logs (`has_logger`) the text is for that, which may have atoms of its
    own. ConfigError names the `origin`.
    """
    if has_logger:
        if text in access_names.NAMES:
            raise ConfigError(f"{origin}: {text} is for Bigtop's own log, and here a logger class writes it")
        return text
    try:
        access_names.formatter_of(text)
        return access_names.translated(text)
    except ConfigError as error:
        raise ConfigError(one_line(f"{origin}: {error}")) from None
