//! A table: bytes, and where everything is in them.

use core::fmt;

use crate::header::Header;
use crate::refusals::FileError;
use crate::tensors::{Id, Integers, Numbers, Tensor, Words};
use crate::{checks, header};

/// Axes besides the regimes.
pub const MAX_AXES: usize = 8;

/// How much of a file is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// Everything, with the content hash: the whole file is read.
    All,
    /// All but what looks at every number; lookups of such a table stay within its bytes.
    Header,
}

/// A flow of fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow<'a> {
    pub name: &'a str,
    /// 1 bid, -1 ask: the sign of the inventory that a fill brings.
    pub side: i64,
    /// Lots.
    pub size: i64,
    /// Number of the asset, from 0.
    pub asset: usize,
}

/// A policy table: its bytes, `&[u8]` or whatever owns them, with the place of everything in them.
///
/// It is never written to, so any number of threads may read it.
#[derive(Clone, Debug)]
pub struct Table<B> {
    bytes: B,
    layout: Layout,
}

impl<B: AsRef<[u8]>> Table<B> {
    /// Check the bytes of a runtime file and find everything in them. Nothing is copied or allocated.
    pub fn read(bytes: B, check: Check) -> Result<Table<B>, FileError> {
        let file = bytes.as_ref();
        let layout = checks::layout_of(file, header::read_header(file)?)?;
        if check == Check::All {
            checks::check_numbers(View { layout: &layout, file })?;
            checks::check_hash(file)?;
        }
        Ok(Table { bytes, layout })
    }

    /// The bytes of the file.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.as_ref()
    }

    #[inline]
    pub(crate) fn view(&self) -> View<'_> {
        View { layout: &self.layout, file: self.bytes.as_ref() }
    }

    /// Whether quotes depend on time.
    pub fn has_time(&self) -> bool {
        self.layout.times > 0
    }

    /// Whether it says at which rates to hedge.
    pub fn has_hedge_rates(&self) -> bool {
        self.view().optional(Id::HedgeRate).is_some()
    }

    /// Whether it says when to trade at once.
    pub fn has_market_orders(&self) -> bool {
        self.view().optional(Id::MarketOrder).is_some()
    }

    /// The assets.
    pub fn symbols(&self) -> Words<'_> {
        self.view().words(Id::Symbol)
    }

    /// The regimes; empty where quotes do not depend on one.
    pub fn regimes(&self) -> Words<'_> {
        self.view().words(Id::Regime)
    }

    /// The names of the factors.
    pub fn factors(&self) -> Words<'_> {
        self.view().words(Id::FactorName)
    }

    /// The parameters that the table was stacked over, as paths into the problem.
    pub fn parameter_axes(&self) -> Words<'_> {
        self.view().words(Id::ParameterAxisName)
    }

    /// The parameters with sensitivities, as paths into the problem.
    pub fn parameters(&self) -> Words<'_> {
        self.view().words(Id::ParameterName)
    }

    /// What the problem has for a parameter with sensitivities.
    pub fn parameter(&self, place: usize) -> Option<f64> {
        (place < self.layout.parameters).then(|| self.view().numbers(Id::Parameter).at(place))
    }

    /// The unit of all prices.
    pub fn price_unit(&self) -> &str {
        self.view().words(Id::Unit).get(0).unwrap_or("")
    }

    /// The unit of all times.
    pub fn time_unit(&self) -> &str {
        self.view().words(Id::Unit).get(1).unwrap_or("")
    }

    /// How many flows there are.
    pub fn flow_count(&self) -> usize {
        self.layout.flows
    }

    /// A flow by its number.
    pub fn flow(&self, place: usize) -> Option<Flow<'_>> {
        (place < self.layout.flows).then(|| self.view().flow(place))
    }

    /// The number of the flow of this name, side and asset.
    pub fn flow_place(&self, name: &str, side: i64, asset: usize) -> Option<usize> {
        (0..self.layout.flows).find(|&place| {
            let flow = self.view().flow(place);
            flow.name == name && flow.side == side && flow.asset == asset
        })
    }

    /// Units of an asset in a lot.
    pub fn lot_size(&self, asset: usize) -> Option<f64> {
        (asset < self.layout.assets).then(|| self.view().numbers(Id::LotSize).at(asset))
    }

    /// The lowest and highest inventory of an asset in the validity box, lots.
    pub fn inventory_limits(&self, asset: usize) -> Option<(f64, f64)> {
        let axis = (asset < self.layout.assets).then(|| self.layout.inventory_axis(asset))?;
        Some((axis.low, axis.high))
    }

    /// The reference price for which the table was solved, price units.
    pub fn reference_price(&self, asset: usize) -> Option<f64> {
        let numbers = self.view().optional(Id::ReferencePrice)?;
        (asset < self.layout.assets).then(|| numbers.at(asset))
    }

    /// The lowest and highest reference price for which the table is meant, price units.
    pub fn price_box(&self, asset: usize) -> Option<(f64, f64)> {
        let numbers = self.view().optional(Id::PriceBox)?;
        (asset < self.layout.assets).then(|| (numbers.at(2 * asset), numbers.at(2 * asset + 1)))
    }

    /// From when the table may be used, Unix seconds.
    pub fn start(&self) -> Option<f64> {
        self.view().optional(Id::Start).map(|numbers| numbers.at(0))
    }

    /// For how long it may be used from its start, seconds.
    pub fn life(&self) -> Option<f64> {
        self.view().optional(Id::Life).map(|numbers| numbers.at(0))
    }

    /// The long-run gain per time.
    pub fn gain(&self) -> Option<f64> {
        self.view().optional(Id::Gain).map(|numbers| numbers.at(0))
    }

    /// The 64 digits of the content hash.
    pub fn content_hash(&self) -> &str {
        core::str::from_utf8(&self.bytes()[57..121]).expect("digits, checked when the table was read")
    }

    /// The metadata: its `Display` is JSON text.
    pub fn metadata(&self) -> Metadata<'_> {
        let (from, to) = self.layout.metadata;
        let text = core::str::from_utf8(&self.bytes()[from..to]);
        Metadata(text.expect("ASCII, checked when the table was read"))
    }
}

