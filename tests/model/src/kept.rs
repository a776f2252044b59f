//! A stored row as part of a model state: shared between states, known by a print of its content.
//!
//! The print is taken over the row's stored form (serde), so a field that is added to a row is part of the state without
//! anybody thinking of it.

use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::ops::Deref;
use std::sync::Arc;

use serde::Serialize;

#[derive(Debug)]
pub struct Kept<T> {
    print: u64,
    row: Arc<T>,
}

impl<T: Serialize> Kept<T> {
    /// # Panics
    /// When the row cannot be serialised, which the store would refuse too.
    #[must_use]
    pub fn new(row: T) -> Self {
        let mut print = Print(DefaultHasher::new());
        serde_json::to_writer(&mut print, &row).expect("a row that is stored serialises");
        Kept { print: print.0.finish(), row: Arc::new(row) }
    }
}

impl<T> Clone for Kept<T> {
    fn clone(&self) -> Self {
        Kept { print: self.print, row: Arc::clone(&self.row) }
    }
}

impl<T> Deref for Kept<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.row
    }
}

impl<T: PartialEq> PartialEq for Kept<T> {
    fn eq(&self, other: &Self) -> bool {
        self.print == other.print && self.row == other.row
    }
}

impl<T: Eq> Eq for Kept<T> {}

impl<T> Hash for Kept<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.print);
    }
}

/// Hashes what is written to it.
struct Print(DefaultHasher);

impl Write for Print {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
