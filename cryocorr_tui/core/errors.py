"""What a user can mend.

::

    CryocorrError
    ├── InputError        a file or picture that cannot be used
    │   └── NoSquaresError    a picture without a grid of class averages
    ├── OutputError       a folder or file that cannot or must not be written
    ├── SettingsError     options that contradict each other or the data
    └── DeviceError       a GPU that was asked for and is not there

The message of each is one sentence that says what to do. Mistakes of the program itself are
``ValueError`` with the shape received and the shape expected, and are never caught.
"""

__all__ = [
    "CryocorrError",
    "DeviceError",
    "InputError",
    "NoSquaresError",
    "OutputError",
    "SettingsError",
]


class CryocorrError(Exception):
    """Something the user can mend; its message says how."""


class InputError(CryocorrError):
    """A file or picture that cannot be used."""


class NoSquaresError(InputError):
    """A picture in which no grid of class averages was found."""


class OutputError(CryocorrError):
    """A folder or file that cannot, or must not, be written."""


class SettingsError(CryocorrError):
    """Options that contradict each other or the data."""


class DeviceError(CryocorrError):
    """A GPU that was asked for and is not there."""
