"""Gradients that name their rows: lookups in large tables at a cost that follows the rows, not the table."""
