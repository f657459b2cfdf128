//! Where a state falls between the nodes of a table, and what the table says there (FORMAT.md §6).
//!
//! Between the nodes x_i and x_{i+1} of an axis a coordinate x has the weights
//!
//! ```text
//! 1 - w  and  w,    w = (x - x_i)/(x_{i+1} - x_i),
//! ```
//!
//! and a number of the table is the sum over the corners, products of weights times the number there. Every
//! operation is one rounding, in the order written here: Rust neither fuses nor reorders them.

use core::hint::select_unpredictable;

use crate::refusals::Refusal;
use crate::table::{Axis, Table, View, MAX_AXES};
use crate::tensors::{Id, Numbers};

const MOST_CORNERS: usize = 1 << MAX_AXES; // two on every axis
const LOTS: f64 = 1e-9; // what a fill may be beyond the limits by rounding

/// What an inventory between two nodes means. (Time, factors and parameters are always linear.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Between {
    /// A refusal.
    #[default]
    Exact,
    /// The nearer node; a tie goes to the smaller |x|.
    Nearest,
    /// The node with the smaller |x|: a partly filled lot counts as not yet held.
    TowardsFlat,
    /// Both, with weights.
    Linear,
}

/// What a state outside of the validity box means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outside {
    /// A refusal.
    #[default]
    Refuse,
    /// The edge of the box.
    Clamp,
}

/// What is chosen once, when a table is loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    pub between: Between,
    pub outside: Outside,
}

/// One coordinate for each axis of the table; `None` or empty for what the table does not have.
#[derive(Clone, Copy, Debug, Default)]
pub struct State<'a> {
    /// Calendar time, in the time unit of the table.
    pub time: Option<f64>,
    /// Its number, from 0: see `Table::regimes`.
    pub regime: Option<i64>,
    /// In the order of `Table::factors`.
    pub factors: &'a [f64],
    /// In the order of `Table::parameter_axes`.
    pub parameters: &'a [f64],
    /// Lots, positive is long, in the order of `Table::symbols`.
    pub inventory: &'a [f64],
}

/// Room for where a state falls. It is made once and used again for each question, of any table.
#[derive(Clone, Debug)]
pub struct Corners {
    count: usize,
    base: usize,                   // states up to the first corner
    states: [usize; MOST_CORNERS], // from there on
    weights: [f64; MOST_CORNERS],
    clamped: u32,
    near_limit: bool,           // nearest or towards_flat, and a fill may leave the limits
    inventory: [f64; MAX_AXES], // as given, but clamped and snapped to nodes
}

impl Corners {
    pub const fn new() -> Corners {
        Corners {
            count: 0,
            base: 0,
            states: [0; MOST_CORNERS],
            weights: [0.0; MOST_CORNERS],
            clamped: 0,
            near_limit: false,
            inventory: [0.0; MAX_AXES],
        }
    }

    /// Multiply the corners found so far by those of one more axis.
    #[inline(always)]
    fn extend(&mut self, along: Along, stride: usize) {
        let (node, w) = match along {
            Along::Node(node) => {
                self.base += node * stride;
                return;
            }
            Along::Between(node, w) => (node, w),
        };
        self.base += node * stride;
        let (states, weights) = (&mut self.states, &mut self.weights);
        match self.count {
            // the loop below, unrolled: these stay in registers
            1 => {
                states[1] = stride;
                (weights[0], weights[1]) = (1.0 - w, w);
                self.count = 2;
            }
            2 => {
                let (step, low, high) = (states[1], weights[0], weights[1]);
                (states[1], states[2], states[3]) = (stride, step, step + stride);
                (weights[0], weights[1]) = (low * (1.0 - w), low * w);
                (weights[2], weights[3]) = (high * (1.0 - w), high * w);
                self.count = 4;
            }
            count => {
                for c in (0..count).rev() {
                    // backwards: corner c becomes 2c and 2c + 1
                    let (state, weight) = (states[c], weights[c]);
                    (states[2 * c], states[2 * c + 1]) = (state, state + stride);
                    (weights[2 * c], weights[2 * c + 1]) = (weight * (1.0 - w), weight * w);
                }
                self.count = 2 * count;
            }
        }
    }

