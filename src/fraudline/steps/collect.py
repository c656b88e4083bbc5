"""New data from the stream: matured days of decided transactions become the data set's next version, on a branch.

    topics decisions + transactions + labels -> join -> validate -> screen -> dvc add -> commit -> pull request

A decision names its record by partition and offset, so the transaction is taken as it came. Everything is made in a
temporary clone; the same topics and day give the same data, the same commit and the same branch, so that doing it
twice, or again after a kill anywhere, makes one branch.
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Set
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from fraudline.core.clock import DAY_US, day_us, to_us
from fraudline.core.errors import DataError, SchemaError, UnavailableError, UsageError
from fraudline.core.files import read_json
from fraudline.core.log import get_logger
from fraudline.data.schema import TRANSACTIONS
from fraudline.data.store import days, read_labels, read_meta, read_transactions, write_dataset
from fraudline.decide.policy import BLOCK, DECISIONS
from fraudline.ops.gitops.forge import open_forge
from fraudline.ops.gitops.repository import Clone, address_of
from fraudline.steps.collect_stream import LEFT_OUT, META, Stream, read_stream, remembered
from fraudline.steps.dvc_files import parse_dvc_file
from fraudline.steps.featurize import featurize
from fraudline.steps.matured import Window
from fraudline.steps.params import Params
from fraudline.steps.screen import screen
from fraudline.steps.validate import validate
from fraudline.stream.labels import labels_table
from fraudline.stream.transaction_topic import transactions_table

log = get_logger(__name__)

_BLOCKED = DECISIONS[BLOCK]
_TAIL = 300
_ERROR = "ERROR: "
"""What dvc begins a line with that says why it fails; with ``--quiet`` it says nothing at all."""


def joined(
    stream: Stream, before: Path | None, window: Window, leave_out: Set[str] = frozenset()
) -> tuple[pa.Table, pa.Table, dict[str, int]]:
    """The next version of the data set.

    A blocked transaction that nobody looked at is left out: it never gets a chargeback, so without a label it would
    count as normal. A transaction that the data set has already stays as it is; a label that holds replaces an earlier.

    Args:
        stream: what the topics hold.
        before: the present version; None for none.
        window: days to keep.
        leave_out: cards of which nothing is added.

    Returns:
        Transactions, labels, and counts: ``new``, ``unknown`` (blocked, without a label), ``gone`` (no longer in the
        topic), ``left_out`` (of the cards to leave out), ``relabelled`` (rows that were there and whose label came,
        changed or went).

    Raises:
        SchemaError: a label is dated before its transaction; names it.
    """
    old = read_transactions(before) if before is not None else TRANSACTIONS.empty_table()
    old_labels = read_labels(before) if before is not None else None
    known = set(old["transaction_id"].to_pylist())
    rows, unknown, gone, left_out = [], 0, 0, 0
    for name, each in sorted(stream.decided.items()):
        transaction = stream.transactions.get((each.partition, each.offset))
        if name in known:
            continue
        if transaction is None:
            gone += 1
        elif transaction.card_id in leave_out:
            left_out += 1
        elif each.decision == _BLOCKED and name not in stream.labels:
            unknown += 1
        else:
            rows.append(transaction)
    transactions = pa.concat_tables([old, transactions_table(rows)])
    numbers = transactions["event_time"].cast(pa.int64()).to_numpy() // DAY_US
    kept = (numbers < window.end) & (numbers >= (window.first if window.first is not None else numbers.min(initial=0)))
    transactions = transactions.filter(pa.array(kept))
    labels = labels_table(stream.labels, old_labels)
    ids = transactions["transaction_id"].combine_chunks()
    relabelled = 0
    labels = labels.filter(pc.is_in(labels["transaction_id"], ids))
    _check_dates(labels, transactions)
    if old_labels is not None:
        was, now = (_by_id(table, known & set(ids.to_pylist())) for table in (old_labels, labels))
        relabelled = sum(was.get(name) != now.get(name) for name in was.keys() | now.keys())
    counts = {"new": len(rows), "unknown": unknown, "gone": gone, "left_out": left_out, "relabelled": relabelled}
    return transactions, labels, counts


def _check_dates(labels: pa.Table, transactions: pa.Table) -> None:
    """A label before its transaction would be told to the features before the fact."""
    place = pc.index_in(labels["transaction_id"], transactions["transaction_id"].combine_chunks())
    early = labels.filter(pc.less(labels["label_time"], transactions["event_time"].take(place)))
    if early.num_rows:
        name, when = (early[column][0].as_py() for column in ("transaction_id", "label_time"))
        raise SchemaError(
            f"The label of {name} is dated {when:%Y-%m-%d %H:%M} UTC, before its transaction ({early.num_rows} so).",
            "Send it again (fraudline labels send) with its right labelled_at and the next version.",
        )


def unscreened(before: Path | None, transactions: pa.Table, labels: pa.Table) -> pa.Array:
    """Ids of what no earlier collecting took for normal: transactions of any day that are new, and reversed frauds.

    Args:
        before: the present version; None for none.
        transactions: of the next version.
        labels: likewise.
    """
    ids = transactions["transaction_id"].combine_chunks()
    if before is None:
        return ids
    was, now = (_frauds(table) for table in (read_labels(before), labels))
    held = pc.is_in(ids, value_set=read_transactions(before)["transaction_id"].combine_chunks())
    reversed_ = pc.and_not(pc.is_in(ids, value_set=was), pc.is_in(ids, value_set=now))
    return ids.filter(pc.or_(pc.invert(held), reversed_))


def _frauds(labels: pa.Table) -> pa.Array:
    return labels.filter(labels["is_fraud"])["transaction_id"].combine_chunks()


def _by_id(labels: pa.Table, names: Set[str]) -> dict[str, dict[str, Any]]:
    """The labels of these transactions."""
    return {row["transaction_id"]: row for row in labels.to_pylist() if row["transaction_id"] in names}


def collect(
    *,
    params: Params,
    repo: Path,
    now: datetime,
    data_dvc: str = "data.dvc",
    token: str = "",
    onto_generated: bool = False,
) -> dict[str, Any]:
    """Collect matured days, and propose them as the data set's next version.

    Args:
        params: ``stream``, ``renew.window_weeks``, ``poison_max`` and ``leave_out``, ``validation``,
            ``label_delay_days``, and ``rollout.forge``, which names the remote.
        repo: a repository that knows the remote; its files are not touched.
        now: the present.
        data_dvc: the data set's ``.dvc`` file in the repository.
        token: of the forge.
        onto_generated: go on also where the data set is a generated one: the traffic is generated, too.

    Returns:
        ``action`` (none, proposed or merged), ``branch``, ``revision``, ``url``, ``pushed``, ``md5``, ``days`` (first
        and last), the counts of :func:`joined`, and the screen's shares.

    Raises:
        ValidationFailed: the data set fails a critical expectation.
        GateFailed: what is new, or no longer a fraud, looks poisoned; names cards and days.
        DataError: there is nothing to make a data set of.
        UsageError: the data set is a generated one.
        UnavailableError: broker, remote or the data's store does not answer.
    """
    rules = params.rollout
    end = Window.before(to_us(now), params.label_delay_days)
    window = Window(end.end, end.end - 7 * params.renew.window_weeks)
    with Clone.of(address_of(rules.forge.remote, repo), "main", token, rules.forge.commits) as clone:
        clone.run("checkout", "-q", "--detach", clone.base)
        tree, text = clone.folder, clone.read(data_dvc)
        before, folder = None, tree / "data"
        if text:
            tracked = parse_dvc_file(text, data_dvc)
            folder = tree / Path(data_dvc).parent / tracked.path
            _dvc(tree, "pull", data_dvc)
            before = folder
            if not onto_generated:
                _check_real(read_meta(folder), data_dvc)
        stream = read_stream(params, window, now, remembered(before))
        transactions, labels, counts = joined(stream, before, window, frozenset(params.renew.leave_out))
        if not counts["new"] and not counts["relabelled"]:
            return {"action": "none", "branch": "", "url": "", "pushed": False, **counts}
        if not transactions.num_rows:
            raise DataError("No decided transaction has matured.", "Wait for the labels' delay (label_delay_days).")
        meta = read_meta(folder) if before is not None else {"name": "collected"}
        kept = {key: meta[key] for key in ("name", "generator") if key in meta}
        memory = stream.memory(transactions, window)
        batch = unscreened(before, transactions, labels)
        about = {**kept, "collected": counts, META: memory.document()}
        write_dataset(folder, transactions, labels, about, extra={LEFT_OUT: memory.table()})
        shown = _checked(tree, folder, batch, params)
        _dvc(tree, "add", str(folder.relative_to(tree)))
        _dvc(tree, "push")
        done = _proposed(clone, folder, data_dvc, counts, token, params)
    log.info("collect.proposed", **{key: done[key] for key in ("branch", "pushed", "md5")})
    return done | counts | shown


def _check_real(meta: Mapping[str, Any], data_dvc: str) -> None:
    """A model of made-up and real payments together would be of neither."""
    if meta.get("generator"):
        raise UsageError(
            f"{data_dvc} of main names a generated data set: decided transactions would be mixed with made-up ones.",
            f"Begin your own: take {data_dvc} out of main, or commit an import of yours in its place "
            "(docs/how-to/renew.md). Where the stream is generated, too: --onto-generated.",
        )


def _checked(tree: Path, folder: Path, batch: pa.Array, params: Params) -> dict[str, Any]:
    """Validate, then the poisoning gate, on the transactions of ``batch``."""
    scratch = tree.parent
    validate(dataset=folder, report=scratch / "validation", params=params)
    features = scratch / "features"
    featurize(dataset=folder, features=features, profiles=scratch / "profiles", params=params)
    found = screen(features=features, batch=batch, params=params)
    return {"share": found["share"], "suspicious": found["suspicious"]}


def _proposed(
    clone: Clone, folder: Path, data_dvc: str, counts: Mapping[str, int], token: str, params: Params
) -> dict[str, Any]:
    """Commit the data set on its branch and open the pull request, each once."""
    tracked = parse_dvc_file((clone.folder / data_dvc).read_text(encoding="utf-8"), data_dvc)
    first, last = days(folder)[0], days(folder)[-1]
    branch = f"data/{last.isoformat()}-{tracked.md5[:12]}"
    title = f"Data up to {last.isoformat()}: {counts['new']:,} new transactions"
    summary = read_json(folder / "dataset.json")
    body = "\n".join(
        [
            f"Days {first} to {last}, {summary['transactions']:,} transactions, {summary['frauds']:,} known frauds.",
            f"New {counts['new']:,}; blocked without a label and left out {counts['unknown']:,}; "
            f"no longer in the topic {counts['gone']:,}; of cards in renew.leave_out {counts['left_out']:,}; "
            f"labels that changed {counts['relabelled']:,}.",
            f"md5 {tracked.md5}. Validated and screened against poisoning.",
        ]
    )
    tip, pushed = clone.remote_branch(branch), False
    if not tip:
        tip = clone.commit_files(f"{title}\n\n{body}", (day_us(last) + DAY_US) // 1_000_000)
        pushed = clone.push(tip, branch)
    rules = params.rollout.forge
    forge = open_forge(rules, token, clone)
    request = forge.ensure(branch, title, body)
    merged = clone.merged(tip) or (rules.auto_merge and forge.merge(request, tip))
    return {
        "action": "merged" if merged else "proposed",
        "branch": branch,
        "revision": tip,
        "url": request.url,
        "pushed": pushed,
        "md5": tracked.md5,
        "days": [first.isoformat(), last.isoformat()],
    }


def _dvc(tree: Path, *arguments: str) -> None:
    """Run dvc in a working tree.

    Raises:
        UnavailableError: it failed; quotes its errors.
    """
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(
        command, cwd=tree, capture_output=True, text=True, check=False, env={**os.environ, "DVC_NO_ANALYTICS": "true"}
    )
    if done.returncode:
        errors = [line.removeprefix(_ERROR) for line in done.stderr.splitlines() if line.startswith(_ERROR)]
        said = errors[:1] + errors[1:][-1:] or [(done.stderr or done.stdout).strip()[-_TAIL:]]  # the cause, the outcome
        raise UnavailableError(
            f"dvc {arguments[0]} failed: {'; '.join(line[:_TAIL] for line in said).rstrip('.')}.",
            "Check the data's store (dvc remote list) and your credentials for it.",
        )
