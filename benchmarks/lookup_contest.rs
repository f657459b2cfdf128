//! What lookup_contest.c does, in Rust: the same questions in the same table, by the crate and by hand.
//!
//! By hand means slices with the checks of their bounds that Rust makes, and nothing unsafe but to get at the memory.

use std::slice;

use quotegrid::{Between, Check, Corners, Outside, Rules, State, Table};

#[repr(C)]
pub struct Line {
    nodes: *const f64,
    count: i64,
    per_unit: f64,
}

#[repr(C)]
pub struct Grid {
    time: Line,
    factor: Line,
    lots: Line,
    offset: *const f64,
}

#[repr(C)]
pub struct Questions {
    time: *const f64,
    factor: *const f64,
    lots: *const f64,
    count: i64,
    none: u64, // 0, which the compiler does not know
}

type Held = Table<&'static [u8]>;

/// # Safety
/// `bytes` are `size` bytes of a table, and stay.
#[no_mangle]
pub unsafe extern "C" fn open_table(bytes: *const u8, size: usize) -> *const Held {
    let file: &'static [u8] = slice::from_raw_parts(bytes, size);
    Box::into_raw(Box::new(Table::read(file, Check::All).expect("a table")))
}

// ---- by hand -----------------------------------------------------------------------------------

#[derive(Clone, Copy)]
struct Axis<'a> {
    nodes: &'a [f64],
    per_unit: f64,
}

impl Axis<'_> {
    #[inline]
    fn clamped(&self, x: f64) -> f64 {
        let (low, high) = (self.nodes[0], self.nodes[self.nodes.len() - 1]);
        if x < low {
            low
        } else if x > high {
            high
        } else {
            x
        }
    }

    /// The cell [i, i + 1] of x.
    #[inline]
    fn cell(&self, x: f64) -> usize {
        let most = self.nodes.len() - 2;
        let mut i = (((x - self.nodes[0]) * self.per_unit) as usize).min(most);
        while i > 0 && self.nodes[i] > x {
            i -= 1;
        }
        while i < most && self.nodes[i + 1] <= x {
            i += 1;
        }
        i
    }

    #[inline]
    fn weight(&self, i: usize, x: f64) -> f64 {
        (x - self.nodes[i]) / (self.nodes[i + 1] - self.nodes[i])
    }

    #[inline]
    fn nearest(&self, x: f64) -> usize {
        let i = self.cell(x);
        let (low, high) = (self.nodes[i], self.nodes[i + 1]);
        let (below, above) = (x - low, high - x);
        i + usize::from((above < below) | ((above == below) & (high.abs() < low.abs())))
    }

    #[inline]
    fn limits(&self, lots: f64, out: &mut [f64; 2]) {
        if lots + 1.0 - self.nodes[self.nodes.len() - 1] > 1e-9 {
            out[0] = f64::NAN;
        }
        if self.nodes[0] - (lots - 1.0) > 1e-9 {
            out[1] = f64::NAN;
        }
    }
}

struct Bare<'a> {
    time: Axis<'a>,
    factor: Axis<'a>,
    lots: Axis<'a>,
    offset: &'a [[f64; 2]],
}

impl Bare<'_> {
    #[inline]
    fn sum(&self, corners: [(usize, f64); 4], out: &mut [f64; 2]) {
        let [(i, a), (j, b), (k, c), (l, d)] = corners;
        let (p, q, r, s) = (&self.offset[i], &self.offset[j], &self.offset[k], &self.offset[l]);
        for side in 0..2 {
            out[side] = a * p[side] + b * q[side] + c * r[side] + d * s[side];
        }
    }

    #[inline]
    fn at_1(&self, lots: f64, out: &mut [f64; 2]) {
        let x = self.lots.clamped(lots);
        *out = self.offset[self.lots.nearest(x)];
        self.lots.limits(x, out);
    }

    #[inline]
    fn at_2(&self, time: f64, lots: f64, out: &mut [f64; 2]) {
        let (t, x) = (self.time.clamped(time), self.lots.clamped(lots));
        let (i, j, n) = (self.time.cell(t), self.lots.cell(x), self.lots.nodes.len());
        let (v, w) = (self.time.weight(i, t), self.lots.weight(j, x));
        let early = i * n + j;
        let late = early + n;
        let weights = [(1.0 - v) * (1.0 - w), (1.0 - v) * w, v * (1.0 - w), v * w];
        self.sum(
            [(early, weights[0]), (early + 1, weights[1]), (late, weights[2]), (late + 1, weights[3])],
            out,
        );
    }

    #[inline]
    fn at_3(&self, time: f64, factor: f64, lots: f64, out: &mut [f64; 2]) {
        let (t, f, x) = (self.time.clamped(time), self.factor.clamped(factor), self.lots.clamped(lots));
        let (i, j, n, m) =
            (self.time.cell(t), self.factor.cell(f), self.lots.nodes.len(), self.factor.nodes.len());
        let (v, w) = (self.time.weight(i, t), self.factor.weight(j, f));
        let early = (i * m + j) * n + self.lots.nearest(x);
        let late = early + n * m;
        let weights = [(1.0 - v) * (1.0 - w), (1.0 - v) * w, v * (1.0 - w), v * w];
        self.sum(
            [(early, weights[0]), (early + n, weights[1]), (late, weights[2]), (late + n, weights[3])],
            out,
        );
        self.lots.limits(x, out);
    }
}

