//! Reads the FlatBuffers wire format, and trusts nothing in it: each offset is checked before it is followed.
//!
//! ```text
//!  root ──offset──▶ table ──back offset──▶ vtable: its size, the table's size, where each field lies in the table
//!                     └─ field: a number, or an offset ──▶ table, vector (length, elements), string
//! ```
//! Numbers are little-endian (FlatBuffers internals, "Encoding"). Nothing here recurses, so a file cannot make it loop.

/// Most entries of a list, so that a damaged file cannot claim all memory. Networks for this gate have some hundred.
const ENTRIES_MAX: usize = 10_000;
/// Names are for messages; longer ones are cut.
const TEXT_MAX_BYTES: usize = 200;

/// What could not be read, and where.
pub type Result<T> = std::result::Result<T, String>;

/// The bytes of `file` from `at` on, `len` of them.
fn bytes(file: &[u8], at: usize, len: usize) -> Result<&[u8]> {
    at.checked_add(len)
        .and_then(|end| file.get(at..end))
        .ok_or_else(|| format!("{len} bytes at byte {at} lie outside the file of {} bytes", file.len()))
}

fn array<const N: usize>(file: &[u8], at: usize) -> Result<[u8; N]> {
    bytes(file, at, N)?.try_into().map_err(|_| format!("{N} bytes at byte {at} are missing"))
}

fn number(file: &[u8], at: usize) -> Result<usize> {
    Ok(u32::from_le_bytes(array(file, at)?) as usize)
}

/// Where the offset at `at` points to. Offsets count from themselves and only forwards.
fn follow(file: &[u8], at: usize) -> Result<usize> {
    let target = number(file, at)?.checked_add(at).filter(|target| *target > at);
    target.ok_or_else(|| format!("the offset at byte {at} points nowhere"))
}

/// A table: fields by number, each of which may be left out.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    file: &'a [u8],
    at: usize,
    /// Two bytes for each field: where it lies in the table, 0 where it was left out.
    fields: &'a [u8],
}

impl<'a> Table<'a> {
    /// The table that the file begins with.
    ///
    /// # Errors
    /// When it does not lie in the file.
    pub fn root(file: &'a [u8]) -> Result<Self> {
        Self::at(file, follow(file, 0)?)
    }

    fn at(file: &'a [u8], at: usize) -> Result<Self> {
        let back = i64::from(i32::from_le_bytes(array(file, at)?));
        let vtable = i64::try_from(at).ok().and_then(|at| usize::try_from(at - back).ok());
        let vtable = vtable.ok_or_else(|| format!("the table at byte {at} has no layout"))?;
        let size = usize::from(u16::from_le_bytes(array(file, vtable)?));
        let fields = bytes(file, vtable, size)?.get(4..);
        let fields = fields.ok_or_else(|| format!("the layout at byte {vtable} is too short"))?;
        Ok(Self { file, at, fields })
    }

    /// Where a field lies; `None` when it was left out.
    fn field(&self, number: usize) -> Option<usize> {
        let entry = self.fields.as_chunks::<2>().0.get(number)?;
        match u16::from_le_bytes(*entry) {
            0 => None,
            offset => self.at.checked_add(usize::from(offset)),
        }
    }

    /// A byte, or what it is when left out.
    ///
    /// # Errors
    /// When it lies outside the file; so it is for all that follow.
    pub fn u8(&self, field: usize, default: u8) -> Result<u8> {
        self.field(field).map_or(Ok(default), |at| Ok(array::<1>(self.file, at)?[0]))
    }

    /// A 32-bit integer, or what it is when left out.
    pub fn i32(&self, field: usize, default: i32) -> Result<i32> {
        self.field(field).map_or(Ok(default), |at| Ok(i32::from_le_bytes(array(self.file, at)?)))
    }

    /// An unsigned 32-bit integer, 0 when left out.
    pub fn u32(&self, field: usize) -> Result<usize> {
        self.field(field).map_or(Ok(0), |at| number(self.file, at))
    }

    /// A table, or nothing when left out.
    pub fn table(&self, field: usize) -> Result<Option<Table<'a>>> {
        self.field(field).map(|at| Table::at(self.file, follow(self.file, at)?)).transpose()
    }

    /// A vector's bytes, `size` for each element; empty when left out.
    pub fn vector(&self, field: usize, size: usize) -> Result<&'a [u8]> {
        let Some(at) = self.field(field) else { return Ok(&[]) };
        let at = follow(self.file, at)?;
        let len =
            number(self.file, at)?.checked_mul(size).ok_or_else(|| format!("the vector at byte {at} is endless"))?;
        bytes(self.file, at + 4, len)
    }

    /// A vector of 32-bit integers; empty when left out.
    pub fn i32s(&self, field: usize) -> Result<Vec<i32>> {
        let (entries, _) = short(self.vector(field, 4)?)?.as_chunks::<4>();
        Ok(entries.iter().map(|b| i32::from_le_bytes(*b)).collect())
    }

    /// A vector of tables; empty when left out.
    pub fn tables(&self, field: usize) -> Result<Vec<Table<'a>>> {
        let Some(at) = self.field(field) else { return Ok(Vec::new()) };
        let first = follow(self.file, at)? + 4;
        let count = short(self.vector(field, 4)?)?.len() / 4;
        (0..count).map(|i| Table::at(self.file, follow(self.file, first + 4 * i)?)).collect()
    }

    /// The beginning of a text; what is not UTF-8 in it is replaced. Empty when left out.
    pub fn text(&self, field: usize) -> Result<String> {
        let text = self.vector(field, 1)?;
        Ok(String::from_utf8_lossy(&text[..text.len().min(TEXT_MAX_BYTES)]).into_owned())
    }
}

/// A list's bytes, four for each entry, if it is not too long.
fn short(list: &[u8]) -> Result<&[u8]> {
    let entries = list.len() / 4;
    if entries > ENTRIES_MAX { Err(format!("a list of {entries} entries; at most {ENTRIES_MAX}")) } else { Ok(list) }
}
