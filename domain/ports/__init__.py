"""What the system needs of its servers, as Protocols: one a noun, implemented under `stores/`.

Every method is safe to repeat; where a version is taken, an older one than the stored is ignored.
All of them raise Transient (this call failed) or StoreAway (the server doesn't answer).
"""
