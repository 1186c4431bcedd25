# The application of whole sites, for a user who may not have one more process.

import resource

from tests.apps.site import app as app

resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
