//! A stand-in for Toss Payments and Stripe on one loopback port: their wire, fault knobs, webhooks and a ledger.
//!
//! Invariants: every effect on (pretended) money is in the ledger exactly once; time is the sandbox's own clock, which
//! never goes back; nothing here talks to a real gateway, and live keys are refused.
mod admin;
mod console;
pub mod core;
mod line;
mod server;
pub mod stripe;
pub mod toss;

pub use server::{Options, Sandbox, serve};
