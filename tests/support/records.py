"""Records that no Python client sends of itself."""


class RawName(str):
    """The name of a header, as bytes that a client puts into the record as they are."""

    def __new__(cls, raw: bytes) -> "RawName":
        name = super().__new__(cls, raw.decode("latin-1"))
        name.raw = raw
        return name

    raw: bytes

    def encode(self, *_: object) -> bytes:
        return self.raw
