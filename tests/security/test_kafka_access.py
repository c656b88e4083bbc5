"""A broker with TLS, passwords and rules: the right client works, every wrong one is told what is wrong with it."""

import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ACL, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType

from fraudline.core.errors import FraudlineError, UnavailableError, UsageError
from fraudline.data.generate import generate
from fraudline.data.params import GenerateParams
from fraudline.stream.params import StreamParams
from fraudline.stream.produce import produce
from fraudline.stream.tls import PASSWORD_VARIABLE, RIGHTS, Tls
from fraudline.stream.topic_reader import read_topic
from fraudline.stream.topics import ensure_topics, retention_days
from fraudline.stream.transport import TRANSPORTS, Connection, open_transport
from fraudline.stream.worker import run_worker
from tests.support.artifacts import tiny_artifact
from tests.support.broker import need_java, own_params, read_all
from tests.support.certificates import Authority
from tests.support.figures import Figure
from tests.support.guarded import GuardedKafka
from tests.support.stop import StopAfter

pytestmark = pytest.mark.integration
PASSWORD = f"shown-nowhere-{uuid.uuid4().hex}"
ROWS = 100


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedKafka]:
    need_java()
    with GuardedKafka(tmp_path_factory.mktemp("access")) as kafka:
        yield kafka


@pytest.fixture(scope="module")
def users(broker: GuardedKafka) -> dict[str, Tls]:
    """A user with every right, in each mechanism, and one with none."""
    users = {
        "worker": broker.add_user("worker", PASSWORD),
        "worker-256": broker.add_user("worker-256", PASSWORD, "SCRAM-SHA-256"),
        "nobody": broker.add_user("nobody", PASSWORD),
        "no-group": broker.add_user("no-group", PASSWORD),
    }
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    kinds = (ResourceType.TOPIC, ResourceType.GROUP, ResourceType.TRANSACTIONAL_ID)
    admin.create_acls(
        [
            ACL(f"User:{name}", "*", ACLOperation.ALL, ACLPermissionType.ALLOW, ResourcePattern(kind, "*"))
            for name in ("worker", "worker-256", "no-group")
            for kind in kinds
            if (name, kind) != ("no-group", ResourceType.GROUP)
        ]
    )
    admin.close()
    return users


def params_of(broker: GuardedKafka, folder: Path, transport: str, tls: Tls, **changes: object) -> StreamParams:
    defaults = {"transport": transport, "tls": tls, "timeout_s": 6.0, "recoveries": 0} | changes
    return own_params(folder, broker.with_password, **defaults)


@pytest.mark.parametrize(
    ("transport", "user"), [*((each, "worker") for each in TRANSPORTS), ("kafka-python", "worker-256")]
)
def test_a_user_with_its_password_and_rights_decides_every_transaction(
    broker: GuardedKafka, users: dict[str, Tls], tmp_path: Path, transport: str, user: str,
    capfd: pytest.CaptureFixture[str], figure: Figure,
) -> None:  # fmt: skip
    """A worker of either transport at a real broker with TLS, SASL/SCRAM and ACLs, as a user with its password."""
    params = params_of(broker, tmp_path, transport, users[user], timeout_s=20.0)
    ensure_topics(params.model_copy(update={"bootstrap": broker.bootstrap, "tls": Tls()}))
    table = generate(GenerateParams(days=3, cards=60, merchants=150, seed=3))[0].slice(0, ROWS)
    produce([table], bootstrap=params.bootstrap, topic=params.topics.transactions, transport=transport, tls=params.tls)
    stop = StopAfter(ROWS)
    run_worker(params, model_dir=tiny_artifact(tmp_path / "model"), stop=stop.event, on_batch=stop)
    assert len(read_all(broker.bootstrap, params.topics.decisions)) == ROWS
    shown = "".join(capfd.readouterr())
    assert PASSWORD not in shown + repr(params) + str(params.model_dump())
    figure(f"{user}, {transport}: {ROWS} of {ROWS} decided; the password is in no output")


