//! The real use cases on the memory store with a scripted gateway: what happens when answers are lost, processes die
//! and messages come twice. Judged by the scripted gateway's own ledger.

mod adverse;
mod asked;
mod cancelling;
mod ceilings;
mod changing_cards;
mod charging;
mod deleting;
mod documents;
mod frozen;
mod guides;
mod hostile;
mod intents;
mod late_declines;
mod late_hints;
mod mismatches;
mod mortal;
mod operators;
mod pace;
mod quarter;
mod refund_sweep;
mod refunding;
mod resends;
mod rest;
mod runner;
mod runs;
mod second_card;
mod sweep;
mod switch;
mod till;
mod two_gateways;
mod vault;
mod world;
