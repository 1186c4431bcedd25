# A site that cannot be imported.

import no_such_module_anywhere


def application(environ, start_response):
    return no_such_module_anywhere.answer(environ, start_response)
