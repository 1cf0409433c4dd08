"""The same server over Connexion's own routing, security, parameters and validation: `NEWLEAF_SPINE=stock`.

It is slow and falls into the traps that the compiled spine avoids; it is kept as the reference that the compiled spine
is held to, and to tell whose fault it is when something is refused that should not be.
"""