def wrong(broker: GuardedKafka, users: dict[str, Tls], folder: Path, how: str) -> tuple[str, Tls, str]:
    """Address, settings, and what the error says."""
    good = users["worker"]
    other = folder / "other.pem"
    other.write_bytes(Authority().pem)
    password = folder / "wrong"
    password.write_text("another")
    certificate, key = Authority().write_client("worker", folder)
    stranger = Tls(ca=good.ca, certificate=str(certificate), key=str(key))
    return {
        "plain to TLS": (broker.with_password, Tls(), "the broker speaks TLS, this client does not"),
        "TLS to plain": (broker.bootstrap, Tls(ca=good.ca), "the broker does not speak TLS"),
        "another authority": (
            broker.with_password,
            good.model_copy(update={"ca": str(other)}),
            "the broker's certificate is refused",
        ),
        "a wrong password": (
            broker.with_password,
            good.model_copy(update={"password_file": str(password)}),
            "refused the user or its password",
        ),
        "an unknown user": (
            broker.with_password,
            good.model_copy(update={"username": "mallory"}),
            "refused the user or its password",
        ),
        "no rights": (broker.with_password, users["nobody"], "authorization"),
        "a stranger's certificate": (broker.guarded, stranger, "refuses this client's certificate"),
    }[how]


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    "how",
    [
        "plain to TLS", "TLS to plain", "another authority", "a wrong password", "an unknown user", "no rights",
        "a stranger's certificate",
    ],
)  # fmt: skip
def test_a_wrong_client_is_told_what_is_wrong_with_it(
    broker: GuardedKafka, users: dict[str, Tls], tmp_path: Path, transport: str, how: str,
    capfd: pytest.CaptureFixture[str], figure: Figure,
) -> None:  # fmt: skip
    """A client of either transport at a real broker with TLS, SASL/SCRAM and ACLs that does one thing wrong."""
    address, tls, said = wrong(broker, users, tmp_path, how)
    connection = Connection(
        bootstrap=address, topic="transactions", group="g", worker_id="w", timeout_s=4.0, outputs=("decisions",),
        extra=tls.client(transport), tls=tls,
    )  # fmt: skip
    with pytest.raises(UnavailableError) as caught:
        open_transport(transport, connection)
    assert said.lower() in caught.value.problem.lower(), caught.value
    assert caught.value.action
    assert PASSWORD not in "".join(capfd.readouterr()) + f"{caught.value} {connection!r}"
    figure(f"{how}, {transport}: refused: {said}")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_worker_without_the_right_to_its_group_ends_and_says_so(
    broker: GuardedKafka, users: dict[str, Tls], tmp_path: Path, transport: str
) -> None:
    params = params_of(broker, tmp_path, transport, users["no-group"], recoveries=2)
    ensure_topics(params.model_copy(update={"bootstrap": broker.bootstrap, "tls": Tls()}))
    stop = threading.Event()
    timer = threading.Timer(120, stop.set)
    timer.start()
    with pytest.raises(UnavailableError, match="(?i)group.?authorization.?failed") as caught:
        run_worker(params, model_dir=tiny_artifact(tmp_path / "model"), stop=stop)
    timer.cancel()
    assert caught.value.action == RIGHTS


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_user_without_a_right_to_a_topic_is_told_so_and_not_to_check_its_password(
    broker: GuardedKafka, users: dict[str, Tls], tmp_path: Path, transport: str
) -> None:
    params = params_of(broker, tmp_path, transport, users["nobody"])
    with pytest.raises(UnavailableError, match="may not see or make them") as caught:
        ensure_topics(params)
    assert caught.value.action == RIGHTS
    ensure_topics(params.model_copy(update={"bootstrap": broker.bootstrap, "tls": Tls()}))
    with pytest.raises(UsageError, match="or this client's user may not see it"):
        list(read_topic(params, params.topics.decisions))
    with pytest.raises(UsageError, match="or this client's user may not ask how long"):
        retention_days(params, params.topics.decisions)


def test_a_password_comes_from_the_environment_or_a_file_and_is_asked_for_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = Tls(ca="ca.pem", username="worker")
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)
    assert tls.kafka_python()["sasl_plain_password"] == PASSWORD
    assert tls.librdkafka()["sasl.password"] == PASSWORD
    monkeypatch.delenv(PASSWORD_VARIABLE)
    with pytest.raises(UsageError, match=PASSWORD_VARIABLE):
        tls.password()
    with pytest.raises(UsageError, match="cannot be read"):
        tls.model_copy(update={"password_file": str(tmp_path / "none")}).password()
    for half in ({"username": "x"}, {"ca": "c", "password_file": "f"}, {"certificate": "c"}):
        with pytest.raises(FraudlineError):
            Tls.parse(half, "params.yaml")
