"""Tables for other programs: long-form CSV and Parquet, NumPy archives, a C header."""
