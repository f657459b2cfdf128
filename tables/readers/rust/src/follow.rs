//! Following a folder of published tables, as PUBLISHING.md states it: no locks, no waiting.
//!
//! What looks at the pointer costs one system call unless there is a new generation, which is then read and
//! checked as a whole. What is bad is not taken: the table that was held stays, and `refusal` says why.

use std::boxed::Box;
use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::string::String;
use std::sync::Arc;
use std::vec::Vec;

use crate::mapping::{open_regular, LoadError};
use crate::refusals::{FileError, Refusal, SignatureError};
use crate::signatures::{SignedBytes, Verdict, SIGNATURE_BYTES};
use crate::table::{Check, Table};

/// Does a signature by a public key fit a message? Written with a library of your choice.
pub type Verify = dyn Fn(&[u8; 32], &[u8; 64], &SignedBytes) -> Verdict + Send + Sync;

/// Why a generation is not taken.
#[derive(Debug)]
pub enum FollowError {
    /// The pointer or a file cannot be read; this alone is tried again.
    Unreadable(io::Error),
    /// The pointer holds no name of a generation beside it.
    PointerForm,
    /// The table breaks a rule.
    File(FileError),
    /// It is not signed as asked.
    Signature(SignatureError),
    /// It is for another market, unit, flow or axis than the first one.
    InterfaceChanged,
    /// Who makes quoters from tables refuses it.
    Refused(Refusal),
}

impl FollowError {
    /// The name in FORMAT.md or PUBLISHING.md.
    pub fn name(&self) -> &'static str {
        match self {
            FollowError::Unreadable(_) => "unreadable",
            FollowError::PointerForm => "pointer-form",
            FollowError::File(error) => error.name(),
            FollowError::Signature(error) => error.name(),
            FollowError::InterfaceChanged => "interface-changed",
            FollowError::Refused(refusal) => refusal.name(),
        }
    }
}

impl fmt::Display for FollowError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FollowError::Unreadable(error) => write!(to, "unreadable: {error}"),
            _ => to.write_str(self.name()),
        }
    }
}

impl std::error::Error for FollowError {}

impl From<io::Error> for FollowError {
    fn from(error: io::Error) -> FollowError {
        FollowError::Unreadable(error)
    }
}

impl From<LoadError> for FollowError {
    fn from(error: LoadError) -> FollowError {
        match error {
            LoadError::Unreadable(error) => FollowError::Unreadable(error),
            LoadError::Refused(error) => FollowError::File(error),
        }
    }
}

/// One generation, whole.
#[derive(Debug)]
pub struct Generation<Q> {
    pub number: u64,
    /// What was made of its table.
    pub quoter: Q,
}

pub(crate) type Load<B> = fn(&Path) -> Result<Table<B>, LoadError>;
pub(crate) type Make<B, Q> = Box<dyn FnMut(Table<B>) -> Result<Q, Refusal> + Send>;

/// Holds the live table of a folder, and takes a new one when it is told to look.
///
/// ```no_run
/// use quotegrid::{Follower, GuardedQuoter, Rounding, Rules};
///
/// let mut follower = Follower::new("live/eth", None, |table| {
///     GuardedQuoter::new(table, &["ETH-PERP"], &[0.01], Rules::default(), Rounding::Outward, true)
/// })?;
/// loop {
///     if !follower.refresh() {
///         if let Some(error) = follower.refusal() {
///             eprintln!("not taken: {error}");
///         }
///     }
///     let generation = follower.held(); // a clone of it may go to another thread
///     // ... generation.quoter.prices(...)
/// #   return Ok(());
/// }
/// # #[allow(unreachable_code)]
/// # Ok::<(), quotegrid::FollowError>(())
/// ```
pub struct Follower<B, Q> {
    folder: PathBuf,
    verify: Option<Box<Verify>>,
    load: Load<B>,
    make: Make<B, Q>,
    first: Option<Interface>,
    seen: PathBuf, // what the pointer held when it was looked at last: it is not looked at twice
    name: PathBuf, // of the generation held
    held: Option<Arc<Generation<Q>>>,
    refusal: Option<FollowError>,
}

impl<Q> Follower<Vec<u8>, Q> {
    /// Take the live generation of a folder, and read into memory what is followed.
    ///
    /// With `verify`, generations must be signed. `make` is given each table: it may be `Ok`, or set up a
    /// `GuardedQuoter`.
    pub fn new(
        folder: impl Into<PathBuf>,
        verify: Option<Box<Verify>>,
        make: impl FnMut(Table<Vec<u8>>) -> Result<Q, Refusal> + Send + 'static,
    ) -> Result<Self, FollowError> {
        Follower::begin(folder.into(), verify, |path| Table::load(path, Check::All), Box::new(make))
    }
}

