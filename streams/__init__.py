"""The pipeline. Start at `topology.py`: every stage in the order a photo travels."""
