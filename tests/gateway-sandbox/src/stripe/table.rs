//! Objects of one kind in the order they were made, found by id.
//!
//! Invariant: `index[id]` is the row's position; rows are never removed (a deleted customer stays, marked).

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::HashMap;

/// An object with an id and a time of birth.
pub trait Row {
    /// `object` on the wire, and the word in "No such …".
    const KIND: &'static str;
    /// The id.
    fn id(&self) -> &str;
    /// Unix seconds by the sandbox's clock.
    fn created(&self) -> i64;
}

/// The objects of one kind.
#[derive(Debug)]
pub struct Table<T> {
    rows: Vec<T>,
    index: HashMap<String, usize>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { rows: Vec::new(), index: HashMap::new() }
    }
}

impl<T: Row> Table<T> {
    /// Adds a new object.
    pub fn insert(&mut self, row: T) {
        self.index.insert(row.id().to_owned(), self.rows.len());
        self.rows.push(row);
    }

    /// The object with this id.
    pub fn get(&self, id: &str) -> Option<&T> {
        self.index.get(id).and_then(|&at| self.rows.get(at))
    }

    /// The object with this id, to change.
    pub fn get_mut(&mut self, id: &str) -> Option<&mut T> {
        self.index.get(id).and_then(|&at| self.rows.get_mut(at))
    }

    /// All, newest first.
    pub fn newest(&self) -> impl Iterator<Item = &T> {
        self.rows.iter().rev()
    }
}

impl<T: Serialize> Serialize for Table<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.rows.serialize(serializer)
    }
}

impl<'de, T: Row + Deserialize<'de>> Deserialize<'de> for Table<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut table = Self::default();
        for row in Vec::<T>::deserialize(deserializer)? {
            table.insert(row);
        }
        Ok(table)
    }
}
