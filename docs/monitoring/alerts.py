"""The alerts, by whom they concern."""

from docs.monitoring.alert import Alert

DAY = 1_560
"""Minutes of a case that looks back over a day, an hour ago."""
RECORDED = {
    "fraudline:transactions:rate30m": "sum by (job) (rate(fraudline_transactions_total[30m]))",
    "fraudline:alert_share:rate30m": "sum by (model) (rate(fraudline_alerts_total[30m]))"
    " / sum by (model) (rate(fraudline_decisions_total[30m]))",
    "fraudline:alert_share:rate1d": "sum by (model) (rate(fraudline_alerts_total[1d] offset 1h))"
    " / sum by (model) (rate(fraudline_decisions_total[1d] offset 1h))",
    "fraudline:high_score_share:rate30m": '1 - sum by (model) (rate(fraudline_score_bucket{le="5.0"}[30m]))'
    " / sum by (model) (rate(fraudline_score_count[30m]))",
    "fraudline:high_score_share:rate1d": '1 - sum by (model) (rate(fraudline_score_bucket{le="5.0"}[1d] offset 1h))'
    " / sum by (model) (rate(fraudline_score_count[1d] offset 1h))",
    **{
        f"fraudline:late_share:rate{window}": "1 - sum by (model) "
        f'(rate(fraudline_decision_latency_seconds_bucket{{le="1.0"}}[{window}]))'
        f" / sum by (model) (rate(fraudline_decision_latency_seconds_count[{window}]))"
        for window in ("5m", "30m", "1h", "6h")
    },
    "fraudline:field_problem_share:rate30m": "sum by (job, field, problem) (rate(fraudline_field_problems_total[30m]))"
    " / on (job) group_left sum by (job) (rate(fraudline_transactions_total[30m]))",
    "fraudline:field_problem_share:rate1d": "sum by (job, field, problem)"
    " (rate(fraudline_field_problems_total[1d] offset 1h))"
    " / on (job) group_left sum by (job) (rate(fraudline_transactions_total[1d] offset 1h))",
}
"""Recording rules: shares over a window, each asked for once. The latency objective is 99 % within a second."""
_USUAL = (
    "fraudline:transactions:rate30m >= 0.2 * (fraudline:transactions:rate30m offset 1w)"
    " or (fraudline:transactions:rate30m >= 0.2 * (fraudline:transactions:rate30m offset 1d)"
    " unless (fraudline:transactions:rate30m offset 1w))"
)
"""No quieter than at this time a week ago: a night, a shop's Sunday. In the first week, than a day ago."""


def _more_than(problems: str) -> str:
    """A share of few transactions is one of them or two: at night, or in a small shop."""
    return (
        f" and sum by (job, field, problem) (increase(fraudline_field_problems_total{{problem{problems}}}[30m])) > 10"
    )


_MISSING = 'fraudline:field_problem_share:rate30m{problem="missing"}'
_MISSING_BEFORE = _MISSING.replace("30m", "1d")
_NEWEST = (
    "kafka-console-consumer.sh --bootstrap-server BROKER --topic transactions --timeout-ms 60000 --max-messages 1000"
)
"""Kafka's own: the next thousand transactions, a JSON object a line. Decisions hold none of their fields."""
_SAID = f"{_NEWEST} | jq -rR 'fromjson? | "
"""What jq says of each; it reads on behind what is no JSON."""
_COUNTED = "| sort | uniq -c | sort -rn"
_REASONS = (
    "kafka-console-consumer.sh --bootstrap-server BROKER --topic alerts --timeout-ms 600000 --max-messages 100"
    f" | jq -r '.reasons[0].feature' {_COUNTED}"
)
_ALWAYS_THERE = 'up{job=~"(.*fraudline-|)(worker|alerts|predictor)"}'
"""What is never scaled to none: a predictor on Knative has a job of another name, because none is usual there."""
_DRIFT = "fraudline drift --topic --bootstrap BROKER --days 1 --model DIR"


def _counter(before: int, after: int, minutes: int = 60) -> str:
    """A counter that grows by ``before`` a minute for a day, then by ``after``."""
    return f"0+{before}x{DAY - minutes} {before * (DAY - minutes)}+{after}x{minutes}"


def _traffic(alerts: tuple[int, int], decisions: tuple[int, int] = (600, 600)) -> dict[str, str]:
    return {
        "fraudline_alerts_total{model}": _counter(*alerts),
        "fraudline_decisions_total{model}": _counter(*decisions),
    }


