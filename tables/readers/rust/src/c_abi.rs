//! Functions for other languages and for what tries this reader on made-up files.
//!
//! ```c
//! int32_t quotegrid_read(const uint8_t *bytes, size_t size, int32_t header_only, void **table);
//! void quotegrid_free(void *table);
//! size_t quotegrid_error_name(int32_t error, char *text, size_t room);
//! void quotegrid_counts(const void *table, size_t counts[7]);
//! void quotegrid_box(const void *table, size_t axis, double ends[2]);
//! int32_t quotegrid_look_up(const void *table, const int32_t rules[2], const double *coordinates,
//!                           int64_t regime, const double *changes, double *answer);
//! int32_t quotegrid_prices(const void *table, const int32_t rules[4], const double *coordinates,
//!                          int64_t regime, double now, const double *markets, int64_t *ticks, double *prices);
//! ```
//!
//! Errors have the numbers of `qg_error` in quotegrid.h: 0 for none, then those of FORMAT.md §6 and §9, then
//! those of files. Rules and rows are those of FORMAT.md §8 and §9.

use std::boxed::Box;
use std::slice;

use crate::lookup::{Between, Corners, Outside, Rules, State};
use crate::prices::{GuardedQuoter, Market, Moment, Price, Rounding};
use crate::refusals::{FileError, Refusal};
use crate::table::{Check, Table, MAX_AXES};
use crate::tensors::Id;

type Held = Table<&'static [u8]>;

fn number_of(refusal: Refusal) -> i32 {
    refusal.number() as i32
}

/// Check the bytes of a file; `*table` is null where they are refused.
///
/// # Safety
///
/// `bytes` must be `size` readable bytes that stay, unchanged, until `quotegrid_free`; `table` must be writable.
#[no_mangle]
pub unsafe extern "C" fn quotegrid_read(
    bytes: *const u8,
    size: usize,
    header_only: i32,
    table: *mut *mut Held,
) -> i32 {
    let check = if header_only != 0 { Check::Header } else { Check::All };
    // SAFETY: promised by the caller.
    let file = unsafe { slice::from_raw_parts(bytes, size) };
    let (made, error) = match Table::read(file, check) {
        Ok(read) => (Box::into_raw(Box::new(read)), 0),
        Err(error) => (std::ptr::null_mut(), (1 + Refusal::ALL.len() + error as usize) as i32),
    };
    // SAFETY: promised by the caller.
    unsafe { table.write(made) };
    error
}

/// Give a table back.
///
/// # Safety
///
/// `table` must come from `quotegrid_read` and not be used any more, or be null.
#[no_mangle]
pub unsafe extern "C" fn quotegrid_free(table: *mut Held) {
    if !table.is_null() {
        // SAFETY: made by Box::into_raw in `quotegrid_read`.
        drop(unsafe { Box::from_raw(table) });
    }
}

/// Copy the name of an error, not ended by a zero, as far as there is room; returns the length of the whole.
///
/// # Safety
///
/// `text` must be `room` writable bytes.
#[no_mangle]
pub unsafe extern "C" fn quotegrid_error_name(error: i32, text: *mut u8, room: usize) -> usize {
    let names = Refusal::ALL.iter().map(|r| r.name()).chain(FileError::ALL.iter().map(|e| e.name()));
    let name =
        usize::try_from(error).ok().and_then(|n| std::iter::once("ok").chain(names).nth(n)).unwrap_or("");
    // SAFETY: promised by the caller, and two different memories.
    unsafe { std::ptr::copy_nonoverlapping(name.as_ptr(), text, name.len().min(room)) };
    name.len()
}

/// How many there are of: axes of time (0 or 1), regimes, factors, parameter axes, assets, flows, parameters.
///
/// # Safety
///
/// `table` must come from `quotegrid_read`; `counts` must have room for seven.
#[no_mangle]
pub unsafe extern "C" fn quotegrid_counts(table: *const Held, counts: *mut [usize; 7]) {
    // SAFETY: promised by the caller.
    let layout = unsafe { &*table }.view().layout;
    let found = [
        layout.times,
        layout.regimes,
        layout.factors,
        layout.parameter_axes,
        layout.assets,
        layout.flows,
        layout.parameters,
    ];
    // SAFETY: promised by the caller.
    unsafe { counts.write(found) };
}

/// The validity box of an axis: time, factors, parameters, inventories.
///
/// # Safety
///
/// `table` must come from `quotegrid_read` and have so many axes; `ends` must have room for two.
#[no_mangle]
pub unsafe extern "C" fn quotegrid_box(table: *const Held, axis: usize, ends: *mut [f64; 2]) {
    // SAFETY: promised by the caller.
    let axis = unsafe { &*table }.view().layout.axes[axis];
    // SAFETY: promised by the caller.
    unsafe { ends.write([axis.low, axis.high]) };
}

/// One coordinate for each axis but the regimes, as a state.
fn state_of<'a>(table: &Held, coordinates: &'a [f64], regime: i64) -> State<'a> {
    let layout = table.view().layout;
    let (time, rest) = coordinates.split_at(layout.times);
    let (factors, rest) = rest.split_at(layout.factors);
    let (parameters, inventory) = rest.split_at(layout.parameter_axes);
    let regime = (layout.regimes > 0).then_some(regime);
    State { time: time.first().copied(), regime, factors, parameters, inventory }
}

