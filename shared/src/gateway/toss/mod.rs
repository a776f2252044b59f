//! Toss Payments adapter.
