"""How a stage runs: decode, decide, effects, acknowledge; retries, dead letters, traces."""
