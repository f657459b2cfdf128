"""What is handed over: the policy table, its file formats, its invariants, the verifier and the quoter.

Importing this package loads NumPy and nothing heavier. The archive (`quotegrid.tables.archive`: h5netcdf),
the Dataset (`quotegrid.tables.dataset`: xarray) and the verifier (`quotegrid.tables.verifier`: SciPy,
h5netcdf) are imported by name.
"""

from quotegrid.tables.guarded_quoter import GuardedQuoter, Moment, Price
from quotegrid.tables.lookup import Market, QuoteError
from quotegrid.tables.many_lookups import Markets, Quotes
from quotegrid.tables.policy_table import Flow, NamedAxis, PolicyTable, SolutionProtocol
from quotegrid.tables.quoter import Quote, Quoter
from quotegrid.tables.safetensors_file import read_safetensors, write_safetensors
from quotegrid.tables.table_error import TableError

__all__ = [
    "Flow",
    "GuardedQuoter",
    "Market",
    "Markets",
    "Moment",
    "NamedAxis",
    "PolicyTable",
    "Price",
    "Quote",
    "QuoteError",
    "Quoter",
    "Quotes",
    "SolutionProtocol",
    "TableError",
    "read_safetensors",
    "write_safetensors",
]
