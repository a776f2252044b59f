//! Billing rules.
