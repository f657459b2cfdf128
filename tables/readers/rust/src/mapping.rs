//! Files: read, or mapped where the system can (64-bit Unix).

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::vec::Vec;

use crate::refusals::FileError;
use crate::table::{Check, Table};

/// Why there is no table.
#[derive(Debug)]
pub enum LoadError {
    /// The file cannot be read.
    Unreadable(io::Error),
    /// It breaks a rule.
    Refused(FileError),
}

impl fmt::Display for LoadError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Unreadable(error) => write!(to, "file-unreadable: {error}"),
            LoadError::Refused(error) => error.fmt(to),
        }
    }
}

impl std::error::Error for LoadError {}

/// Open a file to read; an error for what is none, for opening a pipe would wait for who writes to it.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    File::open(path)
}

impl From<io::Error> for LoadError {
    fn from(error: io::Error) -> LoadError {
        LoadError::Unreadable(error)
    }
}

impl From<FileError> for LoadError {
    fn from(error: FileError) -> LoadError {
        LoadError::Refused(error)
    }
}

impl Table<Vec<u8>> {
    /// Read a runtime file into memory and check it.
    pub fn load(path: impl AsRef<Path>, check: Check) -> Result<Table<Vec<u8>>, LoadError> {
        let mut bytes = Vec::new();
        open_regular(path.as_ref())?.read_to_end(&mut bytes)?;
        Ok(Table::read(bytes, check)?)
    }
}

#[cfg(all(unix, target_pointer_width = "64"))]
pub use mapped::Mapping;

#[cfg(all(unix, target_pointer_width = "64"))]
mod mapped {
    use std::boxed::Box;
    use std::ffi::{c_int, c_void};
    use std::os::fd::AsRawFd;
    use std::path::{Path, PathBuf};
    use std::ptr::NonNull;
    use std::{io, slice};

    use super::{open_regular, LoadError};
    use crate::follow::{FollowError, Follower, Load, Verify};
    use crate::refusals::{FileError, Refusal};
    use crate::table::{Check, Table};

    // `std` links the C library on every Unix. The constants are those of Linux, macOS and the BSDs.
    extern "C" {
        fn mmap(at: *mut c_void, size: usize, may: c_int, how: c_int, file: c_int, from: i64) -> *mut c_void;
        fn munmap(at: *mut c_void, size: usize) -> c_int;
    }
    const PROT_READ: c_int = 1;
    const MAP_SHARED: c_int = 1;

    /// A file in memory without a copy: processes that map the same table share it.
    #[derive(Debug)]
    pub struct Mapping {
        at: NonNull<u8>,
        size: usize,
    }

    // SAFETY: the memory is only ever read, and belongs to this value alone, wherever it is dropped.
    unsafe impl Send for Mapping {}
    unsafe impl Sync for Mapping {}

    impl AsRef<[u8]> for Mapping {
        fn as_ref(&self) -> &[u8] {
            // SAFETY: mmap gave so many readable bytes; they stay mapped until drop, which outlives this borrow,
            // and whoever made the mapping has promised that they do not change.
            unsafe { slice::from_raw_parts(self.at.as_ptr(), self.size) }
        }
    }

    impl Drop for Mapping {
        fn drop(&mut self) {
            // SAFETY: mapped by `Mapping::of` with this size, and unmapped nowhere else.
            unsafe { munmap(self.at.as_ptr().cast(), self.size) };
        }
    }

    impl Mapping {
        /// # Safety
        ///
        /// See `Table::map`.
        unsafe fn of(path: &Path) -> Result<Mapping, LoadError> {
            let file = open_regular(path)?;
            let size = file.metadata()?.len() as usize; // 64 bits
            if size < 8 {
                return Err(FileError::FileTooShort.into()); // mmap maps no empty file
            }
            // SAFETY: a new mapping at an address that the system chooses touches no memory in use.
            let at = unsafe { mmap(std::ptr::null_mut(), size, PROT_READ, MAP_SHARED, file.as_raw_fd(), 0) };
            // failure is -1; success is never 0, as no address was asked for
            if at as isize == -1 {
                return Err(io::Error::last_os_error().into());
            }
            let at = NonNull::new(at.cast()).ok_or_else(|| io::Error::other("mapped at address 0"))?;
            Ok(Mapping { at, size })
        }
    }

    impl Table<Mapping> {
        /// Map a runtime file into memory and check it.
        ///
        /// # Safety
        ///
        /// The file must not be changed or cut off as long as it is mapped. Those who write tables by FORMAT.md §7 never
        /// do that: they write another file and rename it, and what is mapped stays. Where somebody may edit the
        /// file in place, use `Table::load`.
        pub unsafe fn map(path: impl AsRef<Path>, check: Check) -> Result<Table<Mapping>, LoadError> {
            // SAFETY: promised by the caller.
            let mapping = unsafe { Mapping::of(path.as_ref())? };
            Ok(Table::read(mapping, check)?)
        }
    }

    impl<Q> Follower<Mapping, Q> {
        /// Like `Follower::new`, with tables that are mapped instead of copied.
        ///
        /// # Safety
        ///
        /// See `Table::map`, of every generation. On a network file system, where another machine may delete what is
        /// mapped, use `Follower::new`.
        pub unsafe fn map(
            folder: impl Into<PathBuf>,
            verify: Option<Box<Verify>>,
            make: impl FnMut(Table<Mapping>) -> Result<Q, Refusal> + Send + 'static,
        ) -> Result<Follower<Mapping, Q>, FollowError> {
            // SAFETY: promised by the caller.
            let load: Load<Mapping> = |path| unsafe { Table::map(path, Check::All) };
            Follower::begin(folder.into(), verify, load, Box::new(make))
        }
    }
}

#[cfg(all(test, unix, target_pointer_width = "64"))]
mod tests {
    use std::path::PathBuf;
    use std::string::ToString;
    use std::{env, fs, process, thread};

    use super::LoadError;
    use crate::{Check, FileError, Table};

    fn tiny() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/tiny.safetensors")
    }

    #[test]
    fn a_mapped_table_is_the_one_that_is_read_and_survives_another_in_its_place() {
        let path = env::temp_dir().join(std::format!("quotegrid-{}.safetensors", process::id()));
        let other = path.with_extension("new");
        fs::copy(tiny(), &path).unwrap();
        // SAFETY: the file is replaced, not changed.
        let mapped = unsafe { Table::map(&path, Check::All) }.unwrap();
        fs::write(&other, b"").unwrap();
        fs::rename(&other, &path).unwrap();
        let read = Table::load(tiny(), Check::All).unwrap();
        let mapped = thread::spawn(move || {
            assert_eq!(mapped.bytes(), read.bytes());
            mapped
        });
        assert_eq!(mapped.join().unwrap().symbols().get(0), Some("GLFT2013"));
        // SAFETY: nobody else knows this file.
        let empty = unsafe { Table::map(&path, Check::All) };
        assert!(matches!(empty, Err(LoadError::Refused(FileError::FileTooShort))));
        fs::remove_file(&path).unwrap();
        // SAFETY: there is none.
        let missing = unsafe { Table::map(&path, Check::All) }.unwrap_err();
        assert!(missing.to_string().starts_with("file-unreadable: "), "{missing}");
        // SAFETY: a folder is not mapped.
        let folder = unsafe { Table::map(env::temp_dir(), Check::All) }.unwrap_err();
        assert!(folder.to_string().starts_with("file-unreadable: "), "{folder}");
    }
}
