//! A public document that browsers and proxies may keep: `ETag`, `Cache-Control`, and 304 for those who have it.

use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue};
use sha2::{Digest, Sha256};

use super::{Reply, Request};

/// How long it may be kept without asking again. A deploy may change it, so not for long.
const POLICY: &str = "public, max-age=300";

/// A JSON document that is the same for everybody until the next deploy.
pub struct Document {
    body: &'static str,
    etag: String,
}

impl Document {
    #[must_use]
    pub fn new(body: &'static str) -> Document {
        let digest = hex::encode(Sha256::digest(body));
        Document { body, etag: format!("\"{}\"", &digest[..32]) }
    }

    /// The document, or 304 without a body for a caller that has it.
    #[must_use]
    pub fn reply(&self, request: &Request) -> Reply {
        let has_it = request.header("if-none-match").is_some_and(|tags| self.is_among(tags));
        let mut reply = Reply::empty(if has_it { 304 } else { 200 });
        if !has_it {
            reply.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            reply.body = self.body.as_bytes().to_vec();
        }
        reply.headers.insert(CACHE_CONTROL, HeaderValue::from_static(POLICY));
        if let Ok(etag) = HeaderValue::from_str(&self.etag) {
            reply.headers.insert(ETAG, etag);
        }
        reply
    }

    /// Compared weakly, as RFC 9110 wants it for `If-None-Match`.
    fn is_among(&self, tags: &str) -> bool {
        let mut tags = tags.split(',').map(str::trim);
        tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == self.etag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(document: &Document, tags: Option<&str>) -> Reply {
        let mut request = Request::default();
        if let Some(tags) = tags {
            request.headers.insert("if-none-match", tags.parse().unwrap());
        }
        document.reply(&request)
    }

    #[test]
    fn whoever_has_it_is_told_so_and_gets_nothing() {
        let document = Document::new("{\"a\":1}");
        let first = ask(&document, None);
        assert_eq!((first.status.as_u16(), first.body.as_slice()), (200, &b"{\"a\":1}"[..]));
        assert_eq!(first.headers[CACHE_CONTROL], POLICY);
        let etag = first.headers[ETAG].to_str().unwrap();
        for has_it in [etag.to_owned(), format!("W/{etag}"), format!("\"x\", {etag}"), "*".to_owned()] {
            let again = ask(&document, Some(&has_it));
            assert_eq!((again.status.as_u16(), again.body.len()), (304, 0), "{has_it}");
            assert_eq!(again.headers[ETAG], etag);
            assert!(!again.headers.contains_key(CONTENT_TYPE));
        }
        assert_eq!(ask(&document, Some("\"x\"")).status.as_u16(), 200);
        assert_ne!(ask(&Document::new("{}"), None).headers[ETAG], etag);
    }
}
