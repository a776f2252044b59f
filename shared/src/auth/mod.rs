//! Who calls and what they may do: tokens, the permission table, the API authorizer and the operators' log-in.
//!
//! Invariants: only HS256 under a key we hold is accepted, checked against a time that is passed in; an audience and
//! its roles never mix; the permission table is the only list of who may call what, read by the authorizer and again
//! by every handler; no token, password or key is ever logged or printed.

pub mod authorizer;
mod caller;
pub mod guide;
pub mod log_in;
mod password;
pub mod permissions;
pub mod token;
mod tokens;

pub use caller::{Caller, Role};
pub use tokens::{Minted, Tokens};