    /// One more axis; the coordinate clamped and snapped.
    #[inline(always)]
    fn take(&mut self, view: View, place: usize, rules: Rules, x: f64) -> Result<f64, Refusal> {
        let axis = &view.layout.axes[place];
        let (along, settled, clamped) = axis.along(view.numbers(axis.id), rules, x)?;
        self.clamped |= u32::from(clamped) << place;
        self.extend(along, axis.stride);
        Ok(settled)
    }

    pub(crate) fn states(&self) -> impl Iterator<Item = usize> + '_ {
        self.states[..self.count].iter().map(|state| self.base + state)
    }

    /// Σ weight · number; a state has `row` numbers, of which this is number `column`.
    #[inline(always)]
    pub(crate) fn sum(&self, numbers: Numbers, row: usize, column: usize) -> f64 {
        let (states, weights) = (&self.states, &self.weights);
        let base = self.base * row + column;
        let first = numbers.at(base);
        if self.count == 1 {
            return first;
        }
        let mut total = weights[0] * first + weights[1] * numbers.at(base + states[1] * row);
        if self.count == 2 {
            return total;
        }
        total += weights[2] * numbers.at(base + states[2] * row);
        total += weights[3] * numbers.at(base + states[3] * row);
        for c in 4..self.count.min(MOST_CORNERS) {
            total += weights[c] * numbers.at(base + states[c] * row);
        }
        total
    }
}

impl Default for Corners {
    fn default() -> Corners {
        Corners::new()
    }
}

/// The corners of one axis.
enum Along {
    Node(usize),
    Between(usize, f64), // this node with weight 1 - w, the next with w
}

/// The last node that is not above x, or 0.
fn search(nodes: Numbers, count: usize, x: f64) -> usize {
    let (mut low, mut left) = (0, count);
    while left > 1 {
        let half = left / 2;
        low += select_unpredictable(nodes.at(low + half) <= x, half, 0); // no branch to mispredict
        left -= half;
    }
    low
}

impl Axis {
    /// The same: guessed, as if the nodes were evenly spread, or else searched for.
    #[inline(always)]
    fn node_below(&self, nodes: Numbers, x: f64) -> usize {
        let guess = (x - self.first) * self.nodes_per_unit;
        if guess >= 0.0 && guess < self.steps {
            let i = guess as usize;
            if nodes.at(i) <= x && x < nodes.at(i + 1) {
                return i;
            }
        }
        search(nodes, self.count, x)
    }

    /// Steps 1 to 3: the corners, the coordinate clamped and snapped, and whether it was clamped.
    #[inline(always)]
    fn along(&self, nodes: Numbers, rules: Rules, mut x: f64) -> Result<(Along, f64, bool), Refusal> {
        let inside = self.low - x <= self.snap && x - self.high <= self.snap; // not so of NaN
        if !inside {
            if !x.is_finite() {
                return Err(Refusal::NotANumber);
            }
            if rules.outside == Outside::Refuse {
                return Err(Refusal::OutsideBox);
            }
            x = if x < self.low { self.low } else { self.high };
        }
        let i = self.node_below(nodes, x);
        let low = nodes.at(i);
        if (x - low).abs() <= self.snap || i + 1 == self.count {
            return Ok((Along::Node(i), low, !inside));
        }
        let high = nodes.at(i + 1);
        let (below, above) = (x - low, high - x);
        if above <= self.snap {
            return Ok((Along::Node(i + 1), high, !inside));
        }
        let (nearer, level) = (above < below, above == below);
        let (flatter, as_flat) = (high.abs() < low.abs(), high.abs() == low.abs());
        let along = match rules.between {
            Between::Exact => return Err(Refusal::BetweenNodes),
            Between::Nearest => Along::Node(i + usize::from(nearer | (level & flatter))),
            Between::TowardsFlat => Along::Node(i + usize::from(flatter | (as_flat & nearer))),
            Between::Linear => Along::Between(i, below / (high - low)),
        };
        Ok((along, x, !inside))
    }
}

/// What a table says at a state.
#[derive(Clone, Copy, Debug)]
pub struct Quote<'a> {
    pub(crate) view: View<'a>,
    pub(crate) corners: &'a Corners,
}

