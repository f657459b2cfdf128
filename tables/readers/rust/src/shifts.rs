//! Quotes after small changes of parameters (FORMAT.md §6, Shifts), with an estimate of what the first order
//! leaves out:
//!
//! ```text
//! after = before + Σ h_i d_i,    error = (Σ |h_i| sqrt(½ |c_i|))²
//! ```

use crate::lookup::Quote;
use crate::refusals::Refusal;
use crate::square_root::square_root;
use crate::tensors::{Id, Numbers};

/// A number to first order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    pub number: f64,
    /// What the first order leaves out; `None`: nothing is said of it.
    pub error: Option<f64>,
}

/// What a table says at a state after its parameters have changed.
#[derive(Clone, Copy, Debug)]
pub struct Shift<'a> {
    quote: Quote<'a>,
    changes: &'a [f64],
}

impl<'a> Quote<'a> {
    /// After changes of all parameters, in the order of `Table::parameters`; 0 for those that have not changed.
    ///
    /// Refused are changes that are not one for each parameter (or of a table without sensitivities:
    /// wrong-coordinates), or not finite (not-a-number).
    pub fn shifted(&self, changes: &'a [f64]) -> Result<Shift<'a>, Refusal> {
        if self.view.optional(Id::Parameter).is_none() || changes.len() != self.view.layout.parameters {
            return Err(Refusal::WrongCoordinates);
        }
        if changes.iter().all(|change| change.is_finite()) {
            Ok(Shift { quote: *self, changes })
        } else {
            Err(Refusal::NotANumber)
        }
    }
}

impl Shift<'_> {
    /// The value.
    pub fn value(&self) -> Estimate {
        let (moved, error) = self.moved(Id::ValueSensitivity, Id::ValueCurvature, 1, 0);
        Estimate { number: self.quote.value() + moved, error: Some(error) }
    }

    /// An offset, stopped at its bounds; `None`: the flow is off.
    ///
    /// Panics where the table has no flow of this number.
    pub fn offset(&self, flow: usize) -> Option<Estimate> {
        let (view, flows) = (self.quote.view, self.quote.view.layout.flows);
        let before = self.quote.offset(flow)?;
        let (moved, error) = self.moved(Id::OffsetSensitivity, Id::OffsetCurvature, flows, flow);
        let after = before + moved;
        let (low, high) = (self.bound(2 * flow), self.bound(2 * flow + 1));
        let hold = view.integers(Id::OffsetHold);
        let free = self.quote.corners.states().all(|state| hold.at(state * flows + flow) == 0);
        let error = (free && low <= after && after <= high).then_some(error);
        let raised = if after < low { low } else { after };
        Some(Estimate { number: if raised > high { high } else { raised }, error })
    }

    /// The long-run gain per time; `None` where the table has none.
    pub fn gain(&self) -> Option<Estimate> {
        let view = self.quote.view;
        let gain = view.optional(Id::Gain)?.at(0);
        let (slopes, bends) = (view.numbers(Id::GainSensitivity), view.numbers(Id::GainCurvature));
        let (moved, error) = first_order(self.changes, |i| slopes.at(i), |i| bends.at(i));
        Some(Estimate { number: gain + moved, error: Some(error) })
    }

    /// A bound of an offset, which may itself be a parameter.
    fn bound(&self, place: usize) -> f64 {
        let bound = self.quote.view.numbers(Id::OffsetBound).at(place);
        match usize::try_from(self.quote.view.integers(Id::OffsetBoundParameter).at(place)) {
            Ok(parameter) => bound + self.changes[parameter],
            Err(_) => bound, // -1
        }
    }

    /// Shift and error of a number that has `row` to a state.
    fn moved(&self, slopes: Id, bends: Id, row: usize, column: usize) -> (f64, f64) {
        let (view, corners) = (self.quote.view, self.quote.corners);
        let at =
            |numbers: Numbers, i: usize| corners.sum(numbers.from(i * view.layout.states * row), row, column);
        let (slopes, bends) = (view.numbers(slopes), view.numbers(bends));
        first_order(self.changes, |i| at(slopes, i), |i| at(bends, i))
    }
}

fn first_order(changes: &[f64], slope: impl Fn(usize) -> f64, bend: impl Fn(usize) -> f64) -> (f64, f64) {
    let (mut moved, mut left_out) = (0.0, 0.0);
    for (i, change) in changes.iter().enumerate() {
        moved += change * slope(i);
        left_out += change.abs() * square_root(0.5 * bend(i).abs());
    }
    (moved, left_out * left_out)
}
