//! From a moment to prices, or to a refusal: the guards of FORMAT.md §9.
//!
//! ```text
//! bid = reference - offset,  ask = reference + offset,  each a whole number of ticks,
//! ```
//!
//! rounded outward or inward as chosen, never through the other side of the book, with post-only not even at it.
//! An inventory beyond the limits gets the side that brings it back alone.

use crate::lookup::{Corners, Quote, Rules, State};
use crate::refusals::Refusal;
use crate::table::{Table, MAX_AXES};
use crate::tensors::Id;

const LIMITS: f64 = 1e-9; // lots
const ON_TICK: f64 = 1e-6; // ticks; a price so close to a tick is on it
const LARGEST_TICK: f64 = 1e290; // price units; of larger ones some prices are no doubles
const MOST_TICKS: f64 = (1u64 << 50) as f64; // beyond, doubles do not tell ticks apart well enough

/// Where a price between two ticks goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rounding {
    /// Away from the reference price.
    #[default]
    Outward,
    Inward,
}

/// Prices from one table, or typed refusals.
#[derive(Clone, Debug)]
pub struct GuardedQuoter<B> {
    table: Table<B>,
    rules: Rules,
    rounding: Rounding,
    post_only: bool,
    ticks: [f64; MAX_AXES],
}

/// The market in one asset, price units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Market {
    pub reference: f64,
    /// Of the live book; -∞ where there is none.
    pub best_bid: f64,
    /// Of the live book; ∞ where there is none.
    pub best_ask: f64,
}

/// What is known when prices are asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moment<'a> {
    /// Unix seconds; needed where the table has a start.
    pub now: Option<f64>,
    pub state: State<'a>,
    /// One for each asset.
    pub markets: &'a [Market],
}

/// Where to quote.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Price {
    pub ticks: i64,
    /// ticks · tick, price units.
    pub price: f64,
}

impl<B: AsRef<[u8]>> GuardedQuoter<B> {
    /// Take a table into use. Symbols must be the table's own, in its order, with a tick in price units for each.
    ///
    /// `rules.outside` is about time, factors and parameters: inventories beyond the box are moved to its edge,
    /// and only the side that brings them back is quoted. With `post_only` prices never meet the other side of
    /// the book. Refused are wrong-symbol and wrong-tick.
    pub fn new(
        table: Table<B>,
        symbols: &[&str],
        ticks: &[f64],
        rules: Rules,
        rounding: Rounding,
        post_only: bool,
    ) -> Result<GuardedQuoter<B>, Refusal> {
        if !table.symbols().iter().eq(symbols.iter().copied()) {
            return Err(Refusal::WrongSymbol);
        }
        if ticks.len() != symbols.len() || !ticks.iter().all(|&tick| tick > 0.0 && tick <= LARGEST_TICK) {
            return Err(Refusal::WrongTick);
        }
        let mut own = [0.0; MAX_AXES];
        own[..ticks.len()].copy_from_slice(ticks);
        Ok(GuardedQuoter { table, rules, rounding, post_only, ticks: own })
    }

    /// The table in use.
    pub fn table(&self) -> &Table<B> {
        &self.table
    }

    /// The price of every flow, in the order of the table; `None`: not quoted. A refusal leaves no price at all.
    ///
    /// `prices` has a place for each flow (else wrong-coordinates). Allocates nothing.
    pub fn prices(
        &self,
        moment: &Moment,
        corners: &mut Corners,
        prices: &mut [Option<Price>],
    ) -> Result<(), Refusal> {
        prices.fill(None);
        let found = self.find(moment, corners, prices);
        if found.is_err() {
            prices.fill(None);
        }
        found
    }