fn rules_of(rules: [i32; 2]) -> Rules {
    let between = match rules[0] {
        0 => Between::Exact,
        1 => Between::Nearest,
        2 => Between::TowardsFlat,
        _ => Between::Linear,
    };
    Rules { between, outside: if rules[1] == 0 { Outside::Refuse } else { Outside::Clamp } }
}

/// The answer to a question, as a row of FORMAT.md §8 from the value on; NaN where there is nothing to say.
///
/// # Safety
///
/// `table` must come from `quotegrid_read`; `coordinates` must be one number for each axis but the regimes,
/// `changes` one for each parameter (or null), and `answer` have room for 5 + 3 flows + 2 assets numbers.
#[no_mangle]
pub unsafe extern "C" fn quotegrid_look_up(
    table: *const Held,
    rules: *const [i32; 2],
    coordinates: *const f64,
    regime: i64,
    changes: *const f64,
    answer: *mut f64,
) -> i32 {
    // SAFETY: promised by the caller.
    let (table, rules) = unsafe { (&*table, rules_of(*rules)) };
    let layout = table.view().layout;
    // SAFETY: promised by the caller.
    let coordinates = unsafe { slice::from_raw_parts(coordinates, layout.axis_count()) };
    let mut corners = Corners::new();
    let quote = match table.look_up(rules, &state_of(table, coordinates, regime), &mut corners) {
        Ok(quote) => quote,
        Err(refusal) => return number_of(refusal),
    };
    let mut place = answer;
    let mut put = |number: Option<f64>| {
        // SAFETY: no more numbers are put than the caller has made room for.
        unsafe {
            place.write(number.unwrap_or(f64::NAN));
            place = place.add(1);
        }
    };
    put(Some(quote.value()));
    (0..layout.flows).for_each(|flow| put(quote.offset(flow)));
    if table.has_hedge_rates() {
        (0..layout.assets).for_each(|asset| put(quote.hedge_rate(asset)));
    }
    if table.has_market_orders() {
        (0..layout.assets).for_each(|asset| put(quote.market_order(asset)));
    }
    if changes.is_null() || layout.tensors[Id::Parameter as usize].is_none() {
        return 0;
    }
    // SAFETY: promised by the caller.
    let changes = unsafe { slice::from_raw_parts(changes, layout.parameters) };
    let shift = match quote.shifted(changes) {
        Ok(shift) => shift,
        Err(refusal) => return number_of(refusal),
    };
    put(Some(shift.value().number));
    put(shift.value().error);
    (0..layout.flows).for_each(|flow| put(shift.offset(flow).map(|found| found.number)));
    (0..layout.flows).for_each(|flow| put(shift.offset(flow).and_then(|found| found.error)));
    if let Some(gain) = shift.gain() {
        put(Some(gain.number));
        put(gain.error);
    }
    0
}

/// The prices of a moment, as in a row of FORMAT.md §9; a price of NaN: not quoted.
///
/// # Safety
///
/// As for `quotegrid_look_up`; `markets` must be four numbers for each asset, and `ticks` and `prices` have
/// room for one for each flow.
#[no_mangle]
pub unsafe extern "C" fn quotegrid_prices(
    table: *const Held,
    rules: *const [i32; 4],
    coordinates: *const f64,
    regime: i64,
    now: f64,
    markets: *const f64,
    ticks: *mut i64,
    prices: *mut f64,
) -> i32 {
    // SAFETY: promised by the caller.
    let (table, [between, outside, inward, post_only]) = unsafe { (&*table, *rules) };
    let layout = table.view().layout;
    // SAFETY: promised by the caller.
    let (coordinates, numbers) = unsafe {
        (
            slice::from_raw_parts(coordinates, layout.axis_count()),
            slice::from_raw_parts(markets, 4 * layout.assets),
        )
    };
    let of = |place: usize| numbers.iter().copied().skip(place).step_by(4);
    let mut tick = [0.0; MAX_AXES];
    let mut symbols = [""; MAX_AXES];
    let mut market = [Market { reference: 0.0, best_bid: 0.0, best_ask: 0.0 }; MAX_AXES];
    for (asset, ((reference, best_bid), best_ask)) in of(1).zip(of(2)).zip(of(3)).enumerate() {
        market[asset] = Market { reference, best_bid, best_ask };
    }
    tick.iter_mut().zip(of(0)).for_each(|(own, tick)| *own = tick);
    symbols.iter_mut().zip(table.symbols().iter()).for_each(|(own, symbol)| *own = symbol);
    let rounding = if inward == 0 { Rounding::Outward } else { Rounding::Inward };
    let rules = rules_of([between, outside]);
    let assets = layout.assets;
    let quoter = GuardedQuoter::new(
        table.clone(),
        &symbols[..assets],
        &tick[..assets],
        rules,
        rounding,
        post_only != 0,
    );
    let moment =
        Moment { now: Some(now), state: state_of(table, coordinates, regime), markets: &market[..assets] };
    let mut found = std::vec![None; layout.flows];
    let asked = quoter.and_then(|quoter| quoter.prices(&moment, &mut Corners::new(), &mut found));
    for (flow, price) in found.iter().enumerate() {
        let price = price.unwrap_or(Price { ticks: 0, price: f64::NAN });
        // SAFETY: there is room for one for each flow.
        unsafe {
            ticks.add(flow).write(price.ticks);
            prices.add(flow).write(price.price);
        }
    }
    asked.map_or_else(number_of, |()| 0)
}
