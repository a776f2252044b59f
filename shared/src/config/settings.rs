//! The variables every function has, read and checked.

use std::fmt;
use std::net::IpAddr;

use domain::calendar::ChargeWindow;
use domain::invoice::Supplier;
use domain::notice::QuietHours;

use super::{oidc, published_ips};
use crate::auth::oidc::Settings as Provider;

/// A variable that is missing or malformed. Both forms of printing show the same line, and never a value, because
/// `main` prints errors with `Debug`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ConfigError {
    variable: &'static str,
    problem: &'static str,
}

impl ConfigError {
    pub(super) fn new(variable: &'static str, problem: &'static str) -> ConfigError {
        ConfigError { variable, problem }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "configuration: {} {}", self.variable, self.problem)
    }
}

impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for ConfigError {}

/// Wrong passwords an address may send before it has to wait, unless the stage says otherwise.
const LOG_IN_TRIES: u32 = 50;

/// How the environment is read; a closure in tests.
pub(super) type Read<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A variable that must be there and say something.
pub(super) fn required(read: Read<'_>, name: &'static str) -> Result<String, ConfigError> {
    read(name).filter(|value| !value.is_empty()).ok_or(ConfigError::new(name, "is missing"))
}

/// A variable that must be there and may be empty.
pub(super) fn present(read: Read<'_>, name: &'static str) -> Result<String, ConfigError> {
    read(name).ok_or(ConfigError::new(name, "is missing"))
}

/// Addresses that may deliver gateway events. Empty allows all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IpAllowList(Vec<IpAddr>);

impl IpAllowList {
    #[must_use]
    pub fn allows(&self, address: &str) -> bool {
        self.0.is_empty() || address.parse().is_ok_and(|ip: IpAddr| self.0.contains(&ip.to_canonical()))
    }
}

/// A bank account of ours, as it is shown to payers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferAccount {
    pub bank: String,
    pub number: String,
    pub holder: String,
}

/// What the variables say. None of it is secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Prefix of every physical name.
    pub stage: String,
    /// Without a trailing slash.
    pub toss_api_base: String,
    pub stripe_api_base: String,
    /// Whether a run may name its own instant.
    pub time_travel: bool,
    /// The gateway sandbox whose clock follows time travel; local stacks only.
    pub sandbox_url: Option<String>,
    /// Local hours of scheduled charges; `None` when there is no such limit.
    pub charge_window: Option<ChargeWindow>,
    pub runners: u32,
    /// A run is held when its forecast is more than this many times what earlier runs lead to expect; 0 holds none.
    pub hold_factor: u32,
    /// Refunds of more minor units than this need a second person; none when one is enough for any.
    pub refund_approval_above: Option<i64>,
    /// Requests a second each gateway account may send.
    pub toss_rate: u32,
    pub stripe_rate: u32,
    pub webhook_allowed_ips: IpAllowList,
    /// Gateway events one process takes in a second, from one address and from everybody.
    pub webhook_rate_per_address: u32,
    pub webhook_rate: u32,
    /// Card registrations one address may make in a day.
    pub registrations_per_address: u64,
    /// Wrong passwords one address may send before it has to wait.
    pub log_in_tries_per_address: u32,
    /// The OpenID provider; only the authorizer is told of one.
    pub oidc: Option<Provider>,
    /// Where tenants pay by transfer; none when transfers are not taken.
    pub transfer_account: Option<TransferAccount>,
    pub failed_charges_queue_url: String,
    pub billing_shards_queue_url: String,
    pub failed_charges_dead_letters_url: String,
    pub billing_shards_dead_letters_url: String,
    pub documents_queue_url: String,
    pub documents_dead_letters_url: String,
    pub notifications_queue_url: String,
    pub notifications_dead_letters_url: String,
    pub statistics_queue_url: String,
    pub statistics_dead_letters_url: String,
    pub endings_queue_url: String,
    pub endings_dead_letters_url: String,
    /// Where keys of events go that do not read; only the forwarder has it.
    pub unreadable_events_url: Option<String>,
    /// Who sells; only what writes documents has it.
    pub supplier: Option<Supplier>,
    /// Whose address mails come from; none when none are sent. The rest of this block is what only the notifier has.
    pub mail_from: Option<String>,
    /// Whether there is a chat of operators.
    pub operator_chat: bool,
    /// Local hours in which customers are left alone; none when there are no such.
    pub quiet_hours: Option<QuietHours>,
    /// Base of `/api/v1` as people reach it.
    pub public_url: Option<String>,
    /// Where tenants look after their cards; none when they are asked to reply instead.
    pub portal_url: Option<String>,
    /// Whether tax documents are issued by the sandbox; nobody issues them otherwise.
    pub tax_sandbox: bool,
}

