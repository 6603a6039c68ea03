"""What can go wrong in a way that its reader can mend: the text says what to do, and the command its exit status."""


class ConfigurationError(Exception):
    """A setting or an argument is wrong: exit status 2."""


class PipelineError(Exception):
    """The work could not be done: exit status 1."""
