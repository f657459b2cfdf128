//! From the first bytes of a file to the place of every tensor (FORMAT.md §2).

use crate::refusals::FileError;
use crate::tensors::{Id, Kind, Tensor, MAX_RANK};

const START: &[u8] = b"{\"__metadata__\":{\"quotegrid\":\"";
const MOST_HEADER: u64 = 100_000_000;
const MOST_NUMBERS: u64 = 1 << 48;

/// What the header says.
pub(crate) struct Header {
    pub metadata: (usize, usize), // from, to: places in the file
    pub tensors: [Option<Tensor>; Id::COUNT],
}

/// What is left of the header.
struct Cursor<'a> {
    text: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// Is this next? If so, go behind it.
    fn next(&mut self, wanted: &[u8]) -> bool {
        match self.text.strip_prefix(wanted) {
            Some(rest) => {
                self.text = rest;
                true
            }
            None => false,
        }
    }

    /// This must be next.
    fn need(&mut self, wanted: &[u8]) -> Result<(), FileError> {
        if self.next(wanted) {
            Ok(())
        } else {
            Err(FileError::HeaderForm)
        }
    }

    /// As many characters of a kind as there are.
    fn run(&mut self, of_kind: impl Fn(u8) -> bool) -> &'a [u8] {
        let length = self.text.iter().position(|&c| !of_kind(c)).unwrap_or(self.text.len());
        let (found, rest) = self.text.split_at(length);
        self.text = rest;
        found
    }

    /// A word of at most `most` characters: letters of one case, digits, underscores.
    fn token(&mut self, letters: core::ops::RangeInclusive<u8>, most: usize) -> Result<&'a [u8], FileError> {
        let found = self.run(|c| letters.contains(&c) || c.is_ascii_digit() || c == b'_');
        if (1..=most).contains(&found.len()) {
            Ok(found)
        } else {
            Err(FileError::HeaderForm)
        }
    }

    /// Plain digits without leading zeros, at most 16 of them.
    fn digits(&mut self) -> Result<u64, FileError> {
        let found = self.run(|c| c.is_ascii_digit());
        if !(1..=16).contains(&found.len()) || (found[0] == b'0' && found.len() > 1) {
            return Err(FileError::HeaderForm);
        }
        Ok(found.iter().fold(0, |number, &digit| 10 * number + u64::from(digit - b'0')))
    }

    /// Printable ASCII in which " and \ have a \ before them, up to a ".
    fn string(&mut self) -> Result<&'a [u8], FileError> {
        let mut length = 0;
        loop {
            match self.text.get(length..) {
                Some([b'"', ..]) => break,
                Some([b'\\', b'"' | b'\\', ..]) => length += 2,
                Some([32..=91 | 93..=126, ..]) => length += 1,
                _ => return Err(FileError::HeaderForm),
            }
        }
        let (found, rest) = self.text.split_at(length);
        self.text = rest;
        Ok(found)
    }
}

/// The header of a file; the tensors it names lie inside of the file.
pub(crate) fn read_header(file: &[u8]) -> Result<Header, FileError> {
    let Some(length) = file.first_chunk() else { return Err(FileError::FileTooShort) };
    let length = u64::from_le_bytes(*length);
    if length > MOST_HEADER {
        return Err(FileError::HeaderTooLarge);
    }
    let end = 8 + length as usize; // at most 1e8 + 8
    let Some(text) = file.get(8..end) else { return Err(FileError::HeaderTooLong) };
    if !end.is_multiple_of(64) {
        return Err(FileError::DataAlignment);
    }
    let mut cursor = Cursor { text };
    if !cursor.next(START) {
        return Err(FileError::MetadataEntry);
    }
    if !cursor.next(b"1\"") {
        return Err(FileError::FormatVersion);
    }
    cursor.need(b",\"content_hash\":\"")?;
    if cursor.run(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f')).len() != 64 {
        return Err(FileError::HeaderForm);
    }
    cursor.need(b"\",\"metadata\":\"")?;
    let from = end - cursor.text.len();
    let metadata = (from, from + cursor.string()?.len());
    cursor.need(b"\"}")?;
    let mut entries = Entries { data: end, room: (file.len() - end) as u64, end: 0, last: None };
    let mut tensors = [None; Id::COUNT];
    while cursor.next(b",\"") {
        let (id, tensor) = entries.next(&mut cursor)?;
        tensors[id as usize] = Some(tensor);
    }
    cursor.need(b"}")?;
    cursor.run(|c| c == b' ');
    if !cursor.text.is_empty() {
        return Err(FileError::HeaderForm);
    }
    if entries.end != entries.room {
        return Err(FileError::DataTooLong);
    }
    Ok(Header { metadata, tensors })
}

/// Where the entries have come to.
struct Entries {
    data: usize, // where the data section begins
    room: u64,   // its length
    end: u64,    // where the last tensor ended
    last: Option<Id>,
}

impl Entries {
    fn next(&mut self, cursor: &mut Cursor) -> Result<(Id, Tensor), FileError> {
        let name = cursor.token(b'a'..=b'z', 64)?;
        cursor.need(b"\":{\"dtype\":\"")?;
        let dtype = cursor.token(b'A'..=b'Z', 8)?;
        cursor.need(b"\",\"shape\":[")?;
        let shape = Shape::read(cursor)?;
        cursor.need(b",\"data_offsets\":[")?;
        let begin = cursor.digits()?;
        cursor.need(b",")?;
        let behind = cursor.digits()?;
        cursor.need(b"]}")?;
        let kind = match dtype {
            b"F64" => Kind::Float,
            b"I64" => Kind::Integer,
            _ => return Err(FileError::TensorDtype),
        };
        if shape.too_many {
            return Err(FileError::TensorShape);
        }
        let bytes = 8 * shape.numbers; // at most 2^51
        if begin.checked_add(bytes) != Some(behind) {
            return Err(FileError::TensorSize);
        }
        if begin != self.end {
            return Err(FileError::TensorOffsets);
        }
        if behind > self.room {
            return Err(FileError::DataTooShort);
        }
        let known = Id::ALL.iter().copied().find(|id| id.name().as_bytes() == name);
        let Some(id) = known else { return Err(FileError::TensorUnknown) };
        if self.last.is_some_and(|last| last >= id) {
            return Err(FileError::TensorOrder);
        }
        self.end = behind;
        self.last = Some(id);
        // both fit: the tensor lies inside of the file
        Ok((id, Tensor::new(self.data + begin as usize, bytes as usize, kind, &shape.sizes[..shape.rank])))
    }
}

/// A list of sizes, and how many numbers that makes.
struct Shape {
    sizes: [u64; MAX_RANK],
    rank: usize,
    numbers: u64,
    too_many: bool, // axes, or numbers
}

impl Shape {
    fn read(cursor: &mut Cursor) -> Result<Shape, FileError> {
        let mut shape = Shape { sizes: [0; MAX_RANK], rank: 0, numbers: 1, too_many: false };
        let mut counted = 1u64; // with each 0 as 1
        if cursor.next(b"]") {
            return Ok(shape);
        }
        loop {
            let size = cursor.digits()?;
            if shape.rank == MAX_RANK || size.max(1) > MOST_NUMBERS / counted {
                shape.too_many = true;
            } else {
                counted *= size.max(1);
                shape.numbers *= size;
                shape.sizes[shape.rank] = size;
                shape.rank += 1;
            }
            if !cursor.next(b",") {
                break;
            }
        }
        cursor.need(b"]")?;
        Ok(shape)
    }
}
