//! The pages of other origins that may call us from a browser.

use super::settings::{ConfigError, Read, present};

const NAME: &str = "ALLOWED_ORIGINS";

/// Origins, exactly as a browser writes them in `Origin`. Empty allows none: pages of our own origin need no leave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedOrigins(Vec<String>);

impl AllowedOrigins {
    /// Reads `ALLOWED_ORIGINS`, which is there and may be empty.
    ///
    /// # Errors
    /// When it is missing, or one of them could never be what a browser sends: a path, a wildcard, upper case, a
    /// default port, `null`; in prod, plain http.
    pub fn from_environment() -> Result<AllowedOrigins, ConfigError> {
        #[expect(clippy::disallowed_methods, reason = "config is the one place that reads the environment")]
        let read = |name: &str| std::env::var(name).ok();
        AllowedOrigins::read(&read)
    }

    fn read(read: Read<'_>) -> Result<AllowedOrigins, ConfigError> {
        let prod = read("STAGE").as_deref() == Some("prod");
        let text = present(read, NAME)?;
        let named: Vec<String> = text.split(',').map(str::trim).filter(|o| !o.is_empty()).map(str::to_owned).collect();
        if named.iter().all(|origin| is_origin(origin, prod)) {
            Ok(AllowedOrigins(named))
        } else {
            Err(ConfigError::new(NAME, "must be origins like https://portal.example.kr, by comma (https in prod)"))
        }
    }

    /// These and no others; for tests of what stands on them.
    #[must_use]
    pub fn of(origins: &[&str]) -> AllowedOrigins {
        AllowedOrigins(origins.iter().map(|&origin| origin.to_owned()).collect())
    }

    #[must_use]
    pub fn allows(&self, origin: &str) -> bool {
        self.0.iter().any(|allowed| allowed == origin)
    }
}

fn is_origin(text: &str, prod: bool) -> bool {
    let (rest, default_port) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(rest), _) => (rest, "443"),
        (None, Some(rest)) if !prod => (rest, "80"),
        _ => return false,
    };
    let (host, port) = rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port)));
    let spelled = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
    let real = |port: &str| port != default_port && !port.starts_with('0') && port.parse::<u16>().is_ok();
    !host.is_empty() && host.bytes().all(spelled) && port.is_none_or(real)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(stage: &str, text: &str) -> Result<AllowedOrigins, ConfigError> {
        let lookup = |name: &str| (name == "STAGE").then(|| stage.to_owned()).or_else(|| Some(text.to_owned()));
        AllowedOrigins::read(&lookup)
    }

    #[test]
    fn an_origin_is_allowed_as_it_is_written_and_no_other() {
        let origins = read("dev", "https://portal.example.kr, http://localhost:5173").unwrap();
        assert!(origins.allows("https://portal.example.kr") && origins.allows("http://localhost:5173"));
        for other in [
            "",
            "null",
            "*",
            "http://portal.example.kr",
            "https://portal.example.kr:8443",
            "https://portal.example.kr.evil.test",
            "https://evil-portal.example.kr",
            "https://PORTAL.example.kr",
            "https://portal.example.kr/",
            "https://portal.example.kr, http://localhost:5173",
        ] {
            assert!(!origins.allows(other), "{other}");
        }
        assert!(!read("dev", "").unwrap().allows(""), "empty allows none");
    }

    #[test]
    fn what_no_browser_sends_stops_the_deployment() {
        for wrong in [
            "*",
            "null",
            "portal.example.kr",
            "https://*.example.kr",
            "https://portal.example.kr/",
            "https://portal.example.kr/app",
            "https://Portal.example.kr",
            "https://portal.example.kr:443",
            "https://portal.example.kr:0443",
            "https://portal.example.kr:99999",
            "https://user@portal.example.kr",
            "https://",
            "ftp://portal.example.kr",
        ] {
            let shown = format!("{:?}", read("dev", wrong).unwrap_err());
            assert!(shown.starts_with("configuration: ALLOWED_ORIGINS "), "{wrong}: {shown}");
        }
        assert!(read("prod", "http://portal.example.kr").is_err() && read("prod", "https://portal.example.kr").is_ok());
        assert!(AllowedOrigins::read(&|_| None).is_err(), "a variable that is not there is a mistake");
    }
}
