"""The sandboxed image decoder: a pool of locked-down processes (I9)."""
