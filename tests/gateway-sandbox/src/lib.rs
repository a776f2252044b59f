//! The gateway sandbox.
