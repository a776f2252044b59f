//! HTTP transport shared by the adapters.
