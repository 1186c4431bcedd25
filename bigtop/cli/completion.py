# Completion in bash, for words that need quotes there: click's own inserts them as they are.

from __future__ import annotations

import os
from typing import Any

from click.shell_completion import BashComplete, CompletionItem, add_completion_class

from bigtop.cli.words import quoted, unfinished

# Unlike click's: the shell neither splits a completion at its blanks nor takes backslashes out of it.
_SOURCE = """\
%(complete_func)s() {
    local response type value
    response=$(env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD %(complete_var)s=bash_complete $1)
    COMPREPLY=()
    while IFS=, read -r type value; do
        case $type in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain) COMPREPLY+=("$value") ;;
        esac
    done <<< "$response"
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""


class QuotingBash(BashComplete):
    source_template = _SOURCE

    def format_completion(self, item: CompletionItem) -> str:
        # bash looks for the beginning of a word behind a quote that is open, so that stays.
        value: Any = item.value
        if item.type == "plain":
            value = quoted(str(value), unfinished(os.environ["COMP_WORDS"]).quote, "bash")
        return f"{item.type},{value}"


def prepare() -> None:
    add_completion_class(QuotingBash)
