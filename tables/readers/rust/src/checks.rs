//! Whether the tensors of a file fit together (FORMAT.md §3), and its content hash (§5).
//!
//! After `layout_of` every place that a lookup computes lies inside of its tensor, whatever the numbers are.

use crate::header::Header;
use crate::refusals::FileError;
use crate::sha256::content_hash;
use crate::table::{Axis, Layout, View, MAX_AXES};
use crate::tensors::{text_of, Id, Kind, Tensor};

use FileError::*;

const MOST_NAMES: usize = 1000;
const LARGEST_NODE: f64 = 1e300;
const LARGEST_SIZE: i64 = 1 << 53;
const SNAP: f64 = 1e-9;

type Checked = Result<(), FileError>;

fn hold(good: bool, error: FileError) -> Checked {
    if good {
        Ok(())
    } else {
        Err(error)
    }
}

/// Where everything is in a file.
pub(crate) fn layout_of(file: &[u8], header: Header) -> Result<Layout, FileError> {
    let mut layout = Layout::new(header);
    check_axes(&mut layout, file)?;
    check_assets(&layout, file)?;
    check_validity(&mut layout, file)?;
    check_flows(&mut layout, file)?;
    check_arrays(&mut layout, file)?;
    Ok(layout)
}

fn has(layout: &Layout, id: Id) -> bool {
    layout.tensors[id as usize].is_some()
}

/// A tensor that must be there, of this type and number of axes.
fn need(layout: &Layout, id: Id, kind: Kind, rank: usize) -> Result<&Tensor, FileError> {
    let tensor = layout.tensors[id as usize].as_ref().ok_or(TensorMissing)?;
    hold(tensor.kind == kind && tensor.shape().len() == rank, TensorType)?;
    Ok(tensor)
}

/// A tensor that may be there.
fn may(layout: &Layout, id: Id, kind: Kind, rank: usize) -> Result<Option<&Tensor>, FileError> {
    if has(layout, id) {
        need(layout, id, kind, rank).map(Some)
    } else {
        Ok(None)
    }
}

/// Words: their form, that they are names without . and /, that they differ; how many there are.
fn check_words(layout: &Layout, file: &[u8], id: Id, names: bool, different: bool) -> Result<u64, FileError> {
    let shape = need(layout, id, Kind::Integer, 2)?.shape();
    hold((1..=32).contains(&shape[1]), WordForm)?;
    let words = View { layout, file }.words(id);
    for place in 0..words.len().min(MOST_NAMES + 1) {
        let word = text_of(words.row(place)).ok_or(WordForm)?;
        hold(!names || !word.contains(['.', '/']), NameForm)?;
        hold(!different || words.place(word) == Some(place), NameRepeated)?;
    }
    Ok(shape[0])
}

/// How many numbered axes of one kind there are.
fn count_axes(layout: &Layout, first: Id) -> Result<usize, FileError> {
    let mut count = 0;
    for place in 0..MAX_AXES {
        if has(layout, first.plus(place)) {
            hold(count == place, TensorMissing)?;
            need(layout, first.plus(place), Kind::Float, 1)?;
            count += 1;
        }
    }
    Ok(count)
}

fn axis(view: View, id: Id) -> Result<Axis, FileError> {
    let nodes = view.numbers(id);
    hold(nodes.len() > 0 && nodes.iter().all(|x| x.abs() <= LARGEST_NODE), AxisOrder)?;
    hold((1..nodes.len()).all(|i| nodes.at(i - 1) < nodes.at(i)), AxisOrder)?;
    let (first, last) = (nodes.at(0), nodes.at(nodes.len() - 1));
    let snap = if id >= Id::Inventory0 { SNAP } else { SNAP * (last - first) };
    let steps = (nodes.len() - 1) as f64;
    let nodes_per_unit = if steps > 0.0 { steps / (last - first) } else { 0.0 };
    let count = nodes.len();
    Ok(Axis { id, count, first, last, low: first, high: last, snap, steps, nodes_per_unit, ..Axis::NONE })
}

