"""Numbers about leads and conversations: counted as they change, answered without looking at history."""
