"""What newleaf is measured against: the same work over the same tables, written by hand and as most would write it."""