impl Settings {
    pub(super) fn read(read: Read<'_>) -> Result<Settings, ConfigError> {
        let stage = required(read, "STAGE")?;
        if !stage.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
            return Err(ConfigError::new("STAGE", "may have lower-case letters, digits and hyphens"));
        }
        let prod = stage == "prod";
        let time_travel = match required(read, "TIME_TRAVEL")?.as_str() {
            "allowed" if prod => return Err(ConfigError::new("TIME_TRAVEL", "is never allowed in prod")),
            "allowed" => true,
            "refused" => false,
            _ => return Err(ConfigError::new("TIME_TRAVEL", "must be allowed or refused")),
        };
        let sandbox_url = match present(read, "SANDBOX_URL")?.as_str() {
            "" => None,
            _ if prod => return Err(ConfigError::new("SANDBOX_URL", "must be empty in prod")),
            _ => Some(base_url(read, "SANDBOX_URL", prod)?),
        };
        Ok(Settings {
            toss_api_base: base_url(read, "TOSS_API_BASE", prod)?,
            stripe_api_base: base_url(read, "STRIPE_API_BASE", prod)?,
            time_travel,
            sandbox_url,
            charge_window: charge_window(&required(read, "CHARGE_WINDOW")?)?,
            runners: number(read, "RUNNERS", 16)?,
            hold_factor: hold_factor(&required(read, "HOLD_FACTOR")?)?,
            refund_approval_above: approval_limit(&required(read, "REFUND_APPROVAL_ABOVE")?)?,
            toss_rate: number(read, "TOSS_RATE", 10_000)?,
            stripe_rate: number(read, "STRIPE_RATE", 10_000)?,
            registrations_per_address: number(read, "REGISTRATIONS_PER_ADDRESS", 1_000_000)?.into(),
            log_in_tries_per_address: log_in_tries(read)?,
            oidc: oidc::settings(read, prod)?,
            webhook_allowed_ips: addresses(&present(read, "WEBHOOK_ALLOWED_IPS")?)?,
            webhook_rate_per_address: number(read, "WEBHOOK_RATE_PER_ADDRESS", 1_000_000)?,
            webhook_rate: number(read, "WEBHOOK_RATE", 1_000_000)?,
            transfer_account: transfer_account(&present(read, "TRANSFER_ACCOUNT")?)?,
            failed_charges_queue_url: required(read, "FAILED_CHARGES_QUEUE_URL")?,
            billing_shards_queue_url: required(read, "BILLING_SHARDS_QUEUE_URL")?,
            failed_charges_dead_letters_url: required(read, "FAILED_CHARGES_DEAD_LETTERS_URL")?,
            billing_shards_dead_letters_url: required(read, "BILLING_SHARDS_DEAD_LETTERS_URL")?,
            documents_queue_url: required(read, "DOCUMENTS_QUEUE_URL")?,
            documents_dead_letters_url: required(read, "DOCUMENTS_DEAD_LETTERS_URL")?,
            notifications_queue_url: required(read, "NOTIFICATIONS_QUEUE_URL")?,
            notifications_dead_letters_url: required(read, "NOTIFICATIONS_DEAD_LETTERS_URL")?,
            statistics_queue_url: required(read, "STATISTICS_QUEUE_URL")?,
            statistics_dead_letters_url: required(read, "STATISTICS_DEAD_LETTERS_URL")?,
            endings_queue_url: required(read, "ENDINGS_QUEUE_URL")?,
            endings_dead_letters_url: required(read, "ENDINGS_DEAD_LETTERS_URL")?,
            mail_from: mail_from(read)?,
            operator_chat: operator_chat(read)?,
            quiet_hours: quiet_hours(read)?,
            public_url: optional_url(read, "PUBLIC_URL", prod)?,
            portal_url: optional_url(read, "PORTAL_URL", prod)?,
            unreadable_events_url: read("UNREADABLE_EVENTS_URL").filter(|url| !url.is_empty()),
            supplier: read("SUPPLIER").map(|text| supplier(&text)).transpose()?,
            tax_sandbox: tax_sandbox(read, prod)?,
            stage,
        })
    }
}

/// A base URL without a trailing slash, with TLS in prod.
pub(super) fn base_url(read: Read<'_>, name: &'static str, prod: bool) -> Result<String, ConfigError> {
    let url = required(read, name)?;
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://").filter(|_| !prod));
    match host {
        Some(host) if !host.is_empty() && !host.contains(['@', '?', '#', ' ']) => {
            Ok(url.trim_end_matches('/').to_owned())
        }
        _ => Err(ConfigError::new(name, "must be a base URL (https in prod)")),
    }
}