fn check_axes(layout: &mut Layout, file: &[u8]) -> Checked {
    layout.times = usize::from(may(layout, Id::Time, Kind::Float, 1)?.is_some());
    layout.factors = count_axes(layout, Id::Factor0)?;
    layout.parameter_axes = count_axes(layout, Id::ParameterAxis0)?;
    layout.assets = count_axes(layout, Id::Inventory0)?;
    let named =
        [(Id::FactorName, layout.factors, true), (Id::ParameterAxisName, layout.parameter_axes, false)];
    for (id, count, names) in named {
        if has(layout, id) || count > 0 {
            hold(check_words(layout, file, id, names, true)? == count as u64, AxisCount)?;
        }
    }
    hold(layout.axis_count() <= MAX_AXES, AxisCount)?;
    hold(layout.assets > 0, AssetCount)?;
    let ids = (0..layout.times)
        .map(|_| Id::Time)
        .chain((0..layout.factors).map(|i| Id::Factor0.plus(i)))
        .chain((0..layout.parameter_axes).map(|i| Id::ParameterAxis0.plus(i)))
        .chain((0..layout.assets).map(|i| Id::Inventory0.plus(i)));
    for (place, id) in ids.enumerate() {
        layout.axes[place] = axis(View { layout, file }, id)?;
    }
    if has(layout, Id::Regime) {
        let count = check_words(layout, file, Id::Regime, true, true)?;
        hold((1..=MOST_NAMES as u64).contains(&count), RegimeCount)?;
        layout.regimes = count as usize;
    }
    Ok(())
}

fn check_assets(layout: &Layout, file: &[u8]) -> Checked {
    let lots = need(layout, Id::LotSize, Kind::Float, 1)?.shape()[0];
    hold(check_words(layout, file, Id::Unit, false, false)? == 2, TableShape)?;
    let symbols = check_words(layout, file, Id::Symbol, true, true)?;
    let assets = layout.assets as u64;
    hold(symbols == assets && lots == assets, AssetCount)?;
    let sizes = View { layout, file }.numbers(Id::LotSize);
    hold(sizes.iter().all(|size| size > 0.0 && size.is_finite()), LotSize)
}

/// Where and when the table holds.
fn check_validity(layout: &mut Layout, file: &[u8]) -> Checked {
    let (count, assets) = (layout.axis_count(), layout.assets);
    let of_box = may(layout, Id::Box, Kind::Float, 2)?.copied();
    let reference = may(layout, Id::ReferencePrice, Kind::Float, 1)?.copied();
    let prices = may(layout, Id::PriceBox, Kind::Float, 2)?.copied();
    may(layout, Id::Start, Kind::Float, 0)?;
    may(layout, Id::Life, Kind::Float, 0)?;
    if let Some(tensor) = of_box {
        hold(tensor.shape() == [count as u64, 2], TableShape)?;
        for place in 0..count {
            let view = View { layout, file };
            let (numbers, nodes) = (view.numbers(Id::Box), view.numbers(layout.axes[place].id));
            let (low, high) = (numbers.at(2 * place), numbers.at(2 * place + 1));
            let axis = layout.axes[place];
            hold(axis.low <= low && low <= high && high <= axis.high, BoxForm)?;
            let at_nodes = [low, high].iter().all(|&end| nodes.iter().any(|node| node == end));
            hold(place < count - assets || at_nodes, BoxForm)?;
            layout.axes[place] = Axis { low, high, ..axis };
        }
    }
    let view = View { layout, file };
    if let Some(tensor) = reference {
        hold(tensor.shape() == [assets as u64], TableShape)?;
    }
    if let Some(tensor) = prices {
        hold(tensor.shape() == [assets as u64, 2], TableShape)?;
    }
    let (price, ends) = (view.optional(Id::ReferencePrice), view.optional(Id::PriceBox));
    for asset in 0..assets {
        let price = price.map(|numbers| numbers.at(asset));
        hold(price.is_none_or(f64::is_finite), ReferencePrice)?;
        let Some(ends) = ends else { continue };
        let (low, high) = (ends.at(2 * asset), ends.at(2 * asset + 1));
        let middle = price.unwrap_or(low);
        hold(low.is_finite() && high.is_finite() && low <= middle && middle <= high, ReferencePrice)?;
    }
    let (start, life) = (view.optional(Id::Start), view.optional(Id::Life));
    hold(start.is_some() || life.is_none(), LifeTime)?;
    hold(start.is_none_or(|start| start.at(0).is_finite()), LifeTime)?;
    hold(life.is_none_or(|life| life.at(0) > 0.0 && life.at(0).is_finite()), LifeTime)
}

