//! Tries the reader on the conformance files of FORMAT.md §8 and §9:
//!
//! ```text
//! conformance FILE...          NAME.vectors, NAME.prices: answered bit for bit; NAME.safetensors: refused with NAME
//! conformance cut FILE...      good tables: every truncation and every flipped bit refused
//! ```
//!
//! A file named after a rule of the metadata, which this reader does not take apart, may be accepted. Memory that
//! is allocated while questions are answered is counted. Ends with 1 if anything differs.

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use quotegrid::{
    Between, Check, Corners, GuardedQuoter, Market, Moment, Outside, Price, Rounding, Rules, State,
};

type Table<'a> = quotegrid::Table<&'a [u8]>;

/// The system's allocator, counted.
struct Counted;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: hands on to the system's allocator what it is given.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's own layout.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: allocated above with this layout.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counted = Counted;

/// A row, word by word.
struct Row<'a>(std::slice::ChunksExact<'a, u8>);

impl Row<'_> {
    fn integer(&mut self) -> i64 {
        i64::from_le_bytes(self.0.next().expect("a row as wide as its table").try_into().expect("8 bytes"))
    }

    fn number(&mut self) -> f64 {
        f64::from_bits(self.integer() as u64)
    }

    /// Is the next word this number, to the last bit? All NaNs are one; `None` is NaN.
    fn is(&mut self, mine: Option<f64>) -> bool {
        let (mine, theirs) = (mine.unwrap_or(f64::NAN), self.number());
        (mine.is_nan() && theirs.is_nan()) || mine.to_bits() == theirs.to_bits()
    }

    fn rules(&mut self) -> Rules {
        let between = match self.integer() {
            0 => Between::Exact,
            1 => Between::Nearest,
            2 => Between::TowardsFlat,
            _ => Between::Linear,
        };
        let outside = if self.integer() == 0 { Outside::Refuse } else { Outside::Clamp };
        Rules { between, outside }
    }
}

/// Coordinates as they stand in a row.
struct Coordinates {
    numbers: [f64; quotegrid::MAX_AXES],
    counts: [usize; 4], // of time, factors, parameter axes, assets
    regime: Option<i64>,
}

impl Coordinates {
    fn of(table: &Table, row: &mut Row) -> Coordinates {
        let times = usize::from(table.has_time());
        let counts = [times, table.factors().len(), table.parameter_axes().len(), table.symbols().len()];
        let mut found = Coordinates { numbers: [0.0; quotegrid::MAX_AXES], counts, regime: None };
        for place in 0..counts.iter().sum() {
            if place == times && !table.regimes().is_empty() {
                found.regime = Some(row.integer());
            }
            found.numbers[place] = row.number();
        }
        found
    }

    fn state(&self) -> State<'_> {
        let [times, factors, parameters, assets] = self.counts;
        let (time, rest) = self.numbers.split_at(times);
        let (factors, rest) = rest.split_at(factors);
        let (parameters, rest) = rest.split_at(parameters);
        let inventory = &rest[..assets];
        State { time: time.first().copied(), regime: self.regime, factors, parameters, inventory }
    }
}

/// What is used again for every row.
struct Room {
    corners: Corners,
    changes: Vec<f64>,
    prices: Vec<Option<Price>>,
}

/// One row of vectors: whether the answer is the one that stands behind the question.
fn answer_fits(table: &Table, mut row: Row, room: &mut Room) -> bool {
    let rules = row.rules();
    let coordinates = Coordinates::of(table, &mut row);
    room.changes.iter_mut().for_each(|change| *change = row.number());
    let refusal = row.integer();
    let quote = match table.look_up(rules, &coordinates.state(), &mut room.corners) {
        Ok(quote) => quote,
        Err(mine) => return mine.number() == refusal,
    };
    let (flows, assets) = (table.flow_count(), table.symbols().len());
    let mut good = refusal == 0 && row.integer() == i64::from(quote.clamped());
    good &= row.is(Some(quote.value()));
    good &= (0..flows).all(|flow| row.is(quote.offset(flow)));
    if table.has_hedge_rates() {
        good &= (0..assets).all(|asset| row.is(quote.hedge_rate(asset)));
    }
    if table.has_market_orders() {
        good &= (0..assets).all(|asset| row.is(quote.market_order(asset)));
    }
    if table.parameters().is_empty() {
        return good && row.0.next().is_none();
    }
    let Ok(shift) = quote.shifted(&room.changes) else { return false };
    good &= row.is(Some(shift.value().number)) && row.is(shift.value().error);
    good &= (0..flows).all(|flow| row.is(shift.offset(flow).map(|found| found.number)));
    good &= (0..flows).all(|flow| row.is(shift.offset(flow).and_then(|found| found.error)));
    if let Some(gain) = shift.gain() {
        good &= row.is(Some(gain.number)) && row.is(gain.error);
    }
    good && row.0.next().is_none()
}

