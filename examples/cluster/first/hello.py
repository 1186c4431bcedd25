# The site that nodes have before anything is applied.


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"first\n"]
