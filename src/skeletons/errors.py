"""The one kind of error that a user is meant to see: a single clear sentence."""


class SkeletonsError(Exception):
    """Something a user can put right; its text is one sentence, shown without a traceback."""


class ConfigError(SkeletonsError):
    """The configuration is not valid; holds one sentence per problem, one a line."""


class DataError(SkeletonsError):
    """A source of images is missing, broken or not what the configuration says it is."""


class ArtifactError(SkeletonsError):
    """A file of the workflow's own cannot be read or is not what it should be."""


class TrainingError(SkeletonsError):
    """Training cannot go on: the loss is no longer a finite number."""


class DeviceError(SkeletonsError):
    """The device that the configuration asks for is not there."""


class ClusterError(SkeletonsError):
    """The cluster that jobs should go to is not there, or not set up as the profile says."""


class LockError(SkeletonsError):
    """Another run is at work in the same place."""


class ExposureError(SkeletonsError):
    """A skeleton cannot be exposed: nothing is left of it."""


class WiringError(SkeletonsError):
    """A network does something of which it is not known where its channels go."""


class ExtensionError(SkeletonsError):
    """A function of the user's own is not there, cannot be called, or gave what it must not."""


class FingerprintError(SkeletonsError):
    """The code that a stage runs cannot be followed from import to import."""
