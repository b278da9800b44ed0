"""Pure decisions, entities and the ports behind which the servers stand."""
