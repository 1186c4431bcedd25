# The part of the table that is about the program as a process: who it is, and where it is found.

from __future__ import annotations

from bigtop.config import values
from bigtop.config.option import Group, Option
from bigtop.config.values import maybe, one

NAME = Option(
    "-n --name",
    Group.PROCESS,
    maybe(values.name),
    "The site's name in process titles and logs; the application's top package unless given.",
    "NAME",
    also="proc_name",
)
USER = Option("-u --user", Group.PROCESS, maybe(values.user), "Run the application as this user.", "USER")
GROUP = Option(
    "-g --group",
    Group.PROCESS,
    maybe(values.group),
    "Run the application as this group; the user's own unless given.",
    "GROUP",
)
UMASK = Option(
    "-m --umask",
    Group.PROCESS,
    maybe(values.umask),
    "File mode bits that the application's new files do not get; unchanged unless given.",
    "OCTAL",
)
PID = Option(
    "-p --pid",
    Group.PROCESS,
    maybe(values.path),
    "Write the supervisor's process id here.",
    "FILE",
    also="pidfile",
)
DAEMON = Option(
    "-D --daemon",
    Group.PROCESS,
    one(values.switch),
    "Go on in the background and return once the site is served; log to a file then (--error-logfile).",
    default=("off",),
)
CONTROL = Option(
    "--control",
    Group.PROCESS,
    one(values.path),
    "Where bigtop ctl finds this site: a socket for this user alone; auto is one named after the site.",
    "auto|off|PATH",
    ("auto",),
    also="control_socket",
)
SERVER_HEADER = Option(
    "--server-header",
    Group.PROCESS,
    one(values.header_value),
    'The Server header of responses; "" sends none.',
    "TEXT",
    ("bigtop",),
)
