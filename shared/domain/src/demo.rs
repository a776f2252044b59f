//! Somebody would like to be shown the product. Kept for the operators to answer, and not for ever.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::contact::{is_email, is_phone};
use crate::event::Fact;
use crate::ids::DemoId;

/// How long a request is kept: it is personal data of somebody who may never become a customer.
pub const KEPT: SignedDuration = SignedDuration::from_hours(365 * 24);
const NAME_MAX: usize = 100;
const MESSAGE_MAX: usize = 2_000;

/// Personal data: no plain `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DemoRequest {
    pub id: DemoId,
    pub name: String,
    pub email: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(with = "jiff::fmt::serde::timestamp::millisecond::required")]
    pub at: Timestamp,
    #[serde(with = "jiff::fmt::serde::timestamp::second::required")]
    pub expires_at: Timestamp,
    pub version: u64,
}

impl std::fmt::Debug for DemoRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DemoRequest({}, ..)", self.id)
    }
}

/// What somebody wrote, not yet believed.
pub struct Form {
    pub name: String,
    pub email: String,
    pub phone: Option<String>,
    pub message: Option<String>,
}

/// The field of a form that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    Name,
    Email,
    Phone,
    Message,
}

impl DemoRequest {
    /// A request made at `at`, and what the audit log says of it.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn new(id: DemoId, form: Form, at: Timestamp) -> Result<(DemoRequest, Fact), Wrong> {
        let Form { name, email, phone, message } = form;
        // Lengths are those of what was written, spaces included: the API's document counts so.
        if name.trim().is_empty() || name.chars().count() > NAME_MAX {
            return Err(Wrong::Name);
        }
        if !is_email(&email) {
            return Err(Wrong::Email);
        }
        if phone.as_deref().is_some_and(|phone| !is_phone(phone)) {
            return Err(Wrong::Phone);
        }
        if message.as_ref().is_some_and(|text| text.chars().count() > MESSAGE_MAX) {
            return Err(Wrong::Message);
        }
        let (name, message) = (name.trim().to_owned(), message.filter(|text| !text.trim().is_empty()));
        let fact = Fact::new("demo.requested", id.as_str());
        let expires_at = at.saturating_add(KEPT).unwrap_or(Timestamp::MAX);
        Ok((DemoRequest { id, name, email, phone, message, at, expires_at, version: 0 }, fact))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form() -> Form {
        Form { name: " 김하나 ".to_owned(), email: "a@b.kr".to_owned(), phone: None, message: Some(" ".to_owned()) }
    }

    fn made(form: Form) -> Result<(DemoRequest, Fact), Wrong> {
        let id = DemoId::parse("demo_01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap();
        DemoRequest::new(id, form, Timestamp::from_second(1_800_000_000).unwrap())
    }

    #[test]
    fn a_request_is_kept_for_a_year_and_its_event_names_nobody() {
        let (request, fact) = made(form()).unwrap();
        assert_eq!((request.name.as_str(), request.message.as_ref()), ("김하나", None));
        assert_eq!(request.expires_at.as_second(), 1_800_000_000 + 365 * 86_400);
        assert!(fact.changes.is_empty() && !format!("{request:?}").contains("a@b.kr"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let long = || "가".repeat(2_001);
        assert_eq!(made(Form { name: "  ".to_owned(), ..form() }), Err(Wrong::Name));
        assert_eq!(made(Form { name: long(), ..form() }), Err(Wrong::Name));
        assert_eq!(made(Form { name: format!("a{}", " ".repeat(100)), ..form() }), Err(Wrong::Name));
        assert_eq!(made(Form { email: "a".to_owned(), ..form() }), Err(Wrong::Email));
        assert_eq!(made(Form { phone: Some("1".to_owned()), ..form() }), Err(Wrong::Phone));
        assert_eq!(made(Form { message: Some(long()), ..form() }), Err(Wrong::Message));
        assert_eq!(made(Form { message: Some(" ".repeat(2_001)), ..form() }), Err(Wrong::Message));
    }
}
