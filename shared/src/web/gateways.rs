//! What requests about a gateway have in common: its name in the path and, for a change, the operator's reason.

use domain::charge::GatewayName;

use super::{ApiError, Request};
use crate::api::requests::SwitchGateway;

/// Longest reason, in characters.
const REASON_MAX: usize = 500;

/// The gateway a path names.
///
/// # Errors
/// 404 when there is no such gateway.
pub fn named_gateway(request: &Request) -> Result<GatewayName, ApiError> {
    request.path_param("gateway").and_then(GatewayName::parse).ok_or_else(ApiError::not_found)
}

impl SwitchGateway {
    /// The reason, trimmed.
    ///
    /// # Errors
    /// 422 when it is empty or too long.
    pub fn reason(self) -> Result<String, ApiError> {
        let reason = self.reason.trim();
        if (1..=REASON_MAX).contains(&reason.chars().count()) {
            return Ok(reason.to_owned());
        }
        Err(ApiError::invalid_field("reason", "invalid_length", format!("must be 1 to {REASON_MAX} characters")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_says_something() {
        let why = |reason: &str| SwitchGateway { reason: reason.to_owned() }.reason();
        assert_eq!(why("  점검 ").unwrap(), "점검");
        for bad in ["", "   ", &"x".repeat(501)] {
            assert_eq!(why(bad).unwrap_err().code(), "invalid_length");
        }
    }

    #[test]
    fn other_gateways_do_not_exist() {
        let path =
            |name: &str| Request { path_params: vec![("gateway".to_owned(), name.to_owned())], ..Request::default() };
        assert_eq!(named_gateway(&path("stripe")).unwrap(), GatewayName::Stripe);
        for bad in ["", "Toss", "paypal"] {
            assert_eq!(named_gateway(&path(bad)).unwrap_err().status(), 404, "{bad}");
        }
    }
}