/// The metadata of a table as text, without the `\` that stand in the header.
#[derive(Clone, Copy, Debug)]
pub struct Metadata<'a>(&'a str);

impl fmt::Display for Metadata<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some(place) = rest.find('\\') {
            to.write_str(&rest[..place])?;
            to.write_str(&rest[place + 1..place + 2])?;
            rest = &rest[place + 2..];
        }
        to.write_str(rest)
    }
}

/// An axis but that of the regimes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Axis {
    pub id: Id,
    pub count: usize,  // nodes
    pub stride: usize, // states from one node to the next
    pub first: f64,    // node
    pub last: f64,
    pub low: f64, // the validity box
    pub high: f64,
    pub snap: f64,           // a coordinate so close to a node is the node
    pub steps: f64,          // from the first node to the last
    pub nodes_per_unit: f64, // were they evenly spread
    pub free_low: f64,       // of an inventory: between these no fill leaves the limits
    pub free_high: f64,
}

impl Axis {
    pub const NONE: Axis = Axis {
        id: Id::Time,
        count: 0,
        stride: 0,
        first: 0.0,
        last: 0.0,
        low: 0.0,
        high: 0.0,
        snap: 0.0,
        steps: 0.0,
        nodes_per_unit: 0.0,
        free_low: 0.0,
        free_high: 0.0,
    };
}

/// Where everything is in a file, and how many there are of it.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub metadata: (usize, usize),
    pub tensors: [Option<Tensor>; Id::COUNT],
    pub spans: [(usize, usize); Id::COUNT], // from, to: of their numbers in the file
    pub axes: [Axis; MAX_AXES],
    pub times: usize, // 1 where there is an axis of time
    pub factors: usize,
    pub parameter_axes: usize,
    pub assets: usize,
    pub regimes: usize,
    pub regime_stride: usize,
    pub states: usize,
    pub flows: usize,
    pub parameters: usize,
}

impl Layout {
    /// Tensors as the header has them; the rest is found by `checks`.
    pub fn new(header: Header) -> Layout {
        Layout {
            metadata: header.metadata,
            tensors: header.tensors,
            spans: header.tensors.map(|tensor| tensor.map_or((0, 0), |tensor| tensor.span())),
            axes: [Axis::NONE; MAX_AXES],
            times: 0,
            factors: 0,
            parameter_axes: 0,
            assets: 0,
            regimes: 0,
            regime_stride: 0,
            states: 0,
            flows: 0,
            parameters: 0,
        }
    }

    #[inline]
    pub fn axis_count(&self) -> usize {
        self.times + self.factors + self.parameter_axes + self.assets
    }

