//! What a search of the audit log asks for, and its answer.
//!
//! Invariant: a cursor names the search it belongs to and an event's id, and is refused for any other search.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::ids::EventId;
use sha2::{Digest, Sha256};

use super::{ApiError, FieldError, Reply, Request};
use crate::api::ItemsBody;
use crate::api::audit::EventBody;
use crate::store::StoreError;
use crate::usecase::search_audit::{About, Found, Search};

/// Longest subject: an id with what it is part of.
const SUBJECT_MAX: usize = 200;
const TYPE_MAX: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub search: Search,
    pub limit: u32,
    pub after: Option<EventId>,
}

/// Reads the query.
///
/// # Errors
/// 422 naming the parameters.
pub fn asked(request: &Request) -> Result<Asked, ApiError> {
    let subject = |text: &str| {
        ((1..=SUBJECT_MAX).contains(&text.len()) && !text.chars().any(char::is_control)).then(|| text.to_owned())
    };
    let kind = |text: &str| {
        let fits = text.bytes().all(|b| b.is_ascii_lowercase() || b"._".contains(&b));
        ((1..=TYPE_MAX).contains(&text.len()) && fits).then(|| text.to_owned())
    };
    let (subject, day) = (request.query_parsed("subject", subject)?, request.query_date("day")?);
    let kind = request.query_parsed("type", kind)?;
    let about = match (subject, day) {
        (Some(subject), None) => About::Subject(subject),
        (None, Some(day)) => About::Day(day),
        (subject, _) => {
            let (code, message) = match subject {
                Some(_) => ("invalid_value", "a search goes by subject or by day, not by both"),
                None => ("required", "a search goes by subject or by day"),
            };
            return Err(ApiError::invalid_fields(
                ["subject", "day"].map(|field| FieldError::new(field, code, message)).to_vec(),
            ));
        }
    };
    let (search, page) = (Search { about, kind }, request.page()?);
    let after = page.cursor.map(|cursor| read(&search, &cursor).ok_or(StoreError::BadCursor)).transpose()?;
    Ok(Asked { search, limit: page.limit, after })
}

/// A page of events.
///
/// # Errors
/// Never for what a store gave.
pub fn reply(asked: &Asked, found: &Found) -> Result<Reply, ApiError> {
    let next_cursor = found.next.as_ref().map(|id| cursor(&asked.search, id));
    Reply::json(200, &ItemsBody { items: found.events.iter().map(EventBody::from).collect(), next_cursor })
}

fn cursor(search: &Search, last: &EventId) -> String {
    URL_SAFE_NO_PAD.encode(format!("{}.{last}", fingerprint(search)))
}

fn read(search: &Search, cursor: &str) -> Option<EventId> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    let (of, last) = text.split_once('.')?;
    if of == fingerprint(search) { EventId::parse(last).ok() } else { None }
}

fn fingerprint(search: &Search) -> String {
    hex::encode(&Sha256::digest(format!("{search:?}").as_bytes())[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(pairs: &[(&str, &str)]) -> Request {
        let query = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Request { query, ..Request::default() }
    }

    #[test]
    fn a_search_goes_by_subject_or_by_day() {
        let by = |pairs: &[(&str, &str)]| asked(&request(pairs)).map(|asked| asked.search);
        let found = by(&[("subject", "sub_1"), ("type", "payment.captured")]).unwrap();
        assert_eq!(found, Search { about: About::Subject("sub_1".into()), kind: Some("payment.captured".into()) });
        let day = About::Day("2026-12-01".parse().unwrap());
        assert_eq!(by(&[("day", "2026-12-01")]).unwrap(), Search { about: day, kind: None });
        for bad in [&[][..], &[("subject", "s"), ("day", "2026-12-01")], &[("type", "x")]] {
            let error = by(bad).unwrap_err();
            let named: Vec<_> = error.fields().iter().map(|field| field.field.as_str()).collect();
            assert_eq!((error.status(), named.as_slice()), (422, &["subject", "day"][..]), "{bad:?}");
        }
        let long = "x".repeat(201);
        for (name, value) in [("day", "2026-13-01"), ("day", "x"), ("type", "A b"), ("subject", &long), ("limit", "0")]
        {
            let error = by(&[("subject", "s"), (name, value)][usize::from(name == "subject")..]).unwrap_err();
            assert_eq!((error.status(), error.fields()[0].field.as_str()), (422, name), "{value}");
        }
    }

    #[test]
    fn a_cursor_serves_its_own_search_only() {
        let search = |subject: &str, kind: Option<&str>| Search {
            about: About::Subject(subject.into()),
            kind: kind.map(str::to_owned),
        };
        let id = EventId::parse("evt_01KBAVXJ7MZQ8R5T2W4Y6A9C1E").unwrap();
        let text = cursor(&search("a", None), &id);
        assert_eq!(read(&search("a", None), &text), Some(id.clone()));
        assert_eq!(read(&search("b", None), &text), None);
        assert_eq!(read(&search("a", Some("x.y")), &text), None);
        for bad in
            ["", "!", "eA", &text[1..], &URL_SAFE_NO_PAD.encode(format!("{}.x", fingerprint(&search("a", None))))]
        {
            assert_eq!(read(&search("a", None), bad), None, "{bad}");
        }
    }
}
