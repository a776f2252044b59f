//! Store and adapter suites.
