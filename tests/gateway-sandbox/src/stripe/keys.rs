//! Who may call: Bearer or Basic, test-mode secret or restricted keys only. A key is never echoed whole.

use super::failure::Failure;
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, header::AUTHORIZATION};

/// Refuses a request without an acceptable key. `accepted` empty: any test-mode secret or restricted key.
pub fn authorise(headers: &HeaderMap, accepted: &[String]) -> Result<(), Failure> {
    let Some(key) = presented(headers) else {
        return Err(Failure::unauthorised(
            "You did not provide an API key. You need to provide your API key in the Authorization header, using Bearer auth \
             (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').",
        ));
    };
    if key.starts_with("sk_live_") || key.starts_with("rk_live_") {
        return Err(Failure::unauthorised(
            "The sandbox refuses live keys. Use a test mode key, and roll the one you sent.",
        ));
    }
    if key.starts_with("pk_") {
        let message = "This API call cannot be made with a publishable API key. Please use a secret API key.";
        return Err(Failure::unauthorised(message).with("code", "secret_key_required"));
    }
    if key.starts_with("sk_test_expired") {
        return Err(Failure::expired_key(&masked(&key)));
    }
    let secret =
        ["sk_test_", "rk_test_"].iter().any(|prefix| key.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty()));
    if secret && (accepted.is_empty() || accepted.contains(&key)) {
        return Ok(());
    }
    Err(Failure::unauthorised(&format!("Invalid API Key provided: {}", masked(&key))))
}

fn presented(headers: &HeaderMap) -> Option<String> {
    let (scheme, value) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let key = if scheme.eq_ignore_ascii_case("bearer") {
        value.trim().to_owned()
    } else if scheme.eq_ignore_ascii_case("basic") {
        let pair = String::from_utf8(STANDARD.decode(value.trim()).ok()?).ok()?;
        pair.split_once(':').map_or(pair.clone(), |(user, _)| user.to_owned())
    } else {
        return None;
    };
    (!key.is_empty()).then_some(key)
}

/// `sk_test_****************1234`
fn masked(key: &str) -> String {
    let shown = if key.starts_with("sk_test_") || key.starts_with("rk_test_") { 8 } else { 0 };
    let letters: Vec<char> = key.chars().collect();
    let tail = if letters.len() > shown + 4 { letters.len() - 4 } else { letters.len() };
    letters.iter().enumerate().map(|(at, letter)| if at < shown || at >= tail { *letter } else { '*' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(value: &str) -> Result<(), Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, value.parse().unwrap());
        authorise(&headers, &[])
    }

    #[test]
    fn bearer_and_basic_test_keys_are_let_in() {
        assert!(with("Bearer sk_test_sandbox").is_ok());
        assert!(with("Bearer rk_test_sandbox").is_ok());
        assert!(with(&format!("Basic {}", STANDARD.encode("sk_test_sandbox:"))).is_ok());
        assert!(authorise(&HeaderMap::new(), &[]).is_err());
    }

    #[test]
    fn other_keys_are_refused_and_not_repeated() {
        let live = with(&format!("Bearer {}{}", "sk_live_", "0123456789")).unwrap_err();
        assert!(!live.field("message").unwrap().contains("0123456789"));
        assert!(with("Bearer pk_test_sandbox").is_err());
        assert_eq!(with("Bearer sk_test_expired1").unwrap_err().field("code"), Some("api_key_expired"));
        let wrong = with("Bearer nonsense1234").unwrap_err();
        assert_eq!((wrong.status, wrong.field("message")), (401, Some("Invalid API Key provided: ********1234")));
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, "Bearer sk_test_other0001".parse().unwrap());
        let listed = authorise(&headers, &["sk_test_mine".to_owned()]).unwrap_err();
        assert_eq!(listed.field("message"), Some("Invalid API Key provided: sk_test_*****0001"));
    }
}
