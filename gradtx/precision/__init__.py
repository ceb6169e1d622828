"""Parameters in half precision that small steps still move, and loss scaling."""
