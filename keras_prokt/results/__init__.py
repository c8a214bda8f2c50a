"""What reads runs back: evaluation, metrics, tables."""
