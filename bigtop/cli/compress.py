# `bigtop compress DIR`: encoded neighbours for static files.

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import click

from bigtop.backends.native.codings import coding_libraries
from bigtop.cli import precompression
from bigtop.cli.precompression import Neighbour, State
from bigtop.config.serve.cpu_quota import available_cpus
from bigtop.config.serve.values import answer_values
from bigtop.errors import ConfigError, one_line
from bigtop.http.answers.codings import CODINGS
from bigtop.http.declarations import COMPRESSED_LEAST
from bigtop.sizes import size as size_of

_HELP = """\
Compress static files once, so that they are sent compressed ever after.

Beside each file in DIR that gains by it, writes one of .zst, .br and .gz for each encoding that is installed.
Servers with --static send the one that a client takes. Files that have not changed since are skipped; run it
behind each `collectstatic`.
"""


def _codings(_context: click.Context, _parameter: click.Parameter, given: str) -> tuple[str, ...]:
    try:
        found = answer_values.codings([given])
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    if not found:
        raise click.BadParameter("name some of zstd, br and gzip, or auto")
    return found


def _types(_context: click.Context, _parameter: click.Parameter, given: str) -> tuple[str, ...]:
    try:
        return tuple(answer_values.media_type(part.strip()) for part in given.split(",") if part.strip())
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _size(_context: click.Context, _parameter: click.Parameter, given: str) -> int:
    try:
        return size_of(given)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command("compress", help=_HELP)
@click.argument("folders", metavar="DIR...", nargs=-1, required=True, type=click.Path())
@click.option(
    "--with",
    "codings",
    default="auto",
    callback=_codings,
    metavar="auto|LIST",
    help="Some of zstd, br and gzip; auto is all that are installed.",
)
@click.option(
    "--types",
    default=",".join(precompression.TYPES),
    callback=_types,
    metavar="LIST",
    help="The media types of files that are compressed; * stands for any word.",
)
@click.option(
    "--min",
    "least",
    default=str(COMPRESSED_LEAST),
    callback=_size,
    metavar="SIZE",
    show_default=True,
    help="Leave smaller files out.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1, 256),
    help="So many files at once; as many as there are CPUs unless given.",
)
@click.option("--dry-run", "dry", is_flag=True, help="Say what would be made, and make nothing.")
@click.option("--json", "as_json", is_flag=True, help="Say it as one JSON object.")
def command(
    folders: tuple[str, ...],
    codings: tuple[str, ...],
    types: tuple[str, ...],
    least: int,
    jobs: int | None,
    dry: bool,
    as_json: bool,
) -> None:
    for folder in folders:
        if not os.path.isdir(folder):
            raise ConfigError(f"there is no directory {one_line(folder)}")
    paths = [path for folder in folders for path in precompression.files(folder, types, least)]
    found: list[Neighbour] = []
    for made in _all(paths, codings, jobs or available_cpus(), dry):
        found += made
        for one in made:
            _tell(one, as_json)
    if as_json:
        click.echo(json.dumps(_summary(found) | {"files": [_facts(one) for one in found]}))
    else:
        click.echo(_words(found, len(paths)))
        missing = [coding for coding in CODINGS if coding_libraries.problem(coding)]
        if missing and codings == coding_libraries.installed():
            click.echo(f"bigtop: without {' and '.join(missing)}: pip install 'bigtop[compress]'", err=True)
    if any(one.state is State.FAILED for one in found):
        sys.exit(1)


def _all(paths: Sequence[str], codings: Sequence[str], jobs: int, dry: bool) -> Iterator[list[Neighbour]]:
    """Yield what became of each file. At most `jobs` of them are in memory: the libraries let go of the
    interpreter while they work, so threads do."""
    with ThreadPoolExecutor(jobs) as pool:
        started: list[Future[list[Neighbour]]] = [
            pool.submit(precompression.compress, path, codings, dry=dry) for path in paths
        ]
        try:
            for future in started:
                yield future.result()
        except BaseException:  # and whoever presses Ctrl-C does not wait for all others
            pool.shutdown(cancel_futures=True)
            raise


def _tell(one: Neighbour, quiet: bool) -> None:
    name = one_line(one.file)
    if one.state is State.FAILED:
        click.echo(f"bigtop: {name}: {one.reason}", err=True)
    elif not quiet and one.state is State.WANTED:
        click.echo(f"would make {name} of {one.size} bytes")
    elif not quiet and one.state is State.WRITTEN and one.made is not None:
        click.echo(f"{name}: {one.made} bytes, {100 * one.made / one.size:.0f} %")


def _facts(one: Neighbour) -> dict[str, object]:
    facts: dict[str, object] = {
        "path": one.path,
        "encoding": one.encoding,
        "state": str(one.state),
        "size": one.size,
    }
    if one.made is not None:
        facts["encoded"] = one.made
    return facts | ({"reason": one.reason} if one.reason else {})


def _summary(found: Iterable[Neighbour]) -> dict[str, object]:
    counts = Counter(one.state for one in found)
    return {str(state): counts[state] for state in State}


def _words(found: Sequence[Neighbour], files: int) -> str:
    counts = Counter(one.state for one in found)
    saved = sum(one.size - (one.made or 0) for one in found if one.state is State.WRITTEN)
    parts = (
        [f"{counts[State.WRITTEN]} made"]
        if State.WANTED not in counts
        else [f"{counts[State.WANTED]} to make"]
    )
    parts.append(f"{counts[State.CURRENT]} of now")
    if counts[State.LARGE]:
        parts.append(f"{counts[State.LARGE]} would save nothing")
    if counts[State.FAILED]:
        parts.append(f"{counts[State.FAILED]} failed")
    saving = f"; {saved} bytes saved" if saved else ""
    return f"{files} files: {', '.join(parts)}{saving}"
