"""A change, step by step: decide, record, ask Patroni once, follow, prove. Also diagnose."""
