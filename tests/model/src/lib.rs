//! Model checking of the charge protocol (`design.md` §5): two runners and one HTTP or webhook worker, the gateway and the
//! time, in every order, with crashes, lost answers, duplicates, cancellation and a new card.
//!
//! The decisions are the production ones (`domain::subscription`, `domain::settle`, `domain::resolve`, `domain::card`,
//! `domain::cancelling`, `domain::ending`); what
//! is written here is what surrounds them in `shared/src/usecase`: read, decide, write under the version that was read,
//! call. [`protocol::Protocol`] is the model, [`guards::Guards`] takes one guard away, [`laws`] says what must hold.
//!
//! Between any two steps a worker may freeze, die or be overtaken; time goes on to the next lease, due time, key window or
//! forgotten key. Bounds: one cycle, two attempts, four looks at one attempt, twenty days, and the trouble a configuration
//! names. The runners are alike, so a state and its mirror image count once; versions count only as "as I read it" or not.
//!
//! What the protocol takes for granted, and what is therefore assumed here:
//! * a request that was sent arrives within [`config::LATE`] after its lease, or never. Without it a request that sleeps until
//!   absence was proved takes a second payment ([`guards::Guard::RequestsDie`] shows how);
//! * a look-up sees what is older than [`config::LAG`]; both together stay below the hour between two empty look-ups;
//! * the gateway replays an answer under its key for as long as its documentation says.
#![allow(clippy::expect_used, clippy::missing_panics_doc, reason = "a test program: failing loudly is its purpose")]

pub mod config;
pub mod gateway;
pub mod guards;
pub mod kept;
pub mod laws;
pub mod protocol;
pub mod state;
pub mod story;
mod worker;