unsafe fn axis<'a>(line: &Line) -> Axis<'a> {
    let nodes =
        if line.nodes.is_null() { &[] } else { slice::from_raw_parts(line.nodes, line.count as usize) };
    Axis { nodes, per_unit: line.per_unit }
}

unsafe fn bare<'a>(grid: *const Grid) -> Bare<'a> {
    let grid = &*grid;
    let states =
        [&grid.time, &grid.factor, &grid.lots].iter().map(|line| line.count.max(1) as usize).product();
    let offset = slice::from_raw_parts(grid.offset.cast(), states);
    Bare { time: axis(&grid.time), factor: axis(&grid.factor), lots: axis(&grid.lots), offset }
}

// ---- by the reader -----------------------------------------------------------------------------

#[inline(always)]
fn ask(table: &Held, rules: Rules, state: &State, corners: &mut Corners, out: &mut [f64; 2]) {
    match table.look_up(rules, state, corners) {
        Ok(quote) => *out = [quote.offset(0).unwrap_or(f64::NAN), quote.offset(1).unwrap_or(f64::NAN)],
        Err(_) => *out = [-1e300; 2], // shows when the contestants are compared
    }
}

fn rules(between: i32) -> Rules {
    let between = match between {
        1 => Between::Nearest,
        2 => Between::TowardsFlat,
        3 => Between::Linear,
        _ => Between::Exact,
    };
    Rules { between, outside: Outside::Refuse }
}

// ---- all questions -----------------------------------------------------------------------------

/// All questions, one after the other as they come, and each after the answer to the one before.
macro_rules! runs {
    ($($name:ident $chained:ident $type:ty, $open:expr, $room:expr, $quote:expr;)*) => {$(
        /// # Safety
        /// All pointers lead to what they say, `out` to room for two numbers a question.
        #[no_mangle]
        pub unsafe extern "C" fn $name(held: *const $type, q: *const Questions, between: i32, out: *mut [f64; 2]) {
            let (asked, rules, held, mut room) = (&*q, rules(between), $open(held), $room);
            let count = asked.count as usize;
            let out = slice::from_raw_parts_mut(out, count);
            for (k, out) in out.iter_mut().enumerate() {
                $quote(&held, rules, asked, k, &mut room, out);
            }
        }

        /// # Safety
        /// As above.
        #[no_mangle]
        pub unsafe extern "C" fn $chained(held: *const $type, q: *const Questions, between: i32, out: *mut [f64; 2]) {
            let (asked, rules, held, mut room) = (&*q, rules(between), $open(held), $room);
            let (count, none) = (asked.count as usize, asked.none);
            let out = slice::from_raw_parts_mut(out, count);
            let mut after = 0;
            for (i, out) in out.iter_mut().enumerate() {
                $quote(&held, rules, asked, i + after, &mut room, out);
                after = ((out[0].to_bits() | out[1].to_bits()) & none) as usize;
            }
        }
    )*};
}

type Asked = Questions;
type Out = [f64; 2];

runs! {
    bare_1 bare_1_chained Grid, bare, (), |g: &Bare, _: Rules, q: &Asked, k: usize, _: &mut (), out: &mut Out|
        g.at_1(*q.lots.add(k), out);
    bare_2 bare_2_chained Grid, bare, (), |g: &Bare, _: Rules, q: &Asked, k: usize, _: &mut (), out: &mut Out|
        g.at_2(*q.time.add(k), *q.lots.add(k), out);
    bare_3 bare_3_chained Grid, bare, (), |g: &Bare, _: Rules, q: &Asked, k: usize, _: &mut (), out: &mut Out|
        g.at_3(*q.time.add(k), *q.factor.add(k), *q.lots.add(k), out);
    read_1 read_1_chained Held, held, Corners::new(), |t: &&Held, r: Rules, q: &Asked, k: usize, c: &mut Corners, out: &mut Out|
        ask(t, r, &State { inventory: &[*q.lots.add(k)], ..State::default() }, c, out);
    read_2 read_2_chained Held, held, Corners::new(), |t: &&Held, r: Rules, q: &Asked, k: usize, c: &mut Corners, out: &mut Out|
        ask(t, r, &State { time: Some(*q.time.add(k)), inventory: &[*q.lots.add(k)], ..State::default() }, c, out);
    read_3 read_3_chained Held, held, Corners::new(), |t: &&Held, r: Rules, q: &Asked, k: usize, c: &mut Corners, out: &mut Out|
        ask(t, r, &State {
            time: Some(*q.time.add(k)),
            factors: &[*q.factor.add(k)],
            inventory: &[*q.lots.add(k)],
            ..State::default()
        }, c, out);
}

unsafe fn held<'a>(table: *const Held) -> &'a Held {
    &*table
}