fn check_flows(layout: &mut Layout, file: &[u8]) -> Checked {
    let count = check_words(layout, file, Id::FlowName, true, false)?;
    for id in [Id::FlowSide, Id::FlowSize, Id::FlowAsset] {
        hold(need(layout, id, Kind::Integer, 1)?.shape()[0] == count, FlowCount)?;
    }
    hold(count <= MOST_NAMES as u64, FlowCount)?;
    layout.flows = count as usize;
    let view = View { layout, file };
    let (sides, sizes) = (view.integers(Id::FlowSide), view.integers(Id::FlowSize));
    let assets = view.integers(Id::FlowAsset);
    for place in 0..layout.flows {
        hold([1, -1].contains(&sides.at(place)), FlowSide)?;
        hold((1..=LARGEST_SIZE).contains(&sizes.at(place)), FlowSize)?;
        hold((0..layout.assets as i64).contains(&assets.at(place)), FlowAsset)?;
        let name = view.words(Id::FlowName).row(place);
        let same = |other: usize| {
            sides.at(other) == sides.at(place)
                && assets.at(other) == assets.at(place)
                && view.words(Id::FlowName).row(other) == name
        };
        hold(!(0..place).any(same), FlowRepeated)?;
    }
    let most = sizes.iter().max().unwrap_or(0) as f64;
    let lots = layout.axis_count() - layout.assets..layout.axis_count();
    layout.axes[lots].iter_mut().for_each(|axis| set_free(axis, most));
    Ok(())
}

/// Between which inventories no fill of at most so many lots leaves the limits. Sums are rounded, but never past
/// each other: what holds at both ends holds for all between and for all smaller fills.
fn set_free(axis: &mut Axis, lots: f64) {
    (axis.free_low, axis.free_high) = (axis.first + lots, axis.last - lots);
    if axis.first - (axis.free_low - lots) > SNAP || (axis.free_high + lots) - axis.last > SNAP {
        axis.free_low = f64::INFINITY; // look every time
    }
}

/// The sizes of all axes of the states, in their order.
struct Lattice {
    sizes: [u64; MAX_AXES + 1],
    rank: usize,
}

impl Lattice {
    fn of(layout: &Layout) -> Lattice {
        let mut lattice = Lattice { sizes: [0; MAX_AXES + 1], rank: 0 };
        for (place, axis) in layout.axes[..layout.axis_count()].iter().enumerate() {
            if place == layout.times && layout.regimes > 0 {
                lattice.push(layout.regimes as u64);
            }
            lattice.push(axis.count as u64);
        }
        lattice
    }

    fn push(&mut self, size: u64) {
        self.sizes[self.rank] = size;
        self.rank += 1;
    }

    fn sizes(&self) -> &[u64] {
        &self.sizes[..self.rank]
    }
}

/// Has a tensor this type and the shape [before …, states …, after …]?
fn check_shape(
    layout: &Layout,
    id: Id,
    kind: Kind,
    before: &[u64],
    states: &[u64],
    after: &[u64],
) -> Checked {
    let tensor = layout.tensors[id as usize].as_ref().ok_or(TensorMissing)?;
    hold(tensor.kind == kind, TensorType)?;
    hold(tensor.shape().iter().eq(before.iter().chain(states).chain(after)), TableShape)
}