/// One moment: whether the prices are those that stand behind it.
fn prices_fit(table: &Table, mut row: Row, room: &mut Room) -> bool {
    let rules = row.rules();
    let rounding = if row.integer() == 0 { Rounding::Outward } else { Rounding::Inward };
    let post_only = row.integer() != 0;
    let coordinates = Coordinates::of(table, &mut row);
    let now = Some(row.number());
    let assets = table.symbols().len();
    let mut ticks = [0.0; quotegrid::MAX_AXES];
    let mut symbols = [""; quotegrid::MAX_AXES];
    let mut markets = [Market { reference: 0.0, best_bid: 0.0, best_ask: 0.0 }; quotegrid::MAX_AXES];
    for asset in 0..assets {
        ticks[asset] = row.number();
        symbols[asset] = table.symbols().get(asset).unwrap_or("");
        let (reference, best_bid, best_ask) = (row.number(), row.number(), row.number());
        markets[asset] = Market { reference, best_bid, best_ask };
    }
    let (symbols, ticks) = (&symbols[..assets], &ticks[..assets]);
    let quoter = GuardedQuoter::new(table.clone(), symbols, ticks, rules, rounding, post_only);
    let moment = Moment { now, state: coordinates.state(), markets: &markets[..assets] };
    let refusal = row.integer();
    let found = quoter.and_then(|quoter| quoter.prices(&moment, &mut room.corners, &mut room.prices));
    if let Err(mine) = found {
        return mine.number() == refusal && room.prices.iter().all(Option::is_none);
    }
    let fits = |price: &Option<Price>| {
        row.integer() == i64::from(price.is_some())
            && row.integer() == price.map_or(0, |price| price.ticks)
            && row.is(price.map(|price| price.price))
    };
    refusal == 0 && room.prices.iter().all(fits) && row.0.next().is_none()
}

/// A file of vectors or prices.
fn rows_fit(path: &str, file: &[u8]) -> bool {
    let word = |place: usize| {
        let bytes = file.get(8 * place..8 * place + 8).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u64::from_le_bytes) as usize
    };
    let (words, rows, width) = (word(1), word(2), word(3));
    let fits = match file.get(..8) {
        Some(b"QGVECTOR") => answer_fits,
        Some(b"QGPRICES") => prices_fit,
        _ => return false,
    };
    if file.len() != 8 * (8 + words + rows * width) {
        return false;
    }
    let (bytes, answers) = file[64..].split_at(8 * words);
    let table = match Table::read(bytes, Check::All) {
        Ok(table) => table,
        Err(error) => {
            println!("{path}: {error}");
            return false;
        }
    };
    let mut room = Room {
        corners: Corners::new(),
        changes: vec![0.0; table.parameters().len()],
        prices: vec![None; table.flow_count()],
    };
    let (mut good, mut first) = (0, None);
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for (number, row) in answers.chunks_exact(8 * width).enumerate() {
        if fits(&table, Row(row.chunks_exact(8)), &mut room) {
            good += 1;
        } else {
            first = first.or(Some(number));
        }
    }
    let allocated = ALLOCATIONS.load(Ordering::Relaxed) - before;
    if let Some(number) = first {
        println!("{path}: row {number} differs");
    }
    println!("{path}: {good} of {rows} rows fit, {allocated} allocations");
    good == rows && allocated == 0
}

/// Is a file refused with its own name?
fn refused_by_name(path: &str, file: &[u8]) -> bool {
    let name = Path::new(path).file_stem().and_then(|stem| stem.to_str()).unwrap_or("");
    match Table::read(file, Check::All) {
        Ok(_) if ["metadata-json", "metadata-canonical", "metadata-field"].contains(&name) => true,
        Err(error) if error.name() == name => true,
        Ok(_) => {
            println!("{path}: ok");
            false
        }
        Err(error) => {
            println!("{path}: {error}");
            false
        }
    }
}

/// Is a good table refused when it is cut off, or has one bit flipped, anywhere?
fn every_cut_refused(path: &str, file: &mut [u8]) -> bool {
    let reads = |file: &[u8]| Table::read(file, Check::All).is_ok();
    if !reads(file) {
        println!("{path}: is no good table");
        return false;
    }
    let mut accepted = (0..file.len()).filter(|&length| reads(&file[..length])).count();
    for bit in 0..8 * file.len() {
        file[bit / 8] ^= 1 << (bit % 8);
        accepted += usize::from(reads(file));
        file[bit / 8] ^= 1 << (bit % 8);
    }
    println!("{path}: {} cuts and {} flipped bits, {accepted} not refused", file.len(), 8 * file.len());
    accepted == 0
}

fn main() -> ExitCode {
    let mut paths: Vec<String> = std::env::args().skip(1).collect();
    let cut = paths.first().is_some_and(|word| word == "cut");
    paths.drain(..usize::from(cut));
    let mut good = !paths.is_empty();
    for path in &paths {
        good &= match std::fs::read(path) {
            Ok(mut file) if cut => every_cut_refused(path, &mut file),
            Ok(file) if path.ends_with(".safetensors") => refused_by_name(path, &file),
            Ok(file) => rows_fit(path, &file),
            Err(error) => {
                println!("{path}: {error}");
                false
            }
        };
    }
    ExitCode::from(u8::from(!good))
}
