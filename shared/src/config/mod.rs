//! The only reader of the environment, and the only maker of clients.
//!
//! Invariants: everything is read and checked once, at start, so that a wrong variable stops a deployment and not a
//! charge; an error names the variable and never shows its value; clients are built once, and only those a function
//! asks for. The three stages a secret, a table and a queue belong to are one: `STAGE`.

mod aws;
mod aws_http;
mod clock;
mod notices;
mod oidc;
mod origins;
pub mod published_ips;
mod settings;

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use domain::invoice::Supplier;
use jiff::Timestamp;

pub use clock::BillingClock;
pub use origins::AllowedOrigins;
pub use settings::{ConfigError, IpAllowList, Settings, TransferAccount};

use crate::auth::authorizer::Authorizer;
use crate::auth::{Operators, Tokens};
use crate::crypto::AesVault;
use crate::gateway::sandbox_clock::{self, ClockNotSet};
use crate::gateway::statements::Accounts;
use crate::gateway::stripe::Stripe;
use crate::gateway::toss::Toss;
use crate::gateway::{ApiKeys, Gateways, transport};
use crate::jobs::{OutboxQueues, Source, SqsDeadLetters, SqsHints, SqsOutbox, SqsShards};
use crate::ports::{Clock, DeadLetters, DeadQueue, Hints, Outbox, Random, Shards, TaxIssuer, Vault};
use crate::secrets::cache::CachedSecrets;
use crate::secrets::{GatewayKeys, SecretName, Secrets, SecretsManager};
use crate::store::{CountedStore, DynamoStore, Store};
use crate::tax_sandbox::TaxSandbox;
use crate::usecase::Charging;
use crate::usecase::allowance::Unpaced;
use crate::web::webhook::Ticks;

/// The wall clock, in milliseconds; read by `functions` only and passed in.
pub type Wall = fn() -> Timestamp;

/// The gateway sandbox of a local stack.
pub struct Sandbox {
    http: reqwest::Client,
    url: String,
}

impl Sandbox {
    /// Moves the sandbox's clock to ours; it never goes back.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn set_clock(&self, now: Timestamp) -> Result<(), ClockNotSet> {
        sandbox_clock::set_clock(&self.http, &self.url, now).await
    }
}

/// Everything a function can be assembled from. No `Debug`.
pub struct Env {
    pub settings: Settings,
    pub wall: Wall,
    pub random: Arc<dyn Random>,
    aws: aws::Aws,
    store: OnceLock<Arc<dyn Store>>,
    secrets: OnceLock<Arc<dyn Secrets>>,
    sqs: OnceLock<aws_sdk_sqs::Client>,
    http: OnceLock<reqwest::Client>,
}

impl Env {
    /// Reads the environment and starts logging.
    ///
    /// # Errors
    /// When a variable is missing or malformed.
    pub fn init(wall: Wall, random: Arc<dyn Random>) -> Result<Env, ConfigError> {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
        let read = |name: &str| std::env::var(name).ok();
        let filter = settings::required(&read, "RUST_LOG")?;
        let stage = settings::required(&read, "STAGE")?;
        crate::telemetry::init(&filter, &stage, wall)
            .map_err(|_| ConfigError::new("RUST_LOG", "is not a log filter"))?;
        Ok(Env {
            settings: Settings::read(&read)?,
            wall,
            random,
            aws: aws::Aws::read(&read)?,
            store: OnceLock::new(),
            secrets: OnceLock::new(),
            sqs: OnceLock::new(),
            http: OnceLock::new(),
        })
    }

    /// Time since now, by a clock that never goes back.
    #[must_use]
    pub fn ticks(&self) -> Ticks {
        let start = Instant::now();
        Arc::new(move || start.elapsed())
    }

    #[must_use]
    pub fn store(&self) -> Arc<dyn Store> {
        let make = || {
            let tables = DynamoStore::new(self.aws.dynamodb(), self.settings.stage.as_str());
            Arc::new(CountedStore::new(Arc::new(tables))) as Arc<dyn Store>
        };
        Arc::clone(self.store.get_or_init(make))
    }

    /// Billing time: the wall clock or, where the stage allows it, the travelled one. Reads the `control` table then.
    #[must_use]
    pub fn clock(&self) -> Arc<dyn Clock> {
        let travel = self.settings.time_travel.then(|| self.store());
        Arc::new(BillingClock::new(self.wall, travel))
    }

    #[must_use]
    pub fn secrets(&self) -> Arc<dyn Secrets> {
        let make = || {
            let source = SecretsManager::new(self.aws.secrets_manager(), &self.settings.stage);
            let start = Instant::now();
            Arc::new(CachedSecrets::new(Box::new(source), Arc::new(move || start.elapsed()))) as Arc<dyn Secrets>
        };
        Arc::clone(self.secrets.get_or_init(make))
    }

    #[must_use]
    pub fn vault(&self) -> Arc<dyn Vault> {
        Arc::new(AesVault::new(self.secrets(), Arc::clone(&self.random)))
    }

    #[must_use]
    pub fn tokens(&self) -> Tokens {
        Tokens::new(self.secrets(), Arc::clone(&self.random))
    }

    #[must_use]
    pub fn operators(&self) -> Operators {
        Operators {
            store: self.store(),
            secrets: self.secrets(),
            tokens: self.tokens(),
            random: Arc::clone(&self.random),
            tries_per_address: self.settings.log_in_tries_per_address,
        }
    }

    /// What decides about the API's requests.
    ///
    /// # Errors
    /// When the TLS backend cannot start.
    pub fn authorizer(&self) -> Result<Authorizer, ConfigError> {
        Ok(Authorizer { tokens: self.tokens(), oidc: self.oidc()?, store: self.store() })
    }

