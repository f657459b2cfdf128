"""The public names, as type checkers see them; `__init__.py` loads each when it is first used."""

from quotegrid.analysis.figures import policy_figure as policy_figure
from quotegrid.models.assets import Asset as Asset
from quotegrid.models.assets import Inventory as Inventory
from quotegrid.models.assets import Market as Market
from quotegrid.models.contract import AbstractIntensity as AbstractIntensity
from quotegrid.models.faults import ProblemError as ProblemError
from quotegrid.models.flows import FillJump as FillJump
from quotegrid.models.flows import Flow as Flow
from quotegrid.models.flows import MarketOrderJump as MarketOrderJump
from quotegrid.models.flows import Markout as Markout
from quotegrid.models.horizons import Discounted as Discounted
from quotegrid.models.horizons import Ergodic as Ergodic
from quotegrid.models.horizons import Finite as Finite
from quotegrid.models.horizons import Terminal as Terminal
from quotegrid.models.intensities import Exponential as Exponential
from quotegrid.models.intensities import Linear as Linear
from quotegrid.models.intensities import Logistic as Logistic
from quotegrid.models.intensities import Power as Power
from quotegrid.models.preferences import Cara as Cara
from quotegrid.models.preferences import MeanVariance as MeanVariance
from quotegrid.models.prices import Brownian as Brownian
from quotegrid.models.problem import Problem as Problem
from quotegrid.models.problem import Units as Units
from quotegrid.models.problem_file import ProblemFile as ProblemFile
from quotegrid.models.problem_file import read_problem_file as read_problem_file
from quotegrid.models.requests import Numerics as Numerics
from quotegrid.models.requests import TableRequest as TableRequest
from quotegrid.models.tabulated import Tabulated as Tabulated
from quotegrid.pipeline import solve_file as solve_file
from quotegrid.pipeline import solve_files as solve_files
from quotegrid.solver.many import solve_many as solve_many
from quotegrid.solver.solution import Solution as Solution
from quotegrid.solver.solve import solve as solve
from quotegrid.solver.status import SolveError as SolveError
from quotegrid.solver.status import Status as Status
from quotegrid.table_files import read_table as read_table
from quotegrid.table_files import write_table as write_table
from quotegrid.tables.dataset import to_xarray as to_xarray
from quotegrid.tables.lookup import QuoteError as QuoteError
from quotegrid.tables.policy_table import PolicyTable as PolicyTable
from quotegrid.tables.quoter import Quote as Quote
from quotegrid.tables.quoter import Quoter as Quoter
from quotegrid.tables.table_error import TableError as TableError

__version__: str
