//! Use cases, gateways and store.
pub use domain;