    fn find(
        &self,
        moment: &Moment,
        corners: &mut Corners,
        prices: &mut [Option<Price>],
    ) -> Result<(), Refusal> {
        let assets = self.table.symbols().len();
        self.check_life(moment.now)?;
        if moment.markets.len() != assets
            || moment.state.inventory.len() != assets
            || prices.len() != self.table.flow_count()
        {
            return Err(Refusal::WrongCoordinates);
        }
        self.check_markets(moment.markets)?;
        let (lots, beyond) = self.within_limits(moment.state.inventory)?;
        let state = State { inventory: &lots[..assets], ..moment.state };
        let quote = self.table.look_up(self.rules, &state, corners)?;
        for (flow, place) in prices.iter_mut().enumerate() {
            *place = self.in_ticks(&quote, flow, moment.markets, &beyond)?;
        }
        for asset in 0..assets {
            self.round(asset, prices)?;
        }
        for (flow, place) in prices.iter_mut().enumerate() {
            let Some(price) = place else { continue };
            let (asset, side) = self.asset_and_side(flow);
            let (market, tick) = (moment.markets[asset], self.ticks[asset]);
            let other = if side > 0 { market.best_ask } else { market.best_bid };
            price.ticks = self.in_book(price.ticks, side, other / tick);
            price.price = price.ticks as f64 * tick;
        }
        Ok(())
    }

    /// Step 1.
    fn check_life(&self, now: Option<f64>) -> Result<(), Refusal> {
        let Some(start) = self.table.start() else { return Ok(()) };
        let now = now.ok_or(Refusal::WrongCoordinates)?;
        if !now.is_finite() {
            return Err(Refusal::NotANumber);
        }
        if now < start {
            return Err(Refusal::TooEarly);
        }
        match self.table.life() {
            Some(life) if now - start > life => Err(Refusal::Expired),
            _ => Ok(()),
        }
    }

    /// Step 2.
    fn check_markets(&self, markets: &[Market]) -> Result<(), Refusal> {
        for (asset, market) in markets.iter().enumerate() {
            if !market.reference.is_finite() || market.best_bid.is_nan() || market.best_ask.is_nan() {
                return Err(Refusal::NotANumber);
            }
            let (low, high) = self.table.price_box(asset).unwrap_or((f64::NEG_INFINITY, f64::INFINITY));
            if market.reference < low || market.reference > high {
                return Err(Refusal::OutsidePriceBox);
            }
            if market.best_bid >= market.best_ask {
                return Err(Refusal::CrossedMarket);
            }
        }
        Ok(())
    }

    /// Step 3: lots inside the box, and for each asset 1 if it was above, -1 if below, 0 if inside.
    fn within_limits(&self, inventory: &[f64]) -> Result<([f64; MAX_AXES], [i64; MAX_AXES]), Refusal> {
        let (mut lots, mut beyond) = ([0.0; MAX_AXES], [0; MAX_AXES]);
        for (asset, &x) in inventory.iter().enumerate() {
            if !x.is_finite() {
                return Err(Refusal::NotANumber);
            }
            let axis = self.table.view().layout.inventory_axis(asset);
            (lots[asset], beyond[asset]) = if axis.low - x > LIMITS {
                (axis.low, -1)
            } else if x - axis.high > LIMITS {
                (axis.high, 1)
            } else {
                (x, 0)
            };
        }
        Ok((lots, beyond))
    }

    #[inline]
    fn asset_and_side(&self, flow: usize) -> (usize, i64) {
        let view = self.table.view();
        (view.integers(Id::FlowAsset).at(flow) as usize, view.integers(Id::FlowSide).at(flow))
    }

    /// Step 4: what a flow is worth, not yet in whole ticks: u is in `price`.
    fn in_ticks(
        &self,
        quote: &Quote,
        flow: usize,
        markets: &[Market],
        beyond: &[i64],
    ) -> Result<Option<Price>, Refusal> {
        let (asset, side) = self.asset_and_side(flow);
        let Some(offset) = quote.offset(flow).filter(|_| side * beyond[asset] <= 0) else { return Ok(None) };
        let reference = markets[asset].reference;
        let worth = if side > 0 { reference - offset } else { reference + offset };
        let u = worth / self.ticks[asset];
        if u.abs() <= MOST_TICKS {
            Ok(Some(Price { ticks: 0, price: u }))
        } else {
            Err(Refusal::NotANumber)
        }
    }

    /// Steps 5 and 6: whole ticks, outward where inward would make bids and asks of an asset meet.
    fn round(&self, asset: usize, prices: &mut [Option<Price>]) -> Result<(), Refusal> {
        for outward in [self.rounding == Rounding::Outward, true] {
            let (mut highest_bid, mut lowest_ask) = (i64::MIN, i64::MAX);
            for (flow, place) in prices.iter_mut().enumerate() {
                let (of, side) = self.asset_and_side(flow);
                let Some(price) = place.as_mut().filter(|_| of == asset) else { continue };
                price.ticks = whole(price.price, (side < 0) == outward);
                if side > 0 {
                    highest_bid = highest_bid.max(price.ticks);
                } else {
                    lowest_ask = lowest_ask.min(price.ticks);
                }
            }
            if highest_bid < lowest_ask {
                return Ok(());
            }
        }
        Err(Refusal::CrossedQuotes)
    }

