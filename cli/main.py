"""`consortium`: words to commands, rows to tables. Everything heavy is imported by the command that needs it."""

from __future__ import annotations

import os
import sys
from typing import Final

from cyclopts import App, CycloptsError

app: Final = App(
    name="consortium",
    help="Runs a consortium that funds open AI models together: durable processes over one verifiable log.",
    version_flags=[],
    result_action="return_value",
)
app.command("cli.running:up", name="up", help="Run everything here: Temporal with its UI, a worker, the log in a folder.")
app.command("cli.demo:demo", name="demo", help="Play a founding and a first funded round, on the real parts.")
app.command("cli.running:work", name="worker", help="Run a worker against the Temporal and the log of the environment.")
app.command("cli.running:recover", name="recover", help="Start every unfinished process again from the log.")
app.command("cli.running:rebuild", name="rebuild", help="Make the read models anew from the log, while the system runs.")
app.command("cli.reading:status", name="status", help="What runs, what needs attention, and what is due next.")
app.command("cli.reading:members", name="members", help="All members and applicants.")
app.command("cli.reading:proposals", name="proposals", help="All proposals.")
app.command("cli.reading:rounds", name="rounds", help="All funding rounds, with their money by state.")
app.command("cli.reading:show", name="show", help="One process: where it stands, what it owes, who is waited for.")
app.command("cli.reading:log", name="log", help="The log, entry by entry; --follow waits for more.")
app.command("cli.reading:inbox", name="inbox", help="What waits for a person, and by when.")
app.command("cli.reading:who_represents", name="who-represents", help="Who speaks for an organisation, as of any date.")
app.command("cli.reading:verify", name="verify", help="Check the hash chain of the whole log.")
app.command("cli.charters:app", name="charter", help="Check a charter, or show the one in force.")
app.command("cli.commands:consortium", name="consortium", help="Commands: the founding, the officers, the charter.")
app.command("cli.commands:member", name="member", help="Commands of memberships.")
app.command("cli.commands:proposal", name="proposal", help="Commands of proposals and votes.")
app.command("cli.commands:round_", name="round", help="Commands of funding rounds.")
app.command("cli.commands:retry", name="retry", help="Try a failed step again.")
app.command("cli.commands:waive", name="waive", help="Live without a failed step, with the reason.")


def main() -> None:
    """Runs the command line and ends the process with its exit code: 0 done, 1 broken, 2 refused, 3 unreachable, 4 bad input."""
    try:
        result = app(sys.argv[1:], exit_on_error=False, print_error=False)
        code = result if isinstance(result, int) else 0
    except KeyboardInterrupt:
        code = 130
    except CycloptsError as error:
        code = _bad_usage(error)
    except Exception as error:  # noqa: BLE001  the last resort: one clear message instead of a trace
        from cli.errors import explained

        code = explained(error, as_json="--json" in sys.argv)
    _leave(code)


def _bad_usage(error: CycloptsError) -> int:
    text = " ".join(str(error).split())
    print(f"bad input: {text} (see --help)", file=sys.stderr)
    return 4


def _leave(code: int) -> None:
    """Ends without the interpreter's shutdown, in which Temporal's client can crash on Python 3.11."""
    sys.stdout.flush()
    sys.stderr.flush()
    if "temporalio" in sys.modules:
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    main()
