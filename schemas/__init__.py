"""What the events look like: Avro schemas, their records, the committed registry and the codec."""
