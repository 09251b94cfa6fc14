"""What exists against what should: observe, plan, apply; and whether what serves is alive."""