/// The shapes of all arrays over the states, and the strides that follow from them.
fn check_arrays(layout: &mut Layout, file: &[u8]) -> Checked {
    let lattice = Lattice::of(layout);
    let (states, flows, assets) = (lattice.sizes(), layout.flows as u64, layout.assets as u64);
    check_shape(layout, Id::Value, Kind::Float, &[], states, &[])?;
    check_shape(layout, Id::Offset, Kind::Float, &[], states, &[flows])?;
    for id in [Id::HedgeRate, Id::MarketOrder] {
        if has(layout, id) {
            check_shape(layout, id, Kind::Float, &[], states, &[assets])?;
        }
    }
    may(layout, Id::Gain, Kind::Float, 0)?;
    let mut stride = 1; // the product is that of the shape of the value, which lies in the file
    for place in (0..layout.axis_count()).rev() {
        layout.axes[place].stride = stride;
        stride *= layout.axes[place].count;
        if place == layout.times && layout.regimes > 0 {
            layout.regime_stride = stride;
            stride *= layout.regimes;
        }
    }
    layout.states = stride;
    if has(layout, Id::Parameter) {
        check_sensitivities(layout, file, states)
    } else {
        let others = Id::range(Id::ParameterName, Id::OffsetBoundParameter);
        hold(!others.into_iter().any(|id| has(layout, id)), TensorMissing)
    }
}

fn check_sensitivities(layout: &mut Layout, file: &[u8], states: &[u64]) -> Checked {
    let count = need(layout, Id::Parameter, Kind::Float, 1)?.shape()[0];
    let named = check_words(layout, file, Id::ParameterName, false, true)?;
    hold(count <= MOST_NAMES as u64 && named == count, ParameterCount)?;
    layout.parameters = count as usize;
    let flows = layout.flows as u64;
    for id in [Id::ValueSensitivity, Id::ValueCurvature] {
        check_shape(layout, id, Kind::Float, &[count], states, &[])?;
    }
    for id in [Id::OffsetSensitivity, Id::OffsetCurvature] {
        check_shape(layout, id, Kind::Float, &[count], states, &[flows])?;
    }
    for id in [Id::GainSensitivity, Id::GainCurvature] {
        if has(layout, Id::Gain) {
            check_shape(layout, id, Kind::Float, &[count], &[], &[])?;
        }
        hold(has(layout, Id::Gain) == has(layout, id), TensorMissing)?;
    }
    check_shape(layout, Id::OffsetHold, Kind::Integer, &[], states, &[flows])?;
    check_shape(layout, Id::OffsetBound, Kind::Float, &[flows], &[], &[2])?;
    check_shape(layout, Id::OffsetBoundParameter, Kind::Integer, &[flows], &[], &[2])?;
    let view = View { layout, file };
    let (bounds, which) = (view.numbers(Id::OffsetBound), view.integers(Id::OffsetBoundParameter));
    for flow in 0..layout.flows {
        let (low, high) = (bounds.at(2 * flow), bounds.at(2 * flow + 1));
        hold(low <= high && low < f64::INFINITY && high > f64::NEG_INFINITY, BoundForm)?;
    }
    hold(which.iter().all(|k| (-1..count as i64).contains(&k)), BoundForm)
}

/// What looks at every number of the table.
pub(crate) fn check_numbers(view: View) -> Checked {
    let offsets = view.numbers(Id::Offset);
    for id in Id::range(Id::Value, Id::GainCurvature) {
        let Some(tensor) = &view.layout.tensors[id as usize] else { continue };
        if tensor.kind == Kind::Integer {
            continue; // names
        }
        for (place, number) in view.numbers(id).iter().enumerate() {
            hold(!number.is_infinite(), InfiniteNumber)?;
            let off = match id {
                Id::Offset | Id::HedgeRate | Id::MarketOrder => continue,
                Id::OffsetSensitivity | Id::OffsetCurvature => offsets.at(place % offsets.len()).is_nan(),
                _ => false,
            };
            hold(number.is_nan() == off, ValueMissing)?;
        }
    }
    hold(view.integers(Id::OffsetHold).iter().all(|hold| (0..=2).contains(&hold)), HoldForm)
}

pub(crate) fn check_hash(file: &[u8]) -> Checked {
    hold(file[57..121] == content_hash(file), ContentHash)
}