    /// Sends to the `failed-charges` queue.
    #[must_use]
    pub fn hints(&self) -> Arc<dyn Hints> {
        Arc::new(SqsHints::new(self.sqs(), self.settings.failed_charges_queue_url.clone()))
    }

    /// Sends to the `billing-shards` queue.
    #[must_use]
    pub fn shards(&self) -> Arc<dyn Shards> {
        Arc::new(SqsShards::new(self.sqs(), self.settings.billing_shards_queue_url.clone()))
    }

    /// Sends events to the queues of their consumers.
    ///
    /// # Errors
    /// When this function was not given what it needs.
    pub fn outbox(&self) -> Result<Arc<dyn Outbox>, ConfigError> {
        let unreadable = self.settings.unreadable_events_url.clone();
        let unreadable = unreadable.ok_or(ConfigError::new("UNREADABLE_EVENTS_URL", "is missing"))?;
        let queues = OutboxQueues {
            documents: self.settings.documents_queue_url.clone(),
            notices: self.settings.notifications_queue_url.clone(),
            statistics: self.settings.statistics_queue_url.clone(),
            endings: self.settings.endings_queue_url.clone(),
            unreadable,
        };
        Ok(Arc::new(SqsOutbox::new(self.sqs(), queues)))
    }

    /// Who sells.
    ///
    /// # Errors
    /// When this function was not told.
    pub fn supplier(&self) -> Result<Supplier, ConfigError> {
        self.settings.supplier.clone().ok_or(ConfigError::new("SUPPLIER", "is missing"))
    }

    /// Whoever issues tax documents; `None` where people do it by hand.
    #[must_use]
    pub fn tax_issuer(&self) -> Option<Arc<dyn TaxIssuer>> {
        self.settings.tax_sandbox.then(|| Arc::new(TaxSandbox::default()) as Arc<dyn TaxIssuer>)
    }

    /// All dead-letter queues.
    #[must_use]
    pub fn dead_letters(&self) -> Arc<dyn DeadLetters> {
        let source = |url: &str, dead: &str| Source { url: url.to_owned(), dead_letters_url: dead.to_owned() };
        let s = self.settings.clone();
        let source_of = move |queue| match queue {
            DeadQueue::FailedCharges => source(&s.failed_charges_queue_url, &s.failed_charges_dead_letters_url),
            DeadQueue::BillingShards => source(&s.billing_shards_queue_url, &s.billing_shards_dead_letters_url),
            DeadQueue::Documents => source(&s.documents_queue_url, &s.documents_dead_letters_url),
            DeadQueue::Notifications => source(&s.notifications_queue_url, &s.notifications_dead_letters_url),
            DeadQueue::Statistics => source(&s.statistics_queue_url, &s.statistics_dead_letters_url),
            DeadQueue::Endings => source(&s.endings_queue_url, &s.endings_dead_letters_url),
        };
        Arc::new(SqsDeadLetters::new(self.sqs(), source_of))
    }

    /// Both gateways, over one HTTP client.
    ///
    /// # Errors
    /// When the TLS backend cannot start.
    pub fn gateways(&self) -> Result<Gateways, ConfigError> {
        let (toss, stripe) = self.adapters()?;
        Ok(Gateways { toss: Arc::new(toss), stripe: Arc::new(stripe) })
    }

    /// What both gateways say of our accounts there.
    ///
    /// # Errors
    /// When the TLS backend cannot start.
    pub fn accounts(&self) -> Result<Accounts, ConfigError> {
        let (toss, stripe) = self.adapters()?;
        Ok(Accounts { toss: Arc::new(toss), stripe: Arc::new(stripe) })
    }

    fn adapters(&self) -> Result<(Toss, Stripe), ConfigError> {
        let keys = |name| Arc::new(GatewayKeys::new(self.secrets(), name)) as Arc<dyn ApiKeys>;
        let (http, settings) = (self.http()?, &self.settings);
        let toss = Toss::new(http.clone(), settings.toss_api_base.as_str(), keys(SecretName::Toss));
        let stripe = Stripe::new(http, settings.stripe_api_base.as_str(), keys(SecretName::Stripe));
        Ok((toss, stripe))
    }

    /// What moves money: the template's charge set.
    ///
    /// # Errors
    /// When the TLS backend cannot start.
    pub fn charging(&self) -> Result<Charging, ConfigError> {
        Ok(Charging {
            store: self.store(),
            gateways: self.gateways()?,
            vault: self.vault(),
            clock: self.clock(),
            random: Arc::clone(&self.random),
            hints: self.hints(),
            allowance: Arc::new(Unpaced),
        })
    }

    /// The sandbox that follows our clock; `None` wherever real gateways are used.
    ///
    /// # Errors
    /// When the TLS backend cannot start.
    pub fn sandbox(&self) -> Result<Option<Sandbox>, ConfigError> {
        let sandbox = |url: &String| Ok(Sandbox { http: self.http()?, url: url.clone() });
        self.settings.sandbox_url.as_ref().map(sandbox).transpose()
    }

    fn http(&self) -> Result<reqwest::Client, ConfigError> {
        if let Some(client) = self.http.get() {
            return Ok(client.clone());
        }
        let client = transport::client().map_err(|_| ConfigError::new("TLS", "does not start"))?;
        Ok(self.http.get_or_init(|| client).clone())
    }

    fn sqs(&self) -> aws_sdk_sqs::Client {
        self.sqs.get_or_init(|| self.aws.sqs()).clone()
    }
}
