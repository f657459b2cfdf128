"""What a solution implies: figures of a policy table."""
