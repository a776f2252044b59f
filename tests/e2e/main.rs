//! Deployed-stack suite.
