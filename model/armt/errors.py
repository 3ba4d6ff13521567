"""The library's error tree.

ArmtError
├── ConfigError        an option, an architecture or a size that cannot work
├── CheckpointError    a model folder that cannot be loaded (missing file, wrong key, wrong shape)
├── PositionError      a numbered-on backbone ran out of positions: the session is as long as it can get
├── TextError          bytes that are not UTF-8; knows the byte offset
└── CodecError         a memory file that must not be used; says why
"""


class ArmtError(Exception):
    """Any error that a caller of the library can cause; its text says what to do."""


class ConfigError(ArmtError):
    """An option, an architecture or a size that cannot work."""


class CheckpointError(ArmtError):
    """A model folder that cannot be loaded."""


class PositionError(ArmtError):
    """The backbone numbers positions across segments and has none left."""


class CodecError(ArmtError):
    """A memory file that must not be used: version, fingerprint, shape, checksum or a non-finite value."""


class TextError(ArmtError):
    """Bytes that are not UTF-8.

    Attributes:
        offset: index of the first byte of the bad sequence, counted from the start of the stream.
    """

    def __init__(self, offset: int) -> None:
        super().__init__(f"invalid UTF-8 at byte {offset}: send text encoded as UTF-8")
        self.offset = offset