fn optional_url(read: Read<'_>, name: &'static str, prod: bool) -> Result<Option<String>, ConfigError> {
    read(name).filter(|url| !url.is_empty()).map(|_| base_url(read, name, prod)).transpose()
}

fn mail_from(read: Read<'_>) -> Result<Option<String>, ConfigError> {
    match read("MAIL_FROM").filter(|address| !address.is_empty()) {
        Some(address) if !domain::contact::is_email(&address) => {
            Err(ConfigError::new("MAIL_FROM", "must be an e-mail address, or empty"))
        }
        address => Ok(address),
    }
}

fn operator_chat(read: Read<'_>) -> Result<bool, ConfigError> {
    match read("OPERATOR_CHAT").as_deref() {
        None | Some("none") => Ok(false),
        Some("slack") => Ok(true),
        Some(_) => Err(ConfigError::new("OPERATOR_CHAT", "must be slack or none")),
    }
}

fn quiet_hours(read: Read<'_>) -> Result<Option<QuietHours>, ConfigError> {
    match read("QUIET_HOURS").as_deref() {
        None | Some("off") => Ok(None),
        Some(hours) => {
            let wrong = ConfigError::new("QUIET_HOURS", "must be like 21:00-08:00, or off");
            QuietHours::parse(hours).map(Some).ok_or(wrong)
        }
    }
}

fn charge_window(text: &str) -> Result<Option<ChargeWindow>, ConfigError> {
    match text {
        "off" => Ok(None),
        hours => ChargeWindow::parse(hours)
            .map(Some)
            .ok_or(ConfigError::new("CHARGE_WINDOW", "must be like 09:00-21:00, or off")),
    }
}

fn number(read: Read<'_>, name: &'static str, max: u32) -> Result<u32, ConfigError> {
    let number = required(read, name)?.parse().ok().filter(|n| (1..=max).contains(n));
    number.ok_or(ConfigError::new(name, "must be a positive whole number in range"))
}

/// Only functions that check passwords are told; the others check none.
fn log_in_tries(read: Read<'_>) -> Result<u32, ConfigError> {
    let name = "LOG_IN_TRIES_PER_ADDRESS";
    if read(name).is_none() { Ok(LOG_IN_TRIES) } else { number(read, name, 1_000_000) }
}

fn transfer_account(text: &str) -> Result<Option<TransferAccount>, ConfigError> {
    if text.is_empty() {
        return Ok(None);
    }
    let parts: Vec<String> = text.split('|').map(|part| part.trim().to_owned()).collect();
    match <[String; 3]>::try_from(parts) {
        Ok([bank, number, holder]) if ![&bank, &number, &holder].iter().any(|part| part.is_empty()) => {
            Ok(Some(TransferAccount { bank, number, holder }))
        }
        Ok(_) | Err(_) => Err(ConfigError::new("TRANSFER_ACCOUNT", "must be empty or bank|number|holder")),
    }
}

/// `name|registration number|representative|address`, all of it printed on every invoice.
fn supplier(text: &str) -> Result<Supplier, ConfigError> {
    let wrong = ConfigError::new("SUPPLIER", "must be name|registration number|representative|address");
    let parts: Vec<String> = text.split('|').map(|part| part.trim().to_owned()).collect();
    let Ok([name, number, representative, address]) = <[String; 4]>::try_from(parts) else { return Err(wrong) };
    let registration_number = domain::business_number::parse(&number).ok_or(wrong)?;
    if [&name, &representative, &address].iter().any(|part| part.is_empty()) {
        return Err(wrong);
    }
    Ok(Supplier { name, registration_number, representative, address })
}

fn tax_sandbox(read: Read<'_>, prod: bool) -> Result<bool, ConfigError> {
    match read("TAX_ISSUER").as_deref() {
        None | Some("by-hand") => Ok(false),
        Some("sandbox") if !prod => Ok(true),
        Some(_) => Err(ConfigError::new("TAX_ISSUER", "must be by-hand, or sandbox outside prod")),
    }
}

fn hold_factor(text: &str) -> Result<u32, ConfigError> {
    let factor = text.parse().ok().filter(|n| (0..=1_000).contains(n));
    factor.ok_or(ConfigError::new("HOLD_FACTOR", "must be a whole number up to 1000; 0 holds no run"))
}

fn approval_limit(text: &str) -> Result<Option<i64>, ConfigError> {
    if text == "off" {
        return Ok(None);
    }
    let limit = text.parse().ok().filter(|n| *n >= 0);
    limit.map(Some).ok_or(ConfigError::new("REFUND_APPROVAL_ABOVE", "must be an amount in minor units, or off"))
}

