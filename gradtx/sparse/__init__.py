"""Row-sparse gradients: lookups in a large table, at a cost proportional to the touched rows, not to the table."""
