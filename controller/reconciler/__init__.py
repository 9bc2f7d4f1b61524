"""When to render, and the way from a trigger to a validated render."""
