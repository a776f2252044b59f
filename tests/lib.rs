//! What the suites share: a clock and randomness for tests.
