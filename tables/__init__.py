"""What is handed over: the policy table, its file formats, its invariants, the verifier and the quoter."""
