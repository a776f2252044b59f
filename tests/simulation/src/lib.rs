//! Deterministic simulation of charging: the real use cases under virtual time, with queues, gateways, a store and
//! people that misbehave as the seed says. The gateways' own ledger is the judge.
//!
//! Invariants: one seed is one history, equal in every step on every run; the harness changes nothing in the code it
//! runs; nothing here reads a clock or makes randomness but from the seed.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test program: a panic is its answer")]

pub mod books;
pub mod clock;
pub mod drill;
pub mod gateway;
mod jobs;
pub mod judge;
pub mod mail;
mod operators;
mod people;
mod process;
pub mod report;
mod rng;
pub mod sim;
mod store;
pub mod trace;
mod watch;
pub mod weather;
pub mod world;
