//! What logging in and changing a password look like to a caller.

use domain::access::{PASSWORD_MAX, PASSWORD_MIN, Weak};
use jiff::Timestamp;
use secrecy::ExposeSecret;

use super::{ApiError, Reply};
use crate::api::SessionBody;
use crate::auth::change_password::ChangeError;
use crate::auth::log_in::cookie;
use crate::auth::{LogInError, LoggedIn};

impl Reply {
    /// A fresh session, as a token and as the cookie for pages.
    ///
    /// # Errors
    /// When the body does not serialize, which is a bug.
    pub fn session(session: &LoggedIn, now: Timestamp) -> Result<Reply, ApiError> {
        let LoggedIn { role, minted } = session;
        let body = SessionBody { token: minted.token.expose_secret(), role: *role, expires_at: minted.expires_at };
        Ok(Reply::json(200, &body)?.with_cookie(&cookie(minted, now)))
    }
}

impl From<LogInError> for ApiError {
    fn from(error: LogInError) -> ApiError {
        match error {
            LogInError::Refused => ApiError::new(401, "invalid_credentials", "Unknown user name or wrong password."),
            LogInError::Locked(seconds) => ApiError::too_many_requests(seconds),
            LogInError::Account(error) => error.into(),
            LogInError::Store(error) => error.into(),
        }
    }
}

impl From<ChangeError> for ApiError {
    fn from(error: ChangeError) -> ApiError {
        let weak = |message: String| ApiError::invalid_field("newPassword", "weak_password", message);
        match error {
            ChangeError::Weak(Weak::Length) => weak(format!("must have {PASSWORD_MIN} to {PASSWORD_MAX} characters")),
            ChangeError::Weak(Weak::Name) => weak("must not have the user name in it".to_owned()),
            ChangeError::Weak(Weak::Same) => weak("must be another one".to_owned()),
            ChangeError::Weak(Weak::Monotonous) => weak("must have five different characters".to_owned()),
            ChangeError::LogIn(error) => error.into(),
        }
    }
}
