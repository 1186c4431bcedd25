# `python -m bigtop` is `bigtop`.

from bigtop.cli.main import main

main()
