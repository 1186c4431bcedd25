# What Bigtop serves: `bigtop serve mysite.wsgi:application`.
#
# Rule: importing this file opens no database connection and starts no thread. Then Bigtop can import it once
# and fork the workers from that one process: they share memory, and a new one takes milliseconds.

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")

application = get_wsgi_application()
