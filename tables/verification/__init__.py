"""What the verifier proves a table with, from NumPy and SciPy alone: the equations written a second time (the
twins), and bounds derived from them. `quotegrid.tables.verifier` asks the questions.
"""