def _scores(low: tuple[int, int]) -> dict[str, str]:
    return {
        'fraudline_score_bucket{model,le="5.0"}': _counter(*low),
        "fraudline_score_count{model}": _counter(1_000, 1_000),
    }


def _latency(good: int, minutes: int = 400) -> dict[str, str]:
    return {
        'fraudline_decision_latency_seconds_bucket{model,le="1.0"}': f"0+{good}x{minutes}",
        "fraudline_decision_latency_seconds_count{model}": f"0+1000x{minutes}",
    }


def _problem(field: str, problem: str, before: int, after: int) -> dict[str, str]:
    return {
        f'fraudline_field_problems_total{{job,field="{field}",problem="{problem}"}}': _counter(before, after),
        "fraudline_transactions_total{job}": _counter(1_000, 1_000),
    }


STREAM = (
    Alert(
        name="TargetDown",
        expr='up{job=~"worker|predictor|.*fraudline.*"} == 0',
        hold="1m",
        severity="page",
        role="oncall",
        summary="{{ $labels.job }} at {{ $labels.instance }} does not answer",
        means="A worker or predictor does not answer its scrape: nothing it owns is decided.",
        look=(
            "`kubectl -n fraudline get pods`, then `kubectl -n fraudline logs POD --previous`: its state, its last "
            "lines, its exit code.",
            "Whether others of its kind answer.",
        ),
        act=(
            "Restart it: the worker goes on at the committed offsets, nothing is lost or doubled.",
            "When it does not come up, take the last rollout (`fraudline rollout revert --because WHY`) or change of "
            "configuration back.",
        ),
        over="Every target of Prometheus's page is up, and `sum(fraudline_lag_records)` falls.",
        fires={'up{job="worker",instance="TargetDown"}': "1x20 0x40"},
        quiet={'up{job="worker",instance="TargetDown"}': "1x60"},
    ),
    Alert(
        name="NoneLeft",
        expr=f"group by (job) (max_over_time({_ALWAYS_THERE}[1d])) unless group by (job) ({_ALWAYS_THERE})",
        hold="5m",
        severity="page",
        role="oncall",
        summary="Prometheus finds no {{ $labels.job }} any more",
        means="All pods of a kind are gone, or Prometheus does not find them: nothing is decided, nothing scored at "
        "the endpoint, or no alert sent, and no other alert can say so.",
        look=(
            "`kubectl -n fraudline get statefulset,deployment,inferenceservice,pods,events`: scaled to none, pending, "
            "evicted, a predictor that its controller refuses?",
            "Prometheus's page of targets: a monitor's labels, a NetworkPolicy.",
        ),
        act=(
            "Bring the pods back: the worker goes on at the committed offsets, nothing is lost or doubled.",
            "What was taken away on purpose is silent after a day; silence it until then.",
        ),
        over="The job's targets are back on Prometheus's page, and `sum(fraudline_lag_records)` falls.",
        fires={'up{job="fraudline-alerts",instance="NoneLeft"}': "1x20 _x40"},
        quiet={'up{job="fraudline-alerts",instance="NoneLeft"}': "1x20 0x1 1x38"},
    ),
    Alert(
        name="WorkerNotReady",
        expr="fraudline_ready == 0",
        hold="2m",
        severity="page",
        role="oncall",
        summary="the worker at {{ $labels.instance }} cannot decide",
        means="The worker waits for its group, the broker or the endpoint: its partitions pile up.",
        look=("`/readyz` of the worker names the part that waits, and why.", "The broker; the endpoint's pods."),
        act=("Bring the part back that it waits for; the worker goes on by itself.",),
        over="`/readyz` answers 200 on every worker, and the lag falls.",
        fires={"fraudline_ready{job}": "1x20 0x40"},
        quiet={"fraudline_ready{job}": "0x1 1x59"},
    ),
    Alert(
        name="WorkerLags",
        expr="sum by (job) (fraudline_lag_records) > 5000",
        hold="5m",
        severity="page",
        role="oncall",
        summary="{{ $value }} transactions wait to be decided",
        means="Transactions come faster than they are decided: decisions come late, then very late.",
        look=("Decisions a second and time by stage: what grew?", "Whether all workers of the group have partitions."),
        act=("Add workers, up to the number of partitions.", "A slow endpoint: score in process, or `hold`."),
        over="The lag is below 5,000 and falls; what waited is decided late, never skipped.",
        fires={"fraudline_lag_records{job}": "0+200x60"},
        quiet={"fraudline_lag_records{job}": "4000x60"},
    ),
    Alert(
        name="Recovering",
        expr="sum by (job) (increase(fraudline_recoveries_total[15m])) > 3",
        hold="0m",
        severity="ticket",
        role="oncall",
        summary="{{ $value }} batches were given up and read again within 15 minutes",
        means="The broker or the endpoint fails again and again; latency suffers, decisions do not.",
        look=("`worker.recovering` in the log names the problem.",),
        act=(
            "Look after the broker or endpoint; at `stream.recoveries` in a row the worker ends.",
            "`log.goes_back`, and a worker that ends with exit code 2: the log lost its end, as of a broker that was "
            "restored. Set the group's offset to its first undecided record, as the worker's message says.",
        ),
        over="No `worker.recovering` for a quarter of an hour.",
        fires={"fraudline_recoveries_total{job}": "0+1x60"},
        quiet={"fraudline_recoveries_total{job}": "0x30 1x30"},
    ),
    Alert(
        name="RecordsDeletedUnread",
        expr="sum by (job) (fraudline_deleted_unread_total) > 0",
        hold="0m",
        severity="ticket",
        role="oncall",
        summary="{{ $value }} records were deleted from the log before a worker read them",
        means="Kafka deleted transactions that nobody had decided on: no decision will come, and states lack them.",
        look=(
            "`records.deleted_unread` in the log names partition and offsets.",
            "Why the workers were behind.",
        ),
        act=(
            "Keep `transactions` longer (`retention.ms`, `retention.bytes`) before anything else.",
            "Have the producers send the transactions again, where they still have them.",
        ),
        over="The workers were started again since: the count begins at zero.",
        fires={"fraudline_deleted_unread_total{job}": "500x60"},
        quiet={"fraudline_deleted_unread_total{job}": "0x60"},
    ),
    Alert(
        name="LatencyBudgetFast",
        expr="fraudline:late_share:rate1h > 0.144 and fraudline:late_share:rate5m > 0.144",
        hold="2m",
        severity="page",
        role="oncall",
        summary="{{ $value | humanizePercentage }} of decisions take over a second",
        means="99 % within a second is the objective; at this pace a month's budget is gone in two days.",
        look=("Lag, time by stage, the endpoint's latency.",),
        act=("As for WorkerLags; a canary that is slow goes back to weight 0.",),
        over="Of the last five minutes less than 1 % was late; what the hour cost stays spent.",
        fires=_latency(700),
        quiet=_latency(995),
    ),
    Alert(
        name="LatencyBudgetSlow",
        expr="fraudline:late_share:rate6h > 0.06 and fraudline:late_share:rate30m > 0.06",
        hold="15m",
        severity="ticket",
        role="oncall",
        summary="{{ $value | humanizePercentage }} of decisions take over a second, for hours",
        means="The month's budget of late decisions is gone within five days.",
        look=("What changed in the hours before: traffic, model, endpoint.",),
        act=("Lower `stream.max_latency_ms` or add workers.",),
        over="Of the last half hour less than 1 % was late; what the hours cost stays spent.",
        fires=_latency(900),
        quiet=_latency(990),
    ),
    Alert(
        name="CheckpointStale",
        expr="fraudline_checkpoint_age_seconds > 600",
        hold="5m",
        severity="ticket",
        role="oncall",
        summary="the oldest checkpoint is {{ $value | humanizeDuration }} old",
        means="A restart replays everything since the checkpoint before it decides.",
        look=("The volume of `stream.checkpoint_dir`: full, read-only, gone?",),
        act=("Make room or mount it again; the next checkpoint comes by itself.",),
        over="The newest checkpoint is younger than ten minutes; the usual age is `stream.checkpoint_s`.",
        fires={"fraudline_checkpoint_age_seconds{job}": "0+60x60"},
        quiet={"fraudline_checkpoint_age_seconds{job}": "30x60"},
    ),
    Alert(
        name="CheckpointFailing",
        expr="increase(fraudline_checkpoint_failures_total[15m]) > 0",
        hold="0m",
        severity="ticket",
        role="oncall",
        summary="checkpoints cannot be written",
        means="State stays safe in the log, but every restart takes longer.",
        look=("`checkpoint.not_written` in the log names the problem.",),
        act=("As for CheckpointStale.",),
        over="A quarter of an hour after the last failure; look that the age of the newest checkpoint fell.",
        fires={"fraudline_checkpoint_failures_total{job}": "0x20 1+1x39"},
        quiet={"fraudline_checkpoint_failures_total{job}": "1x60"},
    ),
    Alert(
        name="ChampionRefused",
        expr="fraudline_champion_refused == 1",
        hold="5m",
        severity="ticket",
        role="model",
        summary="the champion's pointer names a model that is not in use",
        means="The worker keeps deciding with the model before, because the new one failed its check.",
        look=("`champion.refused` in the log: digest, signature or golden scores.",),
        act=("Correct the pointer, or store the artifact again.",),
        over="`champion.swapped` in the log names the digest of the pointer; the worker looks every ten seconds.",
        fires={"fraudline_champion_refused{job}": "0x20 1x40"},
        quiet={"fraudline_champion_refused{job}": "0x60"},
    ),
    Alert(
        name="MerchantTablesRefused",
        expr="fraudline_merchant_tables_refused == 1",
        hold="15m",
        severity="ticket",
        role="model",
        summary="published merchant tables are not in use",
        means="The worker goes on with the tables before: what frauds are confirmed since then it does not know.",
        look=("`profiles.refused` in the log: the folder is gone, damaged, or of another publication.",),
        act=("Run the step `profiles` again: it replaces the folder as a whole.",),
        over="`profiles.swapped` in the log; the worker looks by itself.",
        fires={"fraudline_merchant_tables_refused{job}": "0x20 1x40"},
        quiet={"fraudline_merchant_tables_refused{job}": "0x20 1x10 0x30"},
    ),
    Alert(
        name="MerchantTablesOld",
        expr="fraudline_newest_event_timestamp_seconds - fraudline_merchant_tables_timestamp_seconds > 12 * 3600 and "
        "fraudline_merchant_tables_timestamp_seconds > 0",
        hold="15m",
        severity="ticket",
        role="model",
        summary="the worker's merchant tables are half a day old",
        means="Nobody has published tables for twelve hours of events: of new frauds the features say less than the "
        "model learned to expect.",
        look=(
            "The job that runs `fraudline step profiles --topics`: `kubectl -n fraudline get cronjob,job`; its log.",
            "`newest` of its result: from when its last table holds.",
        ),
        act=(
            "Run it once by hand: "
            "`kubectl -n fraudline create job --from=cronjob/fraudline-profiles profiles-$(date +%s)`.",
        ),
        over="The newest table is less than twelve hours behind the newest event.",
        fires={
            "fraudline_newest_event_timestamp_seconds{job}": "50000+60x60",
            "fraudline_merchant_tables_timestamp_seconds{job}": "1x60",
        },
        quiet={
            "fraudline_newest_event_timestamp_seconds{job}": "{now}x60",
            "fraudline_merchant_tables_timestamp_seconds{job}": "{now}x60",
        },
    ),
    Alert(
        name="PredictorRefuses",
        expr="sum by (model) (rate(fraudline_predictor_refused_total[10m])) > 0.05 *"
        " sum by (model) (rate(fraudline_predictor_refused_total[10m])"
        " + rate(fraudline_predictor_score_seconds_count[10m]))",
        hold="5m",
        severity="ticket",
        role="oncall",
        summary="the predictor of {{ $labels.model }} refuses requests",
        means="A client sends what is no input of the model: after a change of the feature specification, mostly.",
        look=("The answers' text names row and feature.", "Which client changed."),
        act=("Correct the client, or revert it.",),
        over="Less than 5 % of the requests of ten minutes are refused.",
        fires={
            "fraudline_predictor_refused_total{model}": "0+6x60",
            "fraudline_predictor_score_seconds_count{model}": "0+94x60",
        },
        quiet={
            "fraudline_predictor_refused_total{model}": "0+4x60",
            "fraudline_predictor_score_seconds_count{model}": "0+96x60",
        },
    ),
)

