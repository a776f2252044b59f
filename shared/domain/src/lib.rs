//! Pure billing rules of MindGarden: values in, decisions out.
//!
//! Invariants of the crate: no I/O, no clock, no randomness, no floating point; time, ids and tokens are
//! arguments. Amounts are integers in minor units beside a currency. Civil dates are dates in Asia/Seoul.
//! Reading order: [`money`], [`calendar`], [`ids`], [`plan`], [`onboarding`], [`method`], [`charge`],
//! [`cycle`], [`refund`], [`dispute`], [`dunning`], [`subscription`], [`card`], [`rest`], [`ending`], [`cancelling`],
//! [`settle`], [`resolve`], [`breaker`], [`run`], [`event`], [`statistics`], [`seal`], [`invoice`], [`tax`], [`document`],
//! [`ledger`], [`movement`], [`settlement`], [`reminder`], [`notice`], [`access`],
//! [`demo`].
#![warn(clippy::arithmetic_side_effects, clippy::as_conversions, clippy::wildcard_enum_match_arm)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

pub mod access;
pub mod breaker;
pub mod business_number;
pub mod calendar;
pub mod cancelling;
pub mod card;
pub mod charge;
pub mod contact;
pub mod cycle;
pub mod demo;
pub mod dispute;
pub mod document;
pub mod dunning;
pub mod ending;
pub mod event;
pub mod ids;
pub mod invoice;
pub mod ledger;
pub mod method;
pub mod money;
pub mod movement;
pub mod notice;
pub mod onboarding;
pub mod plan;
pub mod refund;
pub mod reminder;
pub mod resolve;
pub mod rest;
pub mod run;
pub mod seal;
pub mod settle;
pub mod settlement;
pub mod statistics;
pub mod subscription;
pub mod tax;

pub use jiff::{Timestamp, civil::Date};
