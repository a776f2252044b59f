//! Stripe adapter.
