//! Quotes from a policy table, without dependencies, without `std`, and without allocation.
//!
//! A table is one file (FORMAT.md). It says which quotes to make at which inventory, time, regime, factors and
//! parameters; between its nodes it is interpolated, in an order of operations that all readers share to the
//! last bit.
//!
//! ```
//! use quotegrid::{Between, Check, Corners, Outside, Rules, State, Table};
//!
//! let bytes = include_bytes!("../examples/tiny.safetensors");
//! let table = Table::read(&bytes[..], Check::All)?; // or Table::load(path, …), or Table::map(path, …)
//! assert_eq!(table.symbols().get(0), Some("GLFT2013"));
//! let rules = Rules { between: Between::TowardsFlat, outside: Outside::Refuse };
//! let mut corners = Corners::new(); // room, used again for every question
//! let state = State { time: Some(12.5), inventory: &[1.5], ..State::default() };
//! let quote = table.look_up(rules, &state, &mut corners)?;
//! let bid = table.flow_place("book", 1, 0).and_then(|flow| quote.offset(flow));
//! let reference = 100.0;
//! match bid {
//!     Some(offset) => println!("bid {} {}", reference - offset, table.price_unit()),
//!     None => println!("no bid"),
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A `GuardedQuoter` turns a moment into prices on ticks, behind the guards of FORMAT.md §9. A `Follower` takes what is
//! published into a folder (PUBLISHING.md) while others quote from what it held.
//!
//! What cannot be answered is refused by a name of FORMAT.md: `FileError` for files, `Refusal` for questions,
//! `SignatureError` for signatures.
//! Panics are left for numbers of flows and assets that the table does not have.
//!
//! Features: `std` (the default) adds files (`Table::load`, `Table::map`, `Follower`); `c-abi` adds functions for other languages. Without `std`
//! the crate needs `core` alone.

#![no_std]
#![deny(unsafe_code)]
#![warn(unused_qualifications)]

#[cfg(all(target_arch = "x86", not(target_feature = "sse2")))]
compile_error!("quotegrid needs double arithmetic without excess precision: enable sse2");

#[cfg(feature = "std")]
extern crate std;

#[cfg(feature = "c-abi")]
#[allow(unsafe_code)] // pointers from other languages
mod c_abi;
mod checks;
#[cfg(feature = "std")]
mod follow;
mod header;
mod lookup;
#[cfg(feature = "std")]
#[allow(unsafe_code)] // mapping a file
mod mapping;
mod prices;
mod refusals;
mod sha256;
#[cfg(all(feature = "std", target_arch = "x86_64"))]
#[allow(unsafe_code)] // instructions that not every processor has
mod sha256_x86;
mod shifts;
mod signatures;
mod square_root;
mod table;
mod tensors;

#[cfg(feature = "std")]
pub use follow::{FollowError, Follower, Generation, Verify};
pub use lookup::{Between, Corners, Outside, Quote, Rules, State};
#[cfg(feature = "std")]
pub use mapping::LoadError;
#[cfg(all(feature = "std", unix, target_pointer_width = "64"))]
pub use mapping::Mapping;
pub use prices::{GuardedQuoter, Market, Moment, Price, Rounding};
pub use refusals::{FileError, Refusal, SignatureError};
pub use shifts::{Estimate, Shift};
pub use signatures::{SignedBytes, Verdict};
pub use table::{Check, Flow, Metadata, Table, MAX_AXES};
pub use tensors::Words;