DATA = (
    Alert(
        name="DeadLetters",
        expr="sum by (job) (rate(fraudline_dead_letters_total[10m])) > 0.001 *"
        " sum by (job) (rate(fraudline_transactions_total[10m]))",
        hold="5m",
        severity="ticket",
        role="data",
        summary="more than one record in a thousand holds no transaction",
        means="A producer sends what cannot be decided; those payments have no decision.",
        look=("`fraudline dlq list`: the reason, by producer.",),
        act=("Correct the producer, then `fraudline dlq replay`.",),
        over="Ten minutes after the last new one; what `fraudline dlq list` shows is replayed, or given up on purpose.",
        fires={"fraudline_dead_letters_total{job}": "0+10x60", "fraudline_transactions_total{job}": "0+1000x60"},
        quiet={"fraudline_dead_letters_total{job}": "5x60", "fraudline_transactions_total{job}": "0+1000x60"},
    ),
    Alert(
        name="AlertsUndelivered",
        expr="sum by (job, sink) (increase(fraudline_alert_dead_letters_total[15m])) > 0"
        " or sum by (job, sink) (fraudline_alert_events_waiting) > 20",
        hold="0m",
        severity="page",
        role="oncall",
        summary="alerts do not reach the sink {{ $labels.sink }}",
        means="People or systems that should act on fraud are not told.",
        look=(
            "`alerts.not_sent` in the router's log names the sink and what it answered.",
            "`fraudline alerts dead-letters list`: what was given up, with sink and reason.",
        ),
        act=(
            "Bring the sink back; what waits is sent by itself.",
            "`fraudline alerts dead-letters replay alerts.yaml`: send it again, under its idempotency key.",
        ),
        over="Nothing waits, and a quarter of an hour passed since the last one was given up and replayed.",
        fires={'fraudline_alert_dead_letters_total{job,sink="soc"}': "0+1x60"},
        quiet={'fraudline_alert_dead_letters_total{job,sink="soc"}': "3x60"},
    ),
    Alert(
        name="AlertsUnread",
        expr="fraudline_alert_router_ready == 0",
        hold="5m",
        severity="page",
        role="oncall",
        summary="the alert router at {{ $labels.instance }} reads no alerts",
        means="Decisions are made, and nobody who should act on them is told.",
        look=(
            "`/readyz` of the router names what it waits for: the broker, or its group.",
            "Its certificate and rights: `alerts.broker_away` in the log says what the broker answered.",
        ),
        act=("Bring that back; it goes on where it ended, and what waited is sent by itself.",),
        over="`/readyz` answers 200, and `rate(fraudline_alerts_read_total[5m])` is above zero when there are alerts.",
        fires={"fraudline_alert_router_ready{job}": "1x20 0x40"},
        quiet={"fraudline_alert_router_ready{job}": "0x3 1x57"},
    ),
    Alert(
        name="AlertAddressesRefused",
        expr="sum by (job, sink) (increase(fraudline_alert_addresses_refused_total[1h])) > 0",
        hold="0m",
        severity="ticket",
        role="oncall",
        summary="the mail server refuses addresses of the sink {{ $labels.sink }}; the others have the alerts",
        means="Some people who should act on fraud are not told.",
        look=("`alerts.addresses_refused` in the router's log names the addresses and the server's answers.",),
        act=("Correct `to` in the routing file, then `fraudline alerts test alerts.yaml SINK`.",),
        over="An hour after the last refusal; `fraudline alerts test` reaches every address.",
        fires={'fraudline_alert_addresses_refused_total{job,sink="desk"}': "0+1x60"},
        quiet={'fraudline_alert_addresses_refused_total{job,sink="desk"}': "3x60"},
    ),
    Alert(
        name="AlertRoutingRefused",
        expr="fraudline_alert_routing_refused == 1",
        hold="5m",
        severity="ticket",
        role="oncall",
        summary="the routing file of the alerts is wrong; an older one holds",
        means="A change of who is told what has no effect.",
        look=("`alerts.routing_refused` in the log names the field.", "`fraudline alerts check FILE`."),
        act=("Correct the file; it is read again within a second.",),
        over="`fraudline alerts check FILE` is content; the router has read it within a second.",
        fires={"fraudline_alert_routing_refused{job}": "1x60"},
        quiet={"fraudline_alert_routing_refused{job}": "0x60"},
    ),
    Alert(
        name="VolumeLow",
        expr="fraudline:transactions:rate30m < 0.2 * sum by (job) (rate(fraudline_transactions_total[1d] offset 1h))"
        f" unless ({_USUAL})",
        hold="15m",
        severity="page",
        role="data",
        summary="a fifth of yesterday's transactions come, or fewer",
        means="A feed is cut off, wholly or in part: more came at this time a week ago.",
        look=(
            f'Which channel or country is missing: `{_SAID}[.channel, .country] | join(" ")\' {_COUNTED}`.',
            "The producers.",
        ),
        act=("Bring the feed back; what it kept is decided when it comes, in order of its offsets.",),
        over="The rate of the last half hour is again what this hour of the week usually brings.",
        fires={"fraudline_transactions_total{job}": _counter(1_000, 50)},
        quiet={"fraudline_transactions_total{job}": _counter(1_000, 500)},
    ),
    Alert(
        name="DataStale",
        expr="time() - (max by (job) (fraudline_newest_event_timestamp_seconds) > 0) > 3600"
        f" unless (fraudline:transactions:rate30m == 0 and ({_USUAL}))",
        hold="10m",
        severity="page",
        role="data",
        summary="the newest transaction is {{ $value | humanizeDuration }} old",
        means="Nothing new comes, or what comes happened long ago: decisions are too late to stop a payment.",
        look=("VolumeLow and WorkerLags, which say whether the feed or the worker stands still.",),
        act=("Bring the feed back.",),
        over="The newest event is less than an hour old.",
        fires={"fraudline_newest_event_timestamp_seconds{job}": "1x120"},
        quiet={"fraudline_newest_event_timestamp_seconds{job}": "{now}x60"},
    ),
    Alert(
        name="FieldMissing",
        expr=f"({_MISSING} > 0.05 + 2 * {_MISSING_BEFORE} or {_MISSING} > 0.5 + 0.5 * {_MISSING_BEFORE})"
        + _more_than('="missing"'),
        hold="10m",
        severity="ticket",
        role="data",
        summary="{{ $labels.field }} is missing in {{ $value | humanizePercentage }} of transactions",
        means="A feed leaves out a field: far more often than usual, or in half of the transactions that had it. "
        "Features fall back to neutral values, and frauds that it shows are missed.",
        look=(
            f'Where it is missing: `{_SAID}select(.FIELD == null) | [.channel, .country] | join(" ")\' '
            f"{_COUNTED}` (a position is `latitude`).",
            f"`{_DRIFT}`: which features it changed.",
        ),
        act=("Correct the feed. While it lasts, expect fewer alerts for new devices, places and countries.",),
        over="The share is what it was before, on each channel and country.",
        fires=_problem("device_id", "missing", 10, 400),
        quiet=_problem("device_id", "missing", 100, 120),
    ),
    Alert(
        name="ValuesOutOfRange",
        expr='fraudline:field_problem_share:rate30m{problem=~"out_of_range|zero"} > 0.01 + 3 *'
        ' fraudline:field_problem_share:rate1d{problem=~"out_of_range|zero"}' + _more_than('=~"out_of_range|zero"'),
        hold="10m",
        severity="ticket",
        role="data",
        summary="{{ $labels.field }} is {{ $labels.problem }} in {{ $value | humanizePercentage }} of transactions",
        means="Amounts are in another unit, or empty.",
        look=(f"Currency and minor units: `{_SAID}select(.amount_minor == 0 or .amount_minor > 5000000)'`.",),
        act=("Correct the feed; scores of these transactions are wrong.",),
        over="The share is what it was before; decide with the fraud desk what to do about those that passed.",
        fires=_problem("amount_minor", "out_of_range", 1, 100),
        quiet=_problem("amount_minor", "out_of_range", 1, 5),
    ),
    Alert(
        name="UnseenCategories",
        expr='fraudline:field_problem_share:rate30m{problem="unseen"} > 0.01' + _more_than('="unseen"'),
        hold="10m",
        severity="ticket",
        role="data",
        summary="{{ $value | humanizePercentage }} of transactions are of a category never seen before",
        means="Codes are assigned anew, or a new acquirer came: rarity of a category means nothing there.",
        look=(f"The new codes: `{_SAID}.category' {_COUNTED}`.",),
        act=("Map them in the feed, or train again when they stay.",),
        over="No new code came for half an hour, or the model that knows them is champion.",
        fires=_problem("category", "unseen", 0, 30),
        quiet=_problem("category", "unseen", 0, 1),
    ),
    Alert(
        name="EventsLate",
        expr='fraudline:field_problem_share:rate30m{problem="late"} > 0.05' + _more_than('="late"'),
        hold="10m",
        severity="ticket",
        role="data",
        summary="{{ $value | humanizePercentage }} of transactions come over an hour late",
        means="Windows of the last hour are emptier than they should be, and decisions come too late.",
        look=("Which producer; a backlog that is being sent.",),
        act=("None while a backlog is sent; else correct the producer's clock or queue.",),
        over="Less than 5 % of the events of half an hour are late.",
        fires=_problem("event_time", "late", 0, 100),
        quiet=_problem("event_time", "late", 0, 10),
    ),
)

