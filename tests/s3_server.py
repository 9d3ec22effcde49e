"""An S3 store on 127.0.0.1, by `moto` in a separate process, for tests of the real clients without a network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PATIENCE_S = 120
BUCKET = "bucket"


class S3Server:
    """Serves a bucket from memory, while its context is entered.

    Args:
        log: Path of the log of its requests.
    """

    secret = "a-secret-that-nobody-says"

    def __init__(self, log: Path) -> None:
        self._log = log

    def __enter__(self) -> S3Server:
        with self._log.open("wb") as log:
            command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        self.endpoint = self._started()
        self._client("create_bucket", Bucket=BUCKET)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.kill()
        self._process.wait()

    @property
    def env(self) -> dict[str, str]:
        """Environment variables for its clients."""
        keys = {"AWS_ACCESS_KEY_ID": "somebody", "AWS_SECRET_ACCESS_KEY": self.secret}
        place = {"AWS_ENDPOINT_URL": self.endpoint, "AWS_DEFAULT_REGION": "us-east-1", "NO_PROXY": "127.0.0.1"}
        return {**keys, **place, "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.devnull}

    def files(self, run: str) -> dict[str, bytes]:
        """Return the contents of all objects of a run by path."""
        names = [name for name in self.names(run) if not name.endswith("/")]
        return {name: self._client("get_object", Key=f"{run}/{name}")["Body"].read() for name in names}

    def names(self, run: str) -> list[str]:
        """Return the paths of all objects of a run."""
        found = self._client("list_objects_v2", Prefix=f"{run}/").get("Contents", [])
        return [entry["Key"].removeprefix(f"{run}/") for entry in found]

    def put(self, run: str, name: str, content: bytes) -> None:
        """Put an object."""
        self._client("put_object", Key=f"{run}/{name}", Body=content)

    def delete(self, run: str, name: str) -> None:
        """Delete an object."""
        self._client("delete_object", Key=f"{run}/{name}")

    def requests(self) -> list[tuple[str, str]]:
        """Return the method and the path of each request so far, without colours and queries."""
        lines = re.sub(r"\x1b\[[0-9;]*m", "", self._log.read_text())
        return re.findall(r'"([A-Z]+) (/[^ ?]*)[^"]*HTTP', lines)

    def _started(self) -> str:
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            if found := re.search(r"Running on (http://\S+)", self._log.read_text()):
                return found[1]
            if self._process.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError(f"the S3 server does not start: {self._log.read_text()}")

    def _client(self, method: str, **arguments: Any) -> Any:
        import boto3

        client = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id="tester",
            aws_secret_access_key=self.secret,
            region_name="us-east-1",
        )
        return getattr(client, method)(**{"Bucket": BUCKET, **arguments})


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Start a store with an empty bucket."""
    pytest.importorskip("moto")
    pytest.importorskip("s3fs")
    with S3Server(tmp_path_factory.mktemp("s3") / "log") as server:
        yield server
