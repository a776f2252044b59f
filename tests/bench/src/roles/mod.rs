//! What a process of this program can be.

pub mod emulator;
pub mod floor;
pub mod gateway;
pub mod renewals;
pub mod webhooks;
