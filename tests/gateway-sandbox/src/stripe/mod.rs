//! The Stripe wire.
use std::sync::Arc;

use axum::Router;
use serde::{Deserialize, Serialize};

use crate::core::Core;

/// Stripe's objects.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct StripeState {}

/// Stripe's routes.
pub fn router(_core: Arc<Core>) -> Router {
    Router::new()
}
