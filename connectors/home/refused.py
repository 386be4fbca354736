"""What this program will not do, or cannot do with what it was given."""


class Refused(ValueError):
    """Nothing was done of what was asked; the message says in one sentence why, and the way out.

    A plain ValueError is what Python raises for a mistake in the program, and no person should read it as their own.
    """
