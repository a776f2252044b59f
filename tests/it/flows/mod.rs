//! The real use cases on the memory store with a scripted gateway: what happens when answers are lost, processes die
//! and messages come twice. Judged by the scripted gateway's own ledger.

mod adverse;
mod asked;
mod charging;
mod guides;
mod late_declines;
mod operators;
mod pace;
mod resends;
mod rest;
mod runs;
mod second_card;
mod sweep;
mod switch;
mod two_gateways;
mod vault;
mod world;
