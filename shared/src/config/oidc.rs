//! The OpenID provider, where a stage has one: whom to believe, and how its documents are fetched.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use reqwest::Client;

use super::Env;
use super::settings::{ConfigError, Read, base_url, required};
use crate::auth::Role;
use crate::auth::oidc::{Documents, Keys, Oidc, ProviderUnavailable, Settings};

/// Whole time of one document; a request waits for it.
const PATIENCE: Duration = Duration::from_secs(3);
/// Largest document read.
const BYTES_MAX: usize = 256 * 1024;

/// What the provider is and what its words mean; none without `OIDC_ISSUER`.
pub(super) fn settings(read: Read<'_>, prod: bool) -> Result<Option<Settings>, ConfigError> {
    let Some(issuer) = read("OIDC_ISSUER").filter(|issuer| !issuer.is_empty()) else { return Ok(None) };
    // Compared to the letter with what tokens say, so a slash at the end stays.
    let _checked = base_url(read, "OIDC_ISSUER", prod)?;
    let settings = Settings {
        issuer,
        staff_audience: required(read, "OIDC_STAFF_AUDIENCE")?,
        tenant_audience: required(read, "OIDC_TENANT_AUDIENCE")?,
        role_claim: required(read, "OIDC_ROLE_CLAIM")?,
        tenant_claim: required(read, "OIDC_TENANT_CLAIM")?,
        roles: roles(&required(read, "OIDC_ROLES")?)?,
    };
    if settings.staff_audience == settings.tenant_audience {
        return Err(ConfigError::new("OIDC_TENANT_AUDIENCE", "must not be the staff's"));
    }
    if settings.role_claim == settings.tenant_claim {
        return Err(ConfigError::new("OIDC_TENANT_CLAIM", "must not be the staff's"));
    }
    Ok(Some(settings))
}

/// `word=OPS_ADMIN,word=OPS_VIEWER`: nothing but the three roles can be given.
fn roles(text: &str) -> Result<Vec<(String, Role)>, ConfigError> {
    let wrong = ConfigError::new(
        "OIDC_ROLES",
        "must be like word=ROLE by comma; roles are OPS_ADMIN, OPS_FINANCE and OPS_VIEWER",
    );
    let one = |part: &str| {
        let (word, role) = part.trim().split_once('=')?;
        let role = [Role::OpsAdmin, Role::OpsFinance, Role::OpsViewer].into_iter().find(|r| r.as_str() == role)?;
        (!word.is_empty()).then(|| (word.to_owned(), role))
    };
    text.split(',').map(one).collect::<Option<Vec<_>>>().ok_or(wrong)
}

/// Documents by HTTP: no redirects, bounded, and nothing of an error but its kind.
struct Fetched(Client);

#[async_trait]
impl Documents for Fetched {
    async fn get(&self, url: &str) -> Result<Vec<u8>, ProviderUnavailable> {
        let sent = self.0.get(url).timeout(PATIENCE).send().await;
        let mut answer = sent.map_err(|_| ProviderUnavailable("no answer"))?;
        if answer.status() != 200 {
            return Err(ProviderUnavailable("it refused"));
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|_| ProviderUnavailable("cut off"))? {
            body.extend_from_slice(&chunk);
            if body.len() > BYTES_MAX {
                return Err(ProviderUnavailable("too long"));
            }
        }
        Ok(body)
    }
}

impl Env {
    /// What verifies the provider's tokens; none where there is no provider.
    ///
    /// # Errors
    /// When the TLS backend cannot start.
    pub(super) fn oidc(&self) -> Result<Option<Oidc>, ConfigError> {
        let Some(settings) = self.settings.oidc.clone() else { return Ok(None) };
        let start = Instant::now();
        let keys = Keys::new(Arc::new(Fetched(self.http()?)), Arc::new(move || start.elapsed()));
        Ok(Some(Oidc::new(settings, keys)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [(&str, &str); 6] = [
        ("OIDC_ISSUER", "https://login.example.kr/"),
        ("OIDC_STAFF_AUDIENCE", "operators-portal"),
        ("OIDC_TENANT_AUDIENCE", "tenants"),
        ("OIDC_ROLE_CLAIM", "groups"),
        ("OIDC_TENANT_CLAIM", "tenantId"),
        ("OIDC_ROLES", "billing=OPS_ADMIN, books=OPS_FINANCE"),
    ];

    fn read(changed: &str, value: Option<&str>, stage: &str) -> Result<Option<Settings>, ConfigError> {
        let lookup = |name: &str| {
            let known = GOOD.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
            if name == changed { value.map(str::to_owned) } else { known }
        };
        settings(&lookup, stage == "prod")
    }

    #[test]
    fn a_provider_reads_and_its_issuer_is_kept_to_the_letter() {
        let settings = read("", None, "prod").unwrap().unwrap();
        assert_eq!(settings.issuer, "https://login.example.kr/");
        let roles = [("billing".to_owned(), Role::OpsAdmin), ("books".to_owned(), Role::OpsFinance)];
        assert_eq!(settings.roles, roles);
        assert_eq!(read("OIDC_ISSUER", None, "prod").unwrap(), None);
        assert_eq!(read("OIDC_ISSUER", Some(""), "prod").unwrap(), None, "no issuer, no provider");
    }

    #[test]
    fn half_a_provider_stops_a_deployment() {
        for (name, _) in GOOD.iter().skip(1) {
            let error = read(name, Some(""), "prod").unwrap_err().to_string();
            assert_eq!(error, format!("configuration: {name} is missing"));
        }
        for (name, value) in [
            ("OIDC_ISSUER", "login.example.kr"),
            ("OIDC_ISSUER", "http://login.example.kr"),
            ("OIDC_TENANT_AUDIENCE", "operators-portal"),
            ("OIDC_TENANT_CLAIM", "groups"),
            ("OIDC_ROLES", "billing"),
            ("OIDC_ROLES", "=OPS_ADMIN"),
            ("OIDC_ROLES", "billing=TENANT"),
            ("OIDC_ROLES", "billing=OPS_PENDING"),
            ("OIDC_ROLES", "billing=ops_admin"),
        ] {
            let shown = format!("{:?}", read(name, Some(value), "prod").unwrap_err());
            assert!(shown.starts_with(&format!("configuration: {name} ")) && !shown.contains(value), "{shown}");
        }
        assert!(read("OIDC_ISSUER", Some("http://127.0.0.1:4571"), "local").unwrap().is_some());
    }
}
