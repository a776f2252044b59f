//! Sessions: leaving, and an operator's own password.

use serde_json::json;
use shared::api::SessionBody;
use shared::api::requests::{ChangePassword, NoFields};

use crate::examples;
use crate::operation::Operation;

const TAG: &str = "session";

pub fn log_out() -> Operation {
    Operation::new(TAG, "End the session of this token")
        .about("At once and for good: the token is refused from the next request on. The cookie is taken back.")
        .may_take::<NoFields>(json!({}))
        .empty(204, "The session is over.")
        .header(204, "Set-Cookie", "Takes the session cookie out of the browser.")
}

pub fn change_password() -> Operation {
    Operation::new(TAG, "Set an operator's own password")
        .about("Ends every other session of the operator. After a log-in with a temporary password (`OPS_PENDING`) it is the \
            only thing the token may do besides leaving. Wrong current passwords count as tries to log in.")
        .takes::<ChangePassword>(json!({ "currentPassword": "the temporary one", "newPassword": "correct horse battery staple" }))
        .answers::<SessionBody<'_>>(200, "A token for an hour, also as a cookie.", examples::session())
        .header(200, "Set-Cookie", "The session cookie: HttpOnly, Secure, SameSite=Strict.")
        .refuses(401, &["invalid_credentials"])
        .refuses(409, &["conflict"])
}