    /// Step 7: not through the best price of the other side, u ticks, nor, post-only, at it.
    fn in_book(&self, ticks: i64, side: i64, u: f64) -> i64 {
        if u.is_nan() || u.abs() > MOST_TICKS {
            return ticks;
        }
        let limit = whole(u, side < 0);
        let on_tick = whole(u, side > 0) == limit;
        let limit = if self.post_only && on_tick { limit - side } else { limit };
        if side > 0 {
            ticks.min(limit)
        } else {
            ticks.max(limit)
        }
    }
}

/// The tick itself if a price of u ticks is on one, else the next one up or down; |u| ≤ 2⁵⁰.
fn whole(u: f64, up: bool) -> i64 {
    let cut = u as i64; // towards 0
    let below = if cut as f64 > u { cut - 1 } else { cut };
    if u - below as f64 <= ON_TICK {
        below
    } else if (below + 1) as f64 - u <= ON_TICK {
        below + 1
    } else {
        below + i64::from(up)
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::{GuardedQuoter, Market, Moment, Rounding};
    use crate::{Check, Corners, Refusal, Rules, State, Table};

    const TINY: &[u8] = include_bytes!("../examples/tiny.safetensors");
    const MARKET: Market = Market { reference: 100.0, best_bid: 99.0, best_ask: 101.0 };

    fn quoter(symbols: &[&str], ticks: &[f64]) -> Result<GuardedQuoter<&'static [u8]>, Refusal> {
        let table = Table::read(TINY, Check::All).unwrap();
        GuardedQuoter::new(table, symbols, ticks, Rules::default(), Rounding::Outward, true)
    }

    #[test]
    fn symbols_and_ticks_are_those_of_the_table() {
        for symbols in [&["GLFT2014"][..], &[], &["GLFT2013", "GLFT2013"], &["GLFT"], &[""]] {
            assert_eq!(quoter(symbols, &[0.01]).err(), Some(Refusal::WrongSymbol));
        }
        for ticks in [&[0.0][..], &[], &[-0.01], &[f64::NAN], &[f64::INFINITY], &[1.1e290], &[0.01, 0.01]] {
            assert_eq!(quoter(&["GLFT2013"], ticks).err(), Some(Refusal::WrongTick));
        }
    }

    #[test]
    fn a_refusal_leaves_no_price() {
        let quoter = quoter(&["GLFT2013"], &[0.01]).unwrap();
        let mut corners = Corners::new();
        let mut prices = [None; 2];
        let state = State { time: Some(0.0), inventory: &[1.0], ..State::default() };
        let mut ask = |state: State, markets: &[Market]| {
            let moment = Moment { now: None, state, markets };
            let refusal = quoter.prices(&moment, &mut corners, &mut prices).err();
            (refusal, prices.map(|price| price.is_some()))
        };
        assert_eq!(ask(state, &[MARKET]), (None, [true, true]));
        let crossed = Market { best_bid: 101.0, ..MARKET };
        assert_eq!(ask(state, &[crossed]), (Some(Refusal::CrossedMarket), [false, false]));
        assert_eq!(ask(state, &[]), (Some(Refusal::WrongCoordinates), [false, false]));
        let nan = Market { best_ask: f64::NAN, ..MARKET };
        assert_eq!(ask(state, &[nan]), (Some(Refusal::NotANumber), [false, false]));
        let long = State { inventory: &[4.5], ..state };
        assert_eq!(ask(long, &[MARKET]), (None, [false, true]));
        let short = State { inventory: &[-4.5], ..state };
        assert_eq!(ask(short, &[MARKET]), (None, [true, false]));
        let no_room = quoter.prices(&Moment { now: None, state, markets: &[MARKET] }, &mut corners, &mut []);
        assert_eq!(no_room, Err(Refusal::WrongCoordinates));
    }
}
