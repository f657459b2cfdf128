//! The tensors of a file, by name (FORMAT.md §3), and their numbers, read in place.
//!
//! Numbers are taken from bytes by `from_le_bytes`, which is one load where the machine is little endian: no
//! alignment is asked of the bytes, and nothing here is unsafe.

macro_rules! tensors {
    ($($id:ident $name:literal,)*) => {
        /// Every tensor, in the order of the file.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Id { $($id,)* }

        impl Id {
            pub const ALL: &'static [Id] = &[$(Id::$id,)*];
            pub const COUNT: usize = Id::ALL.len();

            pub const fn name(self) -> &'static str {
                match self { $(Id::$id => $name,)* }
            }
        }
    };
}

tensors! {
    Time "time",
    Factor0 "factor_0",
    Factor1 "factor_1",
    Factor2 "factor_2",
    Factor3 "factor_3",
    Factor4 "factor_4",
    Factor5 "factor_5",
    Factor6 "factor_6",
    Factor7 "factor_7",
    ParameterAxis0 "parameter_axis_0",
    ParameterAxis1 "parameter_axis_1",
    ParameterAxis2 "parameter_axis_2",
    ParameterAxis3 "parameter_axis_3",
    ParameterAxis4 "parameter_axis_4",
    ParameterAxis5 "parameter_axis_5",
    ParameterAxis6 "parameter_axis_6",
    ParameterAxis7 "parameter_axis_7",
    Inventory0 "inventory_0",
    Inventory1 "inventory_1",
    Inventory2 "inventory_2",
    Inventory3 "inventory_3",
    Inventory4 "inventory_4",
    Inventory5 "inventory_5",
    Inventory6 "inventory_6",
    Inventory7 "inventory_7",
    Box "box",
    ReferencePrice "reference_price",
    PriceBox "price_box",
    Start "start",
    Life "life",
    LotSize "lot_size",
    Unit "unit",
    Symbol "symbol",
    Regime "regime",
    FactorName "factor_name",
    ParameterAxisName "parameter_axis_name",
    FlowName "flow_name",
    FlowSide "flow_side",
    FlowSize "flow_size",
    FlowAsset "flow_asset",
    Value "value",
    Offset "offset",
    HedgeRate "hedge_rate",
    MarketOrder "market_order",
    Gain "gain",
    Parameter "parameter",
    ParameterName "parameter_name",
    ValueSensitivity "value_sensitivity",
    OffsetSensitivity "offset_sensitivity",
    GainSensitivity "gain_sensitivity",
    ValueCurvature "value_curvature",
    OffsetCurvature "offset_curvature",
    GainCurvature "gain_curvature",
    OffsetHold "offset_hold",
    OffsetBound "offset_bound",
    OffsetBoundParameter "offset_bound_parameter",
}

impl Id {
    /// The tensor so many places further on: of the numbered axes.
    pub fn plus(self, places: usize) -> Id {
        Id::ALL[self as usize + places]
    }

    /// All from one to another, both included.
    pub fn range(first: Id, last: Id) -> impl Iterator<Item = Id> {
        Id::ALL[first as usize..=last as usize].iter().copied()
    }
}

pub(crate) const MAX_RANK: usize = 12;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Float,
    Integer,
}

/// What the header says of a tensor, checked against the length of the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tensor {
    start: usize, // in the file
    bytes: usize,
    pub kind: Kind,
    rank: usize,
    shape: [u64; MAX_RANK],
}

impl Tensor {
    pub fn new(start: usize, bytes: usize, kind: Kind, shape: &[u64]) -> Tensor {
        let mut whole = [0; MAX_RANK];
        whole[..shape.len()].copy_from_slice(shape);
        Tensor { start, bytes, kind, rank: shape.len(), shape: whole }
    }

    pub fn shape(&self) -> &[u64] {
        &self.shape[..self.rank]
    }

    /// From where to where it stands in the file.
    pub fn span(&self) -> (usize, usize) {
        (self.start, self.start + self.bytes)
    }
}

/// Doubles, little endian.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbers<'a>(&'a [[u8; 8]]);

impl<'a> Numbers<'a> {
    #[inline]
    pub fn of(bytes: &'a [u8]) -> Numbers<'a> {
        Numbers(bytes.as_chunks().0)
    }

    #[inline]
    pub fn at(self, place: usize) -> f64 {
        f64::from_le_bytes(self.0[place])
    }

    pub fn len(self) -> usize {
        self.0.len()
    }

    pub fn iter(self) -> impl Iterator<Item = f64> + 'a {
        self.0.iter().map(|&bytes| f64::from_le_bytes(bytes))
    }

    /// Those from this place on.
    #[inline]
    pub fn from(self, place: usize) -> Numbers<'a> {
        Numbers(&self.0[place..])
    }
}

/// 64-bit integers, little endian.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Integers<'a>(&'a [[u8; 8]]);

impl<'a> Integers<'a> {
    #[inline]
    pub fn of(bytes: &'a [u8]) -> Integers<'a> {
        Integers(bytes.as_chunks().0)
    }

    #[inline]
    pub fn at(self, place: usize) -> i64 {
        i64::from_le_bytes(self.0[place])
    }

    pub fn iter(self) -> impl Iterator<Item = i64> + 'a {
        self.0.iter().map(|&bytes| i64::from_le_bytes(bytes))
    }
}

/// Rows of text, each ended by a zero byte and filled up with zeros.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) width: usize, // bytes of a row; 0 where there are none
}

impl<'a> Words<'a> {
    /// How many there are.
    pub fn len(self) -> usize {
        self.bytes.len().checked_div(self.width).unwrap_or(0)
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    pub(crate) fn row(self, place: usize) -> &'a [u8] {
        &self.bytes[place * self.width..(place + 1) * self.width]
    }

    /// One of them, if there are so many.
    pub fn get(self, place: usize) -> Option<&'a str> {
        (place < self.len())
            .then(|| text_of(self.row(place)).expect("words are checked when a table is read"))
    }

    /// All of them.
    pub fn iter(self) -> impl Iterator<Item = &'a str> {
        (0..self.len()).filter_map(move |place| self.get(place))
    }

    /// The place of a word.
    pub fn place(self, word: &str) -> Option<usize> {
        self.iter().position(|other| other == word)
    }
}

/// The text of a row, if it has the form of rule 18.
pub(crate) fn text_of(row: &[u8]) -> Option<&str> {
    let end = row.iter().position(|&byte| byte == 0)?;
    let (text, rest) = row.split_at(end);
    let good = end > 0 && rest.iter().all(|&byte| byte == 0) && text.iter().all(|&byte| byte >= 32);
    if good {
        core::str::from_utf8(text).ok()
    } else {
        None
    }
}
