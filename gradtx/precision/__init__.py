"""Parameters in half precision that do not stall, and scaled losses."""
