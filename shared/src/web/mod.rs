//! Serving HTTP: one request in, one [`Reply`] or [`ApiError`] out, and the only mapping of errors to answers.
//!
//! Invariants: everything a caller sends is size-limited, typed and searched for card numbers before a handler sees
//! it; an answer never holds an internal text; a body is never logged; a 5xx leaves exactly one log line with its
//! causes; a malformed id reads like an absent one.

mod access;
pub mod audit;
mod body;
pub mod cached;
pub mod card_guard;
pub mod charged;
mod cors;
mod errors;
pub mod gateways;
pub mod guide_page;
pub mod idempotency;
pub mod invoice_page;
pub mod refunds;
mod reply;
mod request;
mod serve;
pub mod webhook;

pub use reply::{ApiError, FieldError, REQUEST_ID, Reply};
pub use request::{Page, Request};
pub use serve::{serve, serve_webhook};