impl<B: AsRef<[u8]>, Q> Follower<B, Q> {
    pub(crate) fn begin(
        folder: PathBuf,
        verify: Option<Box<Verify>>,
        load: Load<B>,
        make: Make<B, Q>,
    ) -> Result<Self, FollowError> {
        let (seen, name) = (PathBuf::new(), PathBuf::new());
        let mut follower =
            Follower { folder, verify, load, make, first: None, seen, name, held: None, refusal: None };
        follower.refresh();
        match follower.refusal.take() {
            Some(error) => Err(error),
            None => Ok(follower),
        }
    }

    /// The generation held; a clone keeps it, whatever is published.
    pub fn held(&self) -> &Arc<Generation<Q>> {
        self.held.as_ref().expect("taken when the follower was made")
    }

    /// Why the newest generation was not taken.
    pub fn refusal(&self) -> Option<&FollowError> {
        self.refusal.as_ref()
    }

    /// Look for a new generation and take it: whether one was taken.
    pub fn refresh(&mut self) -> bool {
        loop {
            let name = match self.live() {
                Ok(name) => name,
                Err(error) => return self.refuse(error.into()),
            };
            if name == self.name {
                self.refusal = None; // the pointer was elsewhere, or could not be read, and is back
                self.seen = name;
                return false;
            }
            if name == self.seen {
                return false;
            }
            let Err(error) = self.take(&name) else {
                self.refusal = None;
                self.seen.clone_from(&name);
                self.name = name;
                return true;
            };
            // deleted while it was opened, or before its signature was: the pointer has moved on
            if self.live().is_ok_and(|now| now != name) {
                continue;
            }
            if !matches!(error, FollowError::Unreadable(_)) {
                self.seen = name;
            }
            return self.refuse(error);
        }
    }

    fn refuse(&mut self, error: FollowError) -> bool {
        self.refusal = Some(error);
        false
    }

    /// What the pointer holds.
    fn live(&self) -> io::Result<PathBuf> {
        fs::read_link(self.folder.join("current.safetensors"))
    }

    fn take(&mut self, name: &Path) -> Result<(), FollowError> {
        let number = number_of(name).ok_or(FollowError::PointerForm)?;
        let path = self.folder.join(name);
        let table = (self.load)(&path)?;
        if let Some(verify) = &self.verify {
            let content = signature_beside(&path)?;
            table.check_signature(&content, verify).map_err(FollowError::Signature)?;
        }
        let interface = Interface::of(&table);
        if self.first.as_ref().is_some_and(|first| *first != interface) {
            return Err(FollowError::InterfaceChanged);
        }
        let quoter = (self.make)(table).map_err(FollowError::Refused)?;
        self.first.get_or_insert(interface);
        self.held = Some(Arc::new(Generation { number, quoter }));
        Ok(())
    }
}

/// The content of the signature's file of a table; of a file that is too long, as much as shows it.
fn signature_beside(table: &Path) -> Result<Vec<u8>, FollowError> {
    let file = open_regular(&table.with_extension("signature")).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => FollowError::Signature(SignatureError::SignatureMissing),
        _ => FollowError::Unreadable(error),
    })?;
    let mut content = Vec::new();
    file.take(SIGNATURE_BYTES as u64 + 1).read_to_end(&mut content)?;
    Ok(content)
}

/// The number in the name of a generation.
fn number_of(name: &Path) -> Option<u64> {
    let digits = name.to_str()?.strip_prefix("generation-")?.strip_suffix(".safetensors")?;
    let good = digits.len() == 10 && digits.bytes().all(|digit| digit.is_ascii_digit());
    good.then(|| digits.parse().ok()).flatten()
}

/// What whoever quotes from a table relies on, beyond its numbers.
#[derive(PartialEq)]
struct Interface {
    words: [Vec<String>; 5],
    lots: Vec<Option<f64>>,
    flows: Vec<(String, i64, i64, usize)>,
    has_time: bool,
}

impl Interface {
    fn of<B: AsRef<[u8]>>(table: &Table<B>) -> Interface {
        let units = [table.price_unit(), table.time_unit()];
        let listed = [table.symbols(), table.regimes(), table.factors(), table.parameter_axes()];
        let [symbols, regimes, factors, parameter_axes] =
            listed.map(|words| words.iter().map(String::from).collect());
        let flows = (0..table.flow_count()).filter_map(|place| table.flow(place));
        Interface {
            words: [units.map(String::from).into(), symbols, regimes, factors, parameter_axes],
            lots: (0..table.symbols().len()).map(|asset| table.lot_size(asset)).collect(),
            flows: flows.map(|flow| (flow.name.into(), flow.side, flow.size, flow.asset)).collect(),
            has_time: table.has_time(),
        }
    }
}
