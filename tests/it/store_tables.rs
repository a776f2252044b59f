//! DynamoDB for the suites: an embedded emulator of their own, or the tables of a deployed stack.

use aws_credential_types::Credentials;
use aws_sdk_dynamodb::config::{BehaviorVersion, Builder, Region};
use aws_sdk_dynamodb::error::DisplayErrorContext;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection, ProjectionType,
    ScalarAttributeType,
};
use aws_sdk_dynamodb::{Client, Config};
use shared::store::schema::Table;

pub const STAGE: &str = "it";

/// An SDK configuration for an endpoint that checks no signatures.
pub fn config(url: &str) -> Builder {
    Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("ap-northeast-2"))
        .credentials_provider(Credentials::from_keys("test", "test", None))
        .endpoint_url(url)
}

/// Starts an empty emulator in this process, with every table; it ends with the runtime.
pub async fn embedded() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let database = dynoxide::Database::memory().unwrap();
    tokio::spawn(dynoxide::server::serve_on(listener, database));
    create_tables(&Client::from_conf(config(&url).build()), STAGE).await;
    url
}

/// Every table of the product on any endpoint, without streams: they make the embedded emulator quadratic.
pub async fn create_tables(client: &Client, stage: &str) {
    for table in Table::ALL {
        create(client, stage, table).await;
    }
}

async fn create(client: &Client, stage: &str, table: Table) {
    let text = |name: &str| attribute(name, ScalarAttributeType::S);
    let mut attributes = vec![text("pk")];
    let mut keys = vec![key("pk", KeyType::Hash)];
    if table.sorted() {
        attributes.push(text("sk"));
        keys.push(key("sk", KeyType::Range));
    }
    let mut request = client
        .create_table()
        .table_name(format!("{stage}-{}", table.name()))
        .billing_mode(BillingMode::PayPerRequest)
        .set_key_schema(Some(keys));
    for index in table.indexes() {
        let sort = if index.numeric() { ScalarAttributeType::N } else { ScalarAttributeType::S };
        attributes.extend([text(index.pk()), attribute(index.sk(), sort)]);
        let secondary = GlobalSecondaryIndex::builder()
            .index_name(index.name())
            .key_schema(key(index.pk(), KeyType::Hash))
            .key_schema(key(index.sk(), KeyType::Range))
            .projection(Projection::builder().projection_type(ProjectionType::KeysOnly).build());
        request = request.global_secondary_indexes(secondary.build().unwrap());
    }
    let answer = request.set_attribute_definitions(Some(attributes)).send().await;
    answer.unwrap_or_else(|error| panic!("{}: {}", table.name(), DisplayErrorContext(error)));
}

fn attribute(name: &str, kind: ScalarAttributeType) -> AttributeDefinition {
    AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build().unwrap()
}

fn key(name: &str, kind: KeyType) -> KeySchemaElement {
    KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap()
}
