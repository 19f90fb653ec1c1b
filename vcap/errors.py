"""Every failure a user can meet, with the exit code it ends the process with.

VcapError            1   never raised itself; 1 is also an unknown exception
+- UsageError        2   flags that contradict each other
+- ConfigError       2   a config file or --set value is wrong
+- PartialError      3   finished, but some items failed (listed in the journal)
+- InputError        4   something the user named cannot be used
|  +- VideoError  AnnotationError (path:record)  FeatureError  CheckpointError
+- UnavailableError  5   weights, an optional package or the network are absent
+- DeviceError       6   no such device, or out of memory
+- OutputError       7   disk full, not writable, locked by another run
"""


class VcapError(Exception):
    """Root of every failure that is told to the user in one line."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:
        """Survive the way back from a worker process with the hint."""
        return (_rebuild, (type(self), self.message, self.hint))


def _rebuild(kind: type[VcapError], message: str, hint: str | None) -> VcapError:
    return kind(message, hint=hint)


class UsageError(VcapError):
    """Flags that are wrong or contradict each other."""

    exit_code = 2


class ConfigError(VcapError):
    """A configuration file, an environment setting or a --set value is wrong."""

    exit_code = 2


class PartialError(VcapError):
    """The run finished, or was told to stop, with some items failed."""

    exit_code = 3


class InputError(VcapError):
    """Something the user named cannot be used."""

    exit_code = 4


class VideoError(InputError):
    """A video or image cannot be opened or has no frame that decodes."""


class AnnotationError(InputError):
    """A manifest or annotation file is wrong; the message says path, line and field."""


class FeatureError(InputError):
    """A feature store is damaged or belongs to another encoder."""


class CheckpointError(InputError):
    """Weights do not fit the model they are loaded into."""


class UnavailableError(VcapError):
    """Weights, an optional package or the network are absent."""

    exit_code = 5


class DeviceError(VcapError):
    """The device does not exist or its memory is used up."""

    exit_code = 6


class OutputError(VcapError):
    """The output cannot be written: disk full, no permission, locked by another run."""

    exit_code = 7