impl<B: AsRef<[u8]>> Table<B> {
    /// Where a state falls in the table; every number follows from it. Allocates nothing.
    #[inline(always)]
    pub fn look_up<'a>(
        &'a self,
        rules: Rules,
        state: &State,
        corners: &'a mut Corners,
    ) -> Result<Quote<'a>, Refusal> {
        let view = self.view();
        let layout = view.layout;
        let fits = state.time.is_some() == (layout.times > 0)
            && state.regime.is_some() == (layout.regimes > 0)
            && state.factors.len() == layout.factors
            && state.parameters.len() == layout.parameter_axes
            && state.inventory.len() == layout.assets;
        if !fits {
            return Err(Refusal::WrongCoordinates);
        }
        corners.count = 1;
        corners.base = 0;
        corners.states[0] = 0;
        corners.weights[0] = 1.0;
        corners.clamped = 0;
        corners.near_limit = false;
        let linear = Rules { between: Between::Linear, ..rules };
        let mut place = 0;
        if let Some(time) = state.time {
            corners.take(view, place, linear, time)?;
            place += 1;
        }
        if let Some(regime) = state.regime {
            let known = usize::try_from(regime).ok().filter(|&regime| regime < layout.regimes);
            corners.base += known.ok_or(Refusal::UnknownRegime)? * layout.regime_stride;
        }
        for &x in state.factors {
            corners.take(view, place, linear, x)?;
            place += 1;
        }
        for &x in state.parameters {
            corners.take(view, place, linear, x)?;
            place += 1;
        }
        let rounds = matches!(rules.between, Between::Nearest | Between::TowardsFlat);
        for (asset, &x) in state.inventory.iter().enumerate() {
            let settled = corners.take(view, place, rules, x)?;
            let axis = &layout.axes[place];
            corners.inventory[asset] = settled;
            corners.near_limit |= rounds && !(axis.free_low <= settled && settled <= axis.free_high);
            place += 1;
        }
        Ok(Quote { view, corners })
    }
}

impl Quote<'_> {
    /// The value of the inventory above its marked price; with a gain, up to a constant.
    #[inline]
    pub fn value(&self) -> f64 {
        self.corners.sum(self.view.numbers(Id::Value), 1, 0)
    }

    /// The distance of a flow's quote from the reference price, price units: bid = reference - offset,
    /// ask = reference + offset. `None`: the flow is off.
    ///
    /// Panics where the table has no flow of this number.
    #[inline]
    pub fn offset(&self, flow: usize) -> Option<f64> {
        let offset = self.raw_offset(flow);
        (!offset.is_nan()).then_some(offset)
    }

    /// The same with NaN for off. (Called for every quote: as a call of its own it takes as long again.)
    #[inline(always)]
    pub(crate) fn raw_offset(&self, flow: usize) -> f64 {
        let (view, layout) = (self.view, self.view.layout);
        assert!(flow < layout.flows, "flow {flow} of a table with {} flows", layout.flows);
        if self.corners.near_limit {
            // a fill must not leave the limits from the inventory that was given
            let asset = view.integers(Id::FlowAsset).at(flow) as usize;
            let fill = view.integers(Id::FlowSide).at(flow) * view.integers(Id::FlowSize).at(flow);
            let axis = layout.inventory_axis(asset);
            let after = self.corners.inventory[asset] + fill as f64;
            if axis.first - after > LOTS || after - axis.last > LOTS {
                return f64::NAN;
            }
        }
        self.corners.sum(view.numbers(Id::Offset), layout.flows, flow)
    }

    /// Units of an asset to trade per time, positive buys; `None` where the table says nothing of it.
    ///
    /// Panics where the table has no asset of this number.
    pub fn hedge_rate(&self, asset: usize) -> Option<f64> {
        self.control(Id::HedgeRate, asset)
    }

    /// Lots of an asset to trade at once, positive buys; `None` where the table says nothing of it.
    ///
    /// Panics where the table has no asset of this number.
    pub fn market_order(&self, asset: usize) -> Option<f64> {
        self.control(Id::MarketOrder, asset)
    }

    fn control(&self, id: Id, asset: usize) -> Option<f64> {
        let assets = self.view.layout.assets;
        assert!(asset < assets, "asset {asset} of a table with {assets} assets");
        let found = self.corners.sum(self.view.optional(id)?, assets, asset);
        (!found.is_nan()).then_some(found)
    }

    /// Bit i: axis i (time, factors, parameters, inventories) was outside of the box and moved to its edge.
    pub fn clamped(&self) -> u32 {
        self.corners.clamped
    }
}
