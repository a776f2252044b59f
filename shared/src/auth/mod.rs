//! Who calls and what they may do: tokens, the permission table, the API authorizer and the operators' log-in.
//!
//! Invariants: of our own tokens only HS256 under a key we hold is accepted, checked against a time that is passed in, and of
//! a provider's what [`oidc`] says; an audience and
//! its roles never mix; the permission table is the only list of who may call what, read by the authorizer and again
//! by every handler; a session that was ended is let in nowhere, from the next request on; a password is tried a bounded
//! number of times, whether or not anybody has the name; no token, password or key is ever logged or printed.

pub mod authorizer;
mod caller;
pub mod change_password;
pub mod guide;
pub mod log_in;
pub mod log_out;
pub mod oidc;
mod operators;
mod password;
pub mod permissions;
pub mod session;
pub mod token;
mod tokens;
mod tries;

pub use caller::{Caller, Role};
pub use operators::{LogInError, LoggedIn, Operators};
pub use tokens::{Minted, Tokens};
