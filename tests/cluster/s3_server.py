"""An S3 store on loopback: Versity's gateway over a folder, which checks every signature.

with S3(folder) as store:
    store.bucket("bank")               # a folder, in which objects lie as files
    store.environment                  # what its owner sets: keys and address
"""

from pathlib import Path
from typing import Self

from fraudline.ops.local.process import ChildProcess, Service, free_port, port_open
from tests.cluster.binaries import program

_KEY, _SECRET = "owner", "only-on-loopback-1"


class S3(Service):
    """The gateway; everything it writes lies below ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._child: ChildProcess | None = None

    @property
    def url(self) -> str:
        """The store's address."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def environment(self) -> dict[str, str]:
        """Who its owner is, as the clients of S3 read it."""
        return {"AWS_ACCESS_KEY_ID": _KEY, "AWS_SECRET_ACCESS_KEY": _SECRET, "AWS_ENDPOINT_URL": self.url,
                "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}  # fmt: skip

    def bucket(self, name: str) -> Path:
        """Make a bucket; the folder of its objects."""
        folder = self._folder / "buckets" / name
        folder.mkdir(parents=True)
        return folder

    def start(self) -> Self:
        """Start it; ready when it takes connections."""
        buckets, attributes = self._folder / "buckets", self._folder / "attributes"
        for each in (buckets, attributes):
            each.mkdir(parents=True, exist_ok=True)
        command = [program("versitygw"), "--port", f"127.0.0.1:{self._port}", "--access", _KEY, "--secret", _SECRET,
                   "posix", "--sidecar", attributes, buckets]  # fmt: skip
        self._child = ChildProcess("versitygw", command, log_path=self._folder / "log").start()
        self._child.wait_ready(lambda: port_open(self._port))
        return self

    def stop(self) -> None:
        """Stop it."""
        if self._child is not None:
            self._child.stop()
