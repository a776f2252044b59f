//! The deployed stack, from outside: HTTP, webhooks, queues, time travel and killed processes, judged by the gateway
//! sandbox's ledger. Needs the environment of `.local/stack.env`; `make test` brings an isolated stack up for it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test program: a panic is its answer")]

mod audit;
mod aws;
mod bad_input;
mod cancel;
mod contract;
mod cors;
mod crash;
mod documents;
mod doors;
mod endings;
mod events;
mod faults;
mod harness;
mod hostile_tokens;
mod journey;
mod matrix;
mod months;
mod notices;
mod oidc;
mod operations;
mod outside;
mod queues;
mod refunds;
mod schedule;
mod sessions;
mod settlement;
mod tables;
mod tenant;
mod tokens;
mod under_fire;
mod webhooks;
mod withheld;
mod years_of_keys;
