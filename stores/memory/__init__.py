"""Twins of the stores in memory, one module a server: what pure tests run the real code on."""
