"""The errors that a user is meant to see: each is one clear sentence."""


class SkeletonsError(Exception):
    """A problem that a user can correct; its text is one sentence, shown without a traceback."""


class ConfigError(SkeletonsError):
    """The configuration is not valid; the text has one sentence per problem, each on its line."""


class DataError(SkeletonsError):
    """A source of images is missing, broken, or differs from its description."""


class ArtifactError(SkeletonsError):
    """A file that the workflow wrote cannot be read or written, or has unexpected content."""


class OtherSettingsError(ArtifactError):
    """A file that the workflow wrote was made from other settings than those of its reader."""


class TrainingError(SkeletonsError):
    """Training cannot continue because the loss is not a finite number."""


class CheckpointError(SkeletonsError):
    """A trained model that a user brings cannot be read, or is one of another network."""


class DeviceError(SkeletonsError):
    """The device that the configuration asks for is not available."""


class ClusterError(SkeletonsError):
    """The cluster is not available, or is not set up as the profile assumes."""


class LockError(SkeletonsError):
    """Another run is using the same folder."""


class ExposureError(SkeletonsError):
    """A skeleton cannot be exposed because no part of it is left."""


class ExportError(SkeletonsError):
    """A network cannot be written as a file that needs torch alone."""


class SavedOutputError(SkeletonsError):
    """A file of saved logits or features cannot be used, or is of other images than another."""


class WiringError(SkeletonsError):
    """The channels of a network cannot be followed, or were not followed exactly."""


class ExtensionError(SkeletonsError):
    """A user-defined function does not exist, cannot be called, or returned an unusable value."""


class DifferenceError(SkeletonsError):
    """A network that should compute the same as another does not."""


class FingerprintError(SkeletonsError):
    """The code of a stage has an import that cannot be followed."""