fn addresses(text: &str) -> Result<IpAllowList, ConfigError> {
    let mut allowed = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let one = || part.parse().ok().map(|ip: IpAddr| vec![ip.to_canonical()]);
        let wrong = ConfigError::new("WEBHOOK_ALLOWED_IPS", "must be addresses, toss, stripe or published, by comma");
        allowed.extend(published_ips::named(part).or_else(one).ok_or(wrong)?);
    }
    Ok(IpAllowList(allowed))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: [(&str, &str); 28] = [
        ("STAGE", "local"),
        ("TOSS_API_BASE", "http://127.0.0.1:4570/"),
        ("STRIPE_API_BASE", "http://127.0.0.1:4570"),
        ("TIME_TRAVEL", "allowed"),
        ("SANDBOX_URL", "http://127.0.0.1:4570"),
        ("CHARGE_WINDOW", "off"),
        ("RUNNERS", "1"),
        ("HOLD_FACTOR", "0"),
        ("REFUND_APPROVAL_ABOVE", "1000000"),
        ("TRANSFER_ACCOUNT", ""),
        ("TOSS_RATE", "5"),
        ("STRIPE_RATE", "25"),
        ("WEBHOOK_ALLOWED_IPS", ""),
        ("WEBHOOK_RATE_PER_ADDRESS", "50"),
        ("WEBHOOK_RATE", "200"),
        ("REGISTRATIONS_PER_ADDRESS", "20"),
        ("FAILED_CHARGES_QUEUE_URL", "http://q/failed-charges"),
        ("BILLING_SHARDS_QUEUE_URL", "http://q/billing-shards"),
        ("FAILED_CHARGES_DEAD_LETTERS_URL", "http://q/failed-charges-dlq"),
        ("BILLING_SHARDS_DEAD_LETTERS_URL", "http://q/billing-shards-dlq"),
        ("DOCUMENTS_QUEUE_URL", "http://q/documents"),
        ("DOCUMENTS_DEAD_LETTERS_URL", "http://q/documents-dlq"),
        ("NOTIFICATIONS_QUEUE_URL", "http://q/notifications"),
        ("NOTIFICATIONS_DEAD_LETTERS_URL", "http://q/notifications-dlq"),
        ("STATISTICS_QUEUE_URL", "http://q/statistics"),
        ("STATISTICS_DEAD_LETTERS_URL", "http://q/statistics-dlq"),
        ("ENDINGS_QUEUE_URL", "http://q/endings"),
        ("ENDINGS_DEAD_LETTERS_URL", "http://q/endings-dlq"),
    ];

    fn read(changes: &[(&str, Option<&str>)]) -> Result<Settings, ConfigError> {
        let lookup = |name: &str| {
            let changed = changes.iter().find(|(n, _)| *n == name).map(|(_, v)| v.map(str::to_owned));
            changed.unwrap_or_else(|| LOCAL.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
        };
        Settings::read(&lookup)
    }

    #[test]
    fn the_local_stack_reads() {
        let settings = read(&[]).unwrap();
        assert_eq!((settings.toss_api_base.as_str(), settings.charge_window), ("http://127.0.0.1:4570", None));
        assert!(settings.time_travel && settings.sandbox_url.is_some());
        assert!(settings.webhook_allowed_ips.allows("10.0.0.1"));
        assert_eq!(settings.refund_approval_above, Some(1_000_000));
        assert_eq!(read(&[("REFUND_APPROVAL_ABOVE", Some("off"))]).unwrap().refund_approval_above, None);
    }

    #[test]
    fn every_missing_variable_is_named() {
        for (name, _) in LOCAL {
            assert_eq!(read(&[(name, None)]).unwrap_err().to_string(), format!("configuration: {name} is missing"));
        }
    }

    #[test]
    fn malformed_values_are_named_and_not_shown() {
        for (name, value) in [
            ("STAGE", "Local"),
            ("TOSS_API_BASE", "api.tosspayments.com"),
            ("TOSS_API_BASE", "https://user:secret@host"),
            ("STRIPE_API_BASE", "ftp://x"),
            ("TIME_TRAVEL", "yes"),
            ("CHARGE_WINDOW", "21:00-09:00"),
            ("RUNNERS", "0"),
            ("RUNNERS", "17"),
            ("HOLD_FACTOR", "1.5"),
            ("HOLD_FACTOR", "-1"),
            ("REFUND_APPROVAL_ABOVE", "-1"),
            ("REFUND_APPROVAL_ABOVE", "1.5"),
            ("TRANSFER_ACCOUNT", "Bank|1"),
            ("TRANSFER_ACCOUNT", "Bank||Holder"),
            ("TOSS_RATE", "2.5"),
            ("WEBHOOK_ALLOWED_IPS", "10.0.0.0/8"),
            ("WEBHOOK_ALLOWED_IPS", "toss,everybody"),
            ("WEBHOOK_RATE_PER_ADDRESS", "0"),
            ("WEBHOOK_RATE", "1e3"),
            ("LOG_IN_TRIES_PER_ADDRESS", "0"),
            ("SUPPLIER", "Name|120-81-47521|Somebody"),
            ("SUPPLIER", "Name|120-81-47522|Somebody|Seoul"),
            ("SUPPLIER", "Name|120-81-47521||Seoul"),
            ("TAX_ISSUER", "somebody"),
            ("MAIL_FROM", "MindGarden <a@b.kr>"),
            ("OPERATOR_CHAT", "carrier pigeon"),
            ("QUIET_HOURS", "21-8"),
            ("PUBLIC_URL", "api.example.kr"),
            ("PORTAL_URL", "javascript:x"),
        ] {
            let shown = format!("{:?}", read(&[(name, Some(value))]).unwrap_err());
            assert!(shown.starts_with(&format!("configuration: {name} ")) && !shown.contains(value), "{shown}");
        }
    }

    #[test]
    fn a_supplier_has_four_parts_and_a_number_that_checks() {
        let supplier = read(&[("SUPPLIER", Some("마음정원 | 120-81-47521 | 대표 | 서울"))]).unwrap().supplier.unwrap();
        assert_eq!((supplier.name.as_str(), supplier.registration_number.as_str()), ("마음정원", "1208147521"));
        let plain = read(&[]).unwrap();
        assert_eq!((plain.supplier, plain.tax_sandbox), (None, false));
        assert!(read(&[("TAX_ISSUER", Some("sandbox"))]).unwrap().tax_sandbox);
    }

    #[test]
    fn an_account_has_three_parts() {
        let account = read(&[("TRANSFER_ACCOUNT", Some("하나은행 | 000-00 | 마음정원"))]).unwrap().transfer_account;
        let (bank, number, holder) = ("하나은행".to_owned(), "000-00".to_owned(), "마음정원".to_owned());
        assert_eq!(account, Some(TransferAccount { bank, number, holder }));
        assert_eq!(read(&[]).unwrap().transfer_account, None);
    }

    #[test]
    fn production_has_one_clock_real_gateways_and_tls() {
        let prod: &[(&str, Option<&str>)] = &[
            ("STAGE", Some("prod")),
            ("TIME_TRAVEL", Some("refused")),
            ("SANDBOX_URL", Some("")),
            ("TOSS_API_BASE", Some("https://api.tosspayments.com")),
            ("STRIPE_API_BASE", Some("https://api.stripe.com")),
        ];
        assert!(read(prod).is_ok());
        for (name, value) in [
            ("TIME_TRAVEL", "allowed"),
            ("SANDBOX_URL", "https://sandbox"),
            ("TOSS_API_BASE", "http://api.tosspayments.com"),
            ("TAX_ISSUER", "sandbox"),
        ] {
            let changes: Vec<_> = [(name, Some(value))].into_iter().chain(prod.iter().copied()).collect();
            assert!(read(&changes).is_err(), "{name}");
        }
    }

    #[test]
    fn an_allow_list_allows_nobody_else() {
        let settings = read(&[("WEBHOOK_ALLOWED_IPS", Some("13.124.18.147, 2001:db8::1"))]).unwrap();
        let list = settings.webhook_allowed_ips;
        assert!(list.allows("13.124.18.147") && list.allows("2001:db8::1") && list.allows("::ffff:13.124.18.147"));
        assert!(!list.allows("13.124.18.148") && !list.allows("") && !list.allows("x"));
    }

    #[test]
    fn an_allow_list_may_name_what_the_gateways_publish() {
        let list = |text| read(&[("WEBHOOK_ALLOWED_IPS", Some(text))]).unwrap().webhook_allowed_ips;
        let (toss, stripe, other) = ("115.92.221.122", "3.18.12.63", "198.51.100.7");
        let of = |text| [toss, stripe, other].map(|ip| list(text).allows(ip));
        assert_eq!(of("published"), [true, true, false]);
        assert_eq!(of("toss"), [true, false, false]);
        assert_eq!(of(" stripe, 198.51.100.7 "), [false, true, true]);
        assert_eq!(of(""), [true, true, true]);
    }
}
