//! Suites that cross crates: use cases, store, adapters.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test program: a panic is its answer")]

mod flows;
mod gateway_contract;
mod gateway_house;
mod gateway_intents;
mod gateway_refunds;
mod gateway_registration;
mod gateway_script;
mod gateway_statements;
mod gateway_transport;
mod gateway_webhook;
mod pacer;
mod store_checks;
mod store_conformance;
mod store_document_checks;
mod store_faults;
mod store_list_checks;
mod store_parity;
mod store_rows;
mod store_samples;
mod store_tables;