MODEL = (
    Alert(
        name="HighScores",
        expr="fraudline:high_score_share:rate30m > 0.01 + 3 * fraudline:high_score_share:rate1d"
        " and fraudline:high_score_share:rate30m"
        " * on (model) sum by (model) (increase(fraudline_score_count[30m])) > 20",
        hold="10m",
        severity="page",
        role="model",
        summary="{{ $value | humanizePercentage }} of transactions have a score above 5",
        means="The autoencoder reconstructs much of the traffic badly: an attack, or traffic it never learned.",
        look=(
            f"The first reasons of the newest alerts, one or many: `{_REASONS}`.",
            "FieldMissing and ValuesOutOfRange.",
        ),
        act=(f"An attack: tell the fraud desk. A feed: correct it. Neither: `{_DRIFT}`, then train again.",),
        over="The share of high scores is that of the day before, or a new champion has learned from the new traffic.",
        fires=_scores((990, 800)),
        quiet=_scores((990, 980)),
    ),
    Alert(
        name="AlertRateHigh",
        expr="fraudline:alert_share:rate30m > 3 * fraudline:alert_share:rate1d"
        " and sum by (model) (increase(fraudline_decisions_total[30m])) > 1000"
        " and sum by (model) (increase(fraudline_decisions_total[1d] offset 1h)) > 10000",
        hold="10m",
        severity="page",
        role="fraud",
        summary="{{ $value | humanizePercentage }} of transactions have an alert",
        means="Reviewers get more than three times their work: an attack, a broken feed, or a wrong threshold.",
        look=(
            f"The first reasons of the newest alerts: `{_REASONS}`.",
            "Whether model or thresholds changed (`fraudline threshold log`).",
        ),
        act=(
            "A rollout goes on: `fraudline rollout revert --because WHY`.",
            "The worker scores by itself, with a thresholds file: `fraudline threshold set --review SCORE --why REASON "
            "--model DIR`, within its bounds, while the cause is looked for.",
        ),
        over="Alerts are those of the day before, and a threshold that was set for the while is set back.",
        fires=_traffic((3, 30)),
        quiet=_traffic((3, 5)),
    ),
    Alert(
        name="AlertRateLow",
        expr="fraudline:alert_share:rate30m < fraudline:alert_share:rate1d / 3"
        " and fraudline:alert_share:rate1d * on (model) sum by (model) (increase(fraudline_decisions_total[30m])) > 20",
        hold="15m",
        severity="page",
        role="fraud",
        summary="only {{ $value | humanizePercentage }} of transactions have an alert",
        means="Frauds pass: a field that shows them is gone, or thresholds are too high.",
        look=("FieldMissing.", "Whether model or thresholds changed."),
        act=("Revert the change; correct the feed.",),
        over="Alerts are those of the day before; replay what was decided meanwhile (`fraudline replay`).",
        fires=_traffic((6, 1)),
        quiet=_traffic((6, 4)),
    ),
    Alert(
        name="Drift",
        expr="fraudline_drift_figures > 0",
        hold="0m",
        severity="ticket",
        role="model",
        summary="drift in {{ $value }} figures (a feature, the score, several features together)",
        means="Traffic is not what the model learned from; its scores mean less every day.",
        look=("The report (`index.html`): which features, since when, by how much.",),
        act=("A feed: correct it. New behaviour: `dvc repro` on newer data, gate, promote.",),
        over="The next run of drift, mostly a day later, finds none: it does not fall silent before.",
        fires={"fraudline_drift_figures{job}": "0x20 3x40"},
        quiet={"fraudline_drift_figures{job}": "0x60"},
    ),
    Alert(
        name="DriftNotMeasured",
        expr="time() - max by (job) (fraudline_drift_timestamp_seconds) > 2 * 86400",
        hold="0m",
        severity="ticket",
        role="model",
        summary="drift was last measured {{ $value | humanizeDuration }} ago",
        means="Nobody would notice that traffic moved.",
        look=("The recurring run, or cron's mail.",),
        act=(f"Run it by hand: `{_DRIFT}`.",),
        over="A run has left its metrics; the next comes within a day by itself.",
        fires={"fraudline_drift_timestamp_seconds{job}": "-200000x60"},
        quiet={"fraudline_drift_timestamp_seconds{job}": "{now}x60"},
    ),
    Alert(
        name="DriftNeverMeasured",
        expr="absent_over_time(fraudline_drift_timestamp_seconds[2d])"
        " and on () sum(fraudline_decisions_total offset 1d) > 0",
        hold="0m",
        severity="ticket",
        role="model",
        summary="decisions are made, and no measurement of drift arrives",
        means="No run of drift leaves its metrics where Prometheus finds them: nobody would notice that traffic moved, "
        "because Drift, Skew and PerformanceWorse can never fire.",
        look=(
            "Whether `pipelines/monitoring.yaml` runs once a day, or cron.",
            "Whether its window is too small: exit code 9, `fraudline_drift_rows` below `monitor.min_rows`.",
            "Where it leaves its metrics: `FRAUDLINE_PUSHGATEWAY` or `FRAUDLINE_TEXTFILES`.",
        ),
        act=(f"Set one of both, and run it by hand: `{_DRIFT}`.", "A small window: more `--days`."),
        over="`fraudline_drift_timestamp_seconds` is in Prometheus, and less than a day old.",
        fires={"fraudline_decisions_total{job}": f"0+10x{DAY}"},
        quiet={
            "fraudline_decisions_total{job}": f"0+10x{DAY}",
            "fraudline_drift_timestamp_seconds{job}": f"{{now}}x{DAY}",
        },
        alone=True,
    ),
    Alert(
        name="Skew",
        expr="fraudline_skew_rows > 0",
        hold="0m",
        severity="page",
        role="model",
        summary="{{ $value }} decisions were made on other features than training computes",
        means="The stream's features are not those of the same rows offline: scores are wrong without a sign.",
        look=(
            "`skew.json` in the folder of `fraudline skew --report`: which feature, from which transaction on, "
            "by how much.",
        ),
        act=("Revert the change of the feature code, specification or profiles that it begins with.",),
        over="The next run of skew finds no row that differs: it does not fall silent before.",
        fires={"fraudline_skew_rows{job}": "0x20 12x40"},
        quiet={"fraudline_skew_rows{job}": "0x60"},
    ),
    Alert(
        name="PerformanceWorse",
        expr="fraudline_performance_worse > 0",
        hold="0m",
        severity="ticket",
        role="model",
        summary="matured labels say that {{ $labels.figure }} is worse than it was in evaluation",
        means="Fraud changed: the model misses more of it, or alerts more for nothing.",
        look=(
            "`fraudline labels performance --bootstrap BROKER`: precision and recall, with intervals.",
            "Which kind of fraud is missed, in the labels.",
        ),
        act=("Train again on newer data, or lower the threshold (`fraudline threshold compare`).",),
        over="The next labels that mature, mostly a week later, show the figures of the evaluation again.",
        fires={'fraudline_performance_worse{job,figure="recall"}': "0x20 1x40"},
        quiet={'fraudline_performance_worse{job,figure="recall"}': "0x60"},
    ),
    Alert(
        name="RolloutWaits",
        expr="fraudline_rollout_overdue == 1",
        hold="0m",
        severity="ticket",
        role="model",
        summary="the rollout in {{ $labels.environment }} waits for a person",
        means="The judge could not tell in time whether the canary is as good: its share stays until somebody decides.",
        look=("`fraudline rollout judge --prometheus ADDRESS`: which check is waited for, and what it has seen.",),
        act=(
            "`fraudline rollout revert --because WHY` takes the canary back; or raise "
            "`rollout.judge.inconclusive_minutes`.",
        ),
        over="The next look finds no rollout, or one that is decided: share 0, or a step further.",
        fires={"fraudline_rollout_overdue{job}": "0x20 1x40"},
        quiet={"fraudline_rollout_overdue{job}": "0x60"},
    ),
    Alert(
        name="ModelStale",
        expr="time() - max by (model) (fraudline_model_trained_timestamp_seconds) > 60 * 86400",
        hold="1h",
        severity="ticket",
        role="model",
        summary="the model has learned nothing of the last {{ $value | humanizeDuration }}",
        means="Two months without training: new merchants, devices and frauds are unknown to it.",
        look=("The last training runs: refused by the gate, or not run?",),
        act=("Run the training pipeline; promote what the gate blesses.",),
        over="A champion that was trained within two months is served.",
        fires={"fraudline_model_trained_timestamp_seconds{model}": "-6000000x120"},
        quiet={"fraudline_model_trained_timestamp_seconds{model}": "{now}x120"},
    ),
)

GROUPS = {"fraudline-stream": STREAM, "fraudline-data": DATA, "fraudline-model": MODEL}
ALERTS = (*STREAM, *DATA, *MODEL)
