//! Amazon SES, version 2 of its API, called directly: the SDK of a service with a hundred operations would be most of the
//! function's size, for one POST. Signed by the SDK's own signer.

use std::time::SystemTime;

use async_trait::async_trait;
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Mail, Mailer, NotSent, wire};

const PATH: &str = "/v2/email/outbound-emails";

/// What a signed call needs. No `Debug`: it holds credentials.
pub struct SesAccess {
    pub region: String,
    pub credentials: Credentials,
    /// Emulators only, without a trailing slash.
    pub endpoint: Option<String>,
    /// Signatures are valid for minutes around it.
    pub wall: fn() -> Timestamp,
}

pub struct Ses {
    http: reqwest::Client,
    access: SesAccess,
    from: String,
}

impl Ses {
    /// `from` is an address of a verified identity.
    #[must_use]
    pub fn new(http: reqwest::Client, access: SesAccess, from: String) -> Ses {
        Ses { http, access, from }
    }

    fn url(&self) -> String {
        let base = self.access.endpoint.clone();
        format!("{}{PATH}", base.unwrap_or_else(|| format!("https://email.{}.amazonaws.com", self.access.region)))
    }

    /// The headers that sign a POST of `body`.
    fn signed(&self, url: &str, body: &str) -> Option<Vec<(String, String)>> {
        let identity = self.access.credentials.clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.access.region)
            .name("ses")
            .time(SystemTime::from((self.access.wall)()))
            .settings(SigningSettings::default());
        let params = params.build().ok()?.into();
        let headers = std::iter::once(("content-type", wire::JSON));
        let request = SignableRequest::new("POST", url, headers, SignableBody::Bytes(body.as_bytes())).ok()?;
        let (instructions, _) = sign(request, &params).ok()?.into_parts();
        Some(instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}

fn body(from: &str, to: &str, mail: &Mail) -> Value {
    let part = |data: &str| json!({ "Data": data, "Charset": "UTF-8" });
    json!({
        "FromEmailAddress": from,
        "Destination": { "ToAddresses": [to] },
        "Content": { "Simple": {
            "Subject": part(&mail.subject),
            "Body": { "Text": part(&mail.text), "Html": part(&mail.html) },
        } },
        "EmailTags": [{ "Name": "letter", "Value": mail.tag }],
    })
}

#[async_trait]
impl Mailer for Ses {
    async fn send(&self, to: &str, mail: &Mail) -> Result<(), NotSent> {
        let (url, body) = (self.url(), body(&self.from, to, mail).to_string());
        let headers = self.signed(&url, &body).ok_or(NotSent::NoSecret)?;
        wire::post(&self.http, "ses", &url, &headers, body).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noon() -> Timestamp {
        "2027-01-31T03:00:00Z".parse().unwrap()
    }

    fn ses(token: Option<&str>, endpoint: Option<&str>) -> Ses {
        let credentials = Credentials::new("AKIDEXAMPLE", "hush-hush", token.map(str::to_owned), None, "test");
        let endpoint = endpoint.map(str::to_owned);
        let access = SesAccess { region: "ap-northeast-2".into(), credentials, endpoint, wall: noon };
        Ses::new(reqwest::Client::new(), access, "MindGarden <billing@example.kr>".into())
    }

    #[test]
    fn a_call_is_signed_for_this_service_region_and_body() {
        let ses = ses(Some("session"), None);
        assert_eq!(ses.url(), "https://email.ap-northeast-2.amazonaws.com/v2/email/outbound-emails");
        let headers = ses.signed(&ses.url(), "{}").unwrap();
        let header = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone()).unwrap();
        let authorization = header("authorization");
        assert!(
            authorization
                .starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20270131/ap-northeast-2/ses/aws4_request")
        );
        assert!(authorization.contains("content-type;host;x-amz-date;x-amz-security-token"), "{authorization}");
        assert_eq!(
            (header("x-amz-date").as_str(), header("x-amz-security-token").as_str()),
            ("20270131T030000Z", "session")
        );
        assert_ne!(ses.signed(&ses.url(), "{ }").unwrap(), headers);
        assert!(!format!("{headers:?}").contains("hush-hush"));
    }

    #[test]
    fn the_emulator_is_called_where_it_is() {
        assert_eq!(ses(None, Some("http://127.0.0.1:4566")).url(), "http://127.0.0.1:4566/v2/email/outbound-emails");
    }

    #[test]
    fn both_forms_go_to_one_address() {
        let mail = Mail { subject: "제목".into(), text: "글".into(), html: "<p>글</p>".into(), tag: "receipt" };
        let body = body("billing@example.kr", "owner@example.kr", &mail);
        assert_eq!(body["Destination"], json!({ "ToAddresses": ["owner@example.kr"] }));
        assert_eq!(body["Content"]["Simple"]["Body"]["Html"]["Data"], "<p>글</p>");
        assert_eq!(body["Content"]["Simple"]["Subject"]["Charset"], "UTF-8");
    }
}