    #[inline]
    pub fn inventory_axis(&self, asset: usize) -> &Axis {
        &self.axes[self.times + self.factors + self.parameter_axes + asset]
    }
}

/// A layout with the bytes it is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    pub layout: &'a Layout,
    pub file: &'a [u8],
}

impl<'a> View<'a> {
    /// The bytes of a tensor; none where it is absent.
    #[inline]
    fn data(self, id: Id) -> &'a [u8] {
        let (from, to) = self.layout.spans[id as usize];
        &self.file[from..to]
    }

    #[inline]
    pub fn numbers(self, id: Id) -> Numbers<'a> {
        Numbers::of(self.data(id))
    }

    #[inline]
    pub fn integers(self, id: Id) -> Integers<'a> {
        Integers::of(self.data(id))
    }

    #[inline]
    pub fn optional(self, id: Id) -> Option<Numbers<'a>> {
        self.layout.tensors[id as usize].is_some().then(|| self.numbers(id))
    }

    pub fn words(self, id: Id) -> Words<'a> {
        let width = match &self.layout.tensors[id as usize] {
            Some(tensor) => 8 * tensor.shape()[1] as usize, // at most 32, by rule 18
            None => 0,
        };
        Words { bytes: self.data(id), width }
    }

    pub fn flow(self, place: usize) -> Flow<'a> {
        Flow {
            name: self.words(Id::FlowName).get(place).unwrap_or(""),
            side: self.integers(Id::FlowSide).at(place),
            size: self.integers(Id::FlowSize).at(place),
            asset: self.integers(Id::FlowAsset).at(place) as usize, // by rule 32
        }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use std::string::ToString;

    use crate::{Check, Corners, Refusal, Rules, State, Table};

    const TINY: &[u8] = include_bytes!("../examples/tiny.safetensors");

    #[test]
    fn what_a_table_is_about() {
        let table = Table::read(TINY, Check::Header).unwrap();
        assert!(table.has_time() && !table.has_hedge_rates() && !table.has_market_orders());
        assert_eq!((table.price_unit(), table.time_unit()), ("tick", "s"));
        assert!(table.symbols().iter().eq(["GLFT2013"]));
        assert!(
            table.regimes().is_empty() && table.factors().is_empty() && table.parameter_axes().is_empty()
        );
        assert_eq!((table.flow_count(), table.flow_place("book", -1, 0)), (2, Some(1)));
        assert_eq!(table.flow(1).map(|flow| (flow.name, flow.side, flow.size)), Some(("book", -1, 1)));
        assert_eq!((table.flow(2), table.flow_place("block", 1, 0)), (None, None));
        assert_eq!((table.lot_size(0), table.lot_size(1)), (Some(1.0), None));
        assert_eq!(table.inventory_limits(0), Some((-3.0, 3.0)));
        assert_eq!((table.start(), table.life(), table.gain(), table.price_box(0)), (None, None, None, None));
        assert!(table.content_hash().bytes().all(|digit| digit.is_ascii_hexdigit()));
        let metadata = table.metadata().to_string();
        assert!(metadata.starts_with("{\"certificate\":{") && metadata.ends_with('}'), "{metadata}");
        assert!(metadata.contains("\"problem\":\"{\\\""), "{metadata}"); // JSON text within JSON
    }

    #[test]
    fn questions_in_the_wrong_form_are_refused() {
        let table = Table::read(TINY, Check::All).unwrap();
        let mut corners = Corners::new();
        let good = State { time: Some(0.0), inventory: &[1.0], ..State::default() };
        let wrong = [
            State { time: None, ..good },
            State { regime: Some(0), ..good },
            State { factors: &[0.0], ..good },
            State { parameters: &[0.0], ..good },
            State { inventory: &[], ..good },
            State { inventory: &[1.0, 1.0], ..good },
        ];
        for state in wrong {
            let refusal = table.look_up(Rules::default(), &state, &mut corners).err();
            assert_eq!(refusal, Some(Refusal::WrongCoordinates), "{state:?}");
        }
        let quote = table.look_up(Rules::default(), &good, &mut corners).unwrap();
        assert!(
            quote.offset(0).is_some() && quote.hedge_rate(0).is_none() && quote.market_order(0).is_none()
        );
        assert_eq!(quote.shifted(&[]).err(), Some(Refusal::WrongCoordinates)); // it has no sensitivities
    }
}
