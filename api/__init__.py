"""The HTTP API: routes over the ports; it runs no stage."""
