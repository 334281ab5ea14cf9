"""`consortium`: words to commands, read models to tables. What a command needs is imported when it is given."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, Final, NoReturn

from cyclopts import App, CycloptsError, Group

from cli.options import EXIT_CODES

RUN, LOOK, ACT, KEYS, REST = (Group.create_ordered(name) for name in ("Run it", "Look", "Act", "Keys", "Help"))
COMMANDS: Final = {
    "up": ("cli.up:up", RUN, "Run everything in a folder: Temporal with its UI, a worker, the log."),
    "demo": ("cli.demo:demo", RUN, "Play a consortium from its founding to its first model."),
    "advance": ("cli.up:advance", RUN, "Let a rehearsal's time pass at once, like 14d."),
    "worker": ("cli.up:work", RUN, "Run one worker of many, on the log and the Temporal that the environment names."),
    "recover": ("cli.keep:recover", RUN, "Start every unfinished process again from the log."),
    "migrate": ("cli.keep:migrate", RUN, "Bring the log's schema to this release, as its owner."),
    "rebuild": ("cli.keep:rebuild", RUN, "Make the lists anew from the log."),
    "status": ("cli.look:status", LOOK, "Show what is under way, what needs attention, and what is due."),
    "doctor": ("cli.doctor:doctor", LOOK, "Look whether all is well, and name a remedy for what is not."),
    "members": ("cli.look:members", LOOK, "List the members and applicants."),
    "proposals": ("cli.look:proposals", LOOK, "List the proposals."),
    "rounds": ("cli.look:rounds", LOOK, "List the funding rounds."),
    "runs": ("cli.look:runs", LOOK, "List the training runs."),
    "releases": ("cli.look:releases", LOOK, "List the releases of models."),
    "show": ("cli.look:show", LOOK, "Show one process, like round/atlas-1."),
    "log": ("cli.look:log", LOOK, "Show the entries of the log, and follow it."),
    "inbox": ("cli.look:inbox", LOOK, "Show what waits for a person, and until when."),
    "who-represents": ("cli.look:who_represents", LOOK, "Show who speaks for an organisation, now or at a time."),
    "outlook": ("cli.outlook:outlook", LOOK, "Tell what happens from here on if nobody acts any more."),
    "receipts": ("cli.receipts:receipts", LOOK, "Check that the log still holds everything of which receipts are kept here."),
    "verify": ("cli.keep:verify", LOOK, "Check that the log is whole and unchanged."),
    "export": ("cli.keep:export", LOOK, "Write the log to a file that anybody can check."),
    "audit": ("cli.audit:audit", LOOK, "Check such a file: signatures, decisions, checkpoint; nothing else is needed."),
    "export-signature": ("cli.audit:export_signature", LOOK, "Write what an entry's person signed, for `ssh-keygen` to judge."),
    "registry": ("cli.books:registry", LOOK, "List the releases of models, now or as of a time."),
    "ledger": ("cli.books:ledger", LOOK, "Show the ledger, or export it to Beancount or hledger."),
    "plot": ("cli.books:plot", LOOK, "Draw a training run, in the terminal or as SVG."),
    "openness": ("cli.openness:openness", LOOK, "Tell how open models are that are described in YAML."),
    "example": ("cli.example:example", LOOK, "Print a filled-in file for a command, or another file that people write."),
    "charter": ("cli.charter:app", LOOK, "Check a charter, or show the one in force."),
    "consortium": ("cli.processes:consortium", ACT, "Found it; officers, their keys, the charter."),
    "member": ("cli.processes:member", ACT, "Apply, sign, name representatives, leave."),
    "proposal": ("cli.processes:proposal", ACT, "Propose, vote, step back from a conflict."),
    "round": ("cli.processes:round", ACT, "Open rounds, pledge, call, deliver, spend, refund."),
    "release": ("cli.processes:release", ACT, "Walk a model to the public: stages, gates, holds, early access."),
    "run": ("cli.processes:run", ACT, "Plan a run, start it, claim and accept milestones."),
    "treasury": ("cli.processes:treasury", ACT, "Import statements, match money, approve payees and payments."),
    "import-statement": ("cli.bank:import_statement", ACT, "Import a bank statement (camt.053) from a file."),
    "retry": ("cli.keep:retry", ACT, "Try a failed step again."),
    "waive": ("cli.keep:waive", ACT, "Live without a failed step."),
    "key": ("cli.keys:app", KEYS, "Make keys, ask for them to be enrolled, enrol, rotate and revoke them; who has which."),
}
"""Where each command is, in which panel of the help, and what it does. Processes are here by their name in the catalog."""

app: Final = App(
    name="consortium",
    help="Runs a consortium that funds open AI models together, over one verifiable log.",
    help_epilogue=EXIT_CODES,
    help_format="plaintext",
    version=lambda: version("open-model-consortium"),
    group_commands=REST,
    result_action="return_value",
)
for _number, (_name, (_path, _panel, _help)) in enumerate(COMMANDS.items()):
    app.command(_path, name=_name, help=_help, group=_panel, sort_key=_number)


def run(tokens: Sequence[str]) -> int:
    """Carries out a command line; its exit code. Errors are told in one message on stderr, with `--json` as one JSON object."""
    try:
        app(list(tokens), exit_on_error=False, print_error=False)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001  whatever it is, a person gets a message
        return show_failure(error, as_json="--json" in tokens)
    return 0


def main() -> NoReturn:
    """Runs the command of this process, and ends it: Temporal's client may crash in the interpreter's own farewell."""
    code = run(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def show_failure(error: Exception, *, as_json: bool) -> int:
    """Says on stderr what went wrong, and what to do about it; the exit code."""
    from cli.failures import BadInput, translated, usage

    if _debugging():
        traceback.print_exception(error)
    failure = BadInput(usage(error), "see --help") if isinstance(error, CycloptsError) else translated(error)
    told: dict[str, Any] = {"error": failure.name, "message": failure.message, "remedy": failure.remedy, **failure.details}
    if as_json:
        print(json.dumps(told), file=sys.stderr)
    else:
        from cli.output import plain

        print(plain(_sentence(told), keep="\n"), file=sys.stderr)
    return failure.code


def _debugging() -> bool:
    from settings import in_force

    try:
        return in_force().debug
    except ValueError:  # what is wrong with the settings is being told already
        return False


def _sentence(told: dict[str, Any]) -> str:
    rule = f" {told['rule']}:" if "rule" in told else ""
    lines = [f"{told['error']}:{rule} {told['message']}"]
    lines += [
        f"  {name}: {told[key]}"
        for key, name in (
            ("clause", "charter clause"),
            ("remedy", "remedy"),
            ("position", "accepted at position"),
            ("command_id", "command id"),
            ("unseen", "not seen on the log"),
            ("unkept", "the receipt is not kept"),
        )
        if told.get(key)
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
