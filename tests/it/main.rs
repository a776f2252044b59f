//! Suites that cross crates: use cases, store, adapters.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test program: a panic is its answer")]

mod flows;
