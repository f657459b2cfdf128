"""The long form of a table as a Parquet file. Needs `pyarrow`.

Units stand in the metadata of each column (`unit`); the file's metadata hold content hash, problem, units and
gain. An offset that is off is null.
"""

import json

import pyarrow
import pyarrow.parquet

from quotegrid.tables.exports.long_form import columns
from quotegrid.tables.policy_table import PolicyTable


def parquet_bytes(table: PolicyTable) -> bytes:
    """The content of the Parquet file."""
    fields, arrays = [], []
    for column in columns(table):
        array = pyarrow.array(column.entries, from_pandas=True)  # NaN becomes null
        fields.append(pyarrow.field(column.name, array.type, metadata={"unit": column.unit}))
        arrays.append(array)
    about = {
        "content_hash": table.content_hash,
        "problem": table.problem_json,
        "price_unit": table.price_unit,
        "time_unit": table.time_unit,
        "gain": json.dumps(table.gain),
        "certificate": json.dumps(table.certificate),
    }
    sink = pyarrow.BufferOutputStream()
    found = pyarrow.Table.from_arrays(arrays, schema=pyarrow.schema(fields, metadata=about))
    pyarrow.parquet.write_table(found, sink)
    return sink.getvalue().to_pybytes()
