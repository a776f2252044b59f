//! The emulator as the parent sees it: a client like the product's, empty tables per stage, and the counts at its front.

use aws_credential_types::Credentials;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Config, Region};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection, ProjectionType,
    ScalarAttributeType,
};
use serde_json::Value;
use shared::store::schema::Table;
use std::time::Duration;

use crate::process::Process;
use crate::roles::emulator::Counts;
use crate::roles::gateway::Seen;
use crate::seed::physical;

/// A client configured as the product's is: same timeouts, same retries.
pub fn client(endpoint: &str) -> Client {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(1))
        .operation_attempt_timeout(Duration::from_secs(2))
        .operation_timeout(Duration::from_secs(6));
    let config = Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("ap-northeast-2"))
        .credentials_provider(Credentials::from_keys("test", "test", None))
        .timeout_config(timeouts.build())
        .retry_config(RetryConfig::standard().with_max_attempts(3))
        .endpoint_url(endpoint);
    Client::from_conf(config.build())
}

/// The AWS side and the gateway, running.
pub struct Stand {
    _children: [Process; 2],
    /// DynamoDB itself, for those whose calls are not counted.
    pub store: String,
    /// Everything of AWS, counted.
    pub aws: String,
    pub toss: String,
    pub client: Client,
    http: reqwest::Client,
}

impl Stand {
    /// Starts both. `law` as [`crate::roles::gateway::run`] takes it.
    pub async fn start(law: Value) -> Stand {
        let mut emulator = Process::role("emulator", &Value::Null, &[]);
        let mut gateway = Process::role("gateway", &law, &[]);
        let (aws, toss) = (emulator.said().await, gateway.said().await);
        let url = |said: &Value, name: &str| said[name].as_str().expect("an address").to_owned();
        let store = url(&aws, "store");
        let (client, http) = (client(&store), reqwest::Client::new());
        Stand { _children: [emulator, gateway], aws: url(&aws, "aws"), toss: url(&toss, "url"), client, http, store }
    }

    /// Empty tables of a stage.
    pub async fn stage(&self, stage: &str) {
        for table in Table::ALL {
            create(&self.client, stage, table).await;
        }
    }

    /// What passed the front since last asked.
    pub async fn counts(&self) -> Counts {
        self.read(&format!("{}/counts", self.aws)).await
    }

    /// What the gateway saw since last asked.
    pub async fn seen(&self) -> Seen {
        self.read(&format!("{}/seen", self.toss)).await
    }

    async fn read<T: serde::de::DeserializeOwned>(&self, url: &str) -> T {
        let answer = self.http.get(url).send().await.expect("it answers").bytes().await.expect("whole");
        serde_json::from_slice(&answer).expect("its own JSON")
    }

