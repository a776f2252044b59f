//! The laws of the product (product.md, design.md §5 and §6), proved on the pure crate. One module per law book; each
//! test is named after the law it proves.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test program: failing loudly is its purpose")]

mod answers;
mod applications;
mod books;
mod calendar;
mod cancelling;
mod closing;
mod details;
mod documents;
mod dunning;
mod fixtures;
mod gateway;
mod hostile;
mod intents;
mod life_cycle;
mod money;
mod new_card;
mod notices;
mod order;
mod outage;
mod quarantine;
mod records;
mod refunds;
mod resolve;
mod runs;
mod seals;
mod settlement;
mod statistics;
mod walk;
mod without_card;
mod world;