    /// The environment the template gives the functions of `stage`, all of them in one, with the charge window off.
    pub fn environment(&self, stage: &str) -> Vec<(&'static str, String)> {
        [
            ("STAGE", stage),
            ("AWS_REGION", "ap-northeast-2"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_ENDPOINT_URL", &self.aws),
            ("TOSS_API_BASE", &self.toss),
            ("STRIPE_API_BASE", &self.toss),
            ("SANDBOX_URL", ""),
            ("TIME_TRAVEL", "refused"),
            ("CHARGE_WINDOW", "off"),
            ("RUNNERS", "1"),
            ("TOSS_RATE", "5"),
            ("STRIPE_RATE", "25"),
            ("WEBHOOK_ALLOWED_IPS", ""),
            ("WEBHOOK_RATE_PER_ADDRESS", "1000000"),
            ("WEBHOOK_RATE", "1000000"),
            ("REGISTRATIONS_PER_ADDRESS", "20"),
            ("LOG_IN_TRIES_PER_ADDRESS", "50"),
            ("OIDC_ISSUER", ""),
            ("OIDC_STAFF_AUDIENCE", ""),
            ("OIDC_TENANT_AUDIENCE", ""),
            ("OIDC_ROLE_CLAIM", ""),
            ("OIDC_TENANT_CLAIM", ""),
            ("OIDC_ROLES", ""),
            ("ALLOWED_ORIGINS", ""),
            ("FAILED_CHARGES_QUEUE_URL", "http://127.0.0.1/failed-charges"),
            ("DOCUMENTS_QUEUE_URL", "http://127.0.0.1/documents"),
            ("DOCUMENTS_DEAD_LETTERS_URL", "http://127.0.0.1/documents-dlq"),
            ("NOTIFICATIONS_QUEUE_URL", "http://127.0.0.1/notifications"),
            ("NOTIFICATIONS_DEAD_LETTERS_URL", "http://127.0.0.1/notifications-dlq"),
            ("MAIL_FROM", "billing@mindgarden.example"),
            ("OPERATOR_CHAT", "none"),
            ("QUIET_HOURS", "21:00-08:00"),
            ("PORTAL_URL", "http://127.0.0.1"),
            ("PUBLIC_URL", "http://127.0.0.1"),
            ("STATISTICS_QUEUE_URL", "http://127.0.0.1/statistics"),
            ("STATISTICS_DEAD_LETTERS_URL", "http://127.0.0.1/statistics-dlq"),
            ("ENDINGS_QUEUE_URL", "http://127.0.0.1/endings"),
            ("ENDINGS_DEAD_LETTERS_URL", "http://127.0.0.1/endings-dlq"),
            ("BILLING_SHARDS_QUEUE_URL", "http://127.0.0.1/billing-shards"),
            ("FAILED_CHARGES_DEAD_LETTERS_URL", "http://127.0.0.1/failed-charges-dead-letters"),
            ("BILLING_SHARDS_DEAD_LETTERS_URL", "http://127.0.0.1/billing-shards-dead-letters"),
            ("HOLD_FACTOR", "0"),
            ("REFUND_APPROVAL_ABOVE", "off"),
            ("TRANSFER_ACCOUNT", ""),
            ("TAX_ISSUER", "by-hand"),
            ("UNREADABLE_EVENTS_URL", "http://127.0.0.1/unreadable-events"),
            ("SUPPLIER", "MindGarden|120-81-47521|Kim|Seoul"),
            ("RUST_LOG", "info"),
        ]
        .map(|(name, value)| (name, value.to_owned()))
        .to_vec()
    }
}

async fn create(client: &Client, stage: &str, table: Table) {
    let text = |name: &str| attribute(name, ScalarAttributeType::S);
    let (mut attributes, mut keys) = (vec![text("pk")], vec![key("pk", KeyType::Hash)]);
    if table.sorted() {
        attributes.push(text("sk"));
        keys.push(key("sk", KeyType::Range));
    }
    let request = client.create_table().table_name(physical(stage, table)).billing_mode(BillingMode::PayPerRequest);
    let mut request = request.set_key_schema(Some(keys));
    for index in table.indexes() {
        let sort = if index.numeric() { ScalarAttributeType::N } else { ScalarAttributeType::S };
        attributes.extend([text(index.pk()), attribute(index.sk(), sort)]);
        let secondary = GlobalSecondaryIndex::builder()
            .index_name(index.name())
            .key_schema(key(index.pk(), KeyType::Hash))
            .key_schema(key(index.sk(), KeyType::Range))
            .projection(Projection::builder().projection_type(ProjectionType::KeysOnly).build());
        request = request.global_secondary_indexes(secondary.build().expect("an index"));
    }
    request.set_attribute_definitions(Some(attributes)).send().await.expect("a table");
}

fn attribute(name: &str, kind: ScalarAttributeType) -> AttributeDefinition {
    AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build().expect("an attribute")
}

fn key(name: &str, kind: KeyType) -> KeySchemaElement {
    KeySchemaElement::builder().attribute_name(name).key_type(kind).build().expect("a key")
}
