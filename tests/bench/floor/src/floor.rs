//! A hello world that also makes the requests a function makes, with the SDK and nothing else. `FLOOR` says which, as
//! JSON: `[{"get": {...}}, {"query": {...}}, {"batch": {...}}, {"put": {...}}]`.

use std::collections::HashMap;

use aws_credential_types::Credentials;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Config, Region};
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes, ReturnValuesOnConditionCheckFailure};
use lambda_http::{Body, Error, Request, Response, run, service_fn};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

type Item = HashMap<String, AttributeValue>;

enum Step {
    Get {
        table: String,
        key: Item,
    },
    Query {
        table: String,
        index: String,
        name: String,
        value: String,
    },
    Batch {
        keys: Vec<(String, Item)>,
    },
    /// A new row every time.
    Put {
        table: String,
        item: Item,
    },
}

struct Floor {
    client: Client,
    steps: Vec<Step>,
    made: AtomicU64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    #[expect(clippy::disallowed_methods, reason = "a measuring program")]
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let steps: Vec<Value> = serde_json::from_str(&variable("FLOOR"))?;
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(1))
        .operation_attempt_timeout(Duration::from_secs(2))
        .operation_timeout(Duration::from_secs(6));
    let config = Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(variable("AWS_REGION")))
        .credentials_provider(Credentials::from_keys("test", "test", None))
        .timeout_config(timeouts.build())
        .retry_config(RetryConfig::standard().with_max_attempts(3))
        .endpoint_url(variable("AWS_ENDPOINT_URL"));
    let steps = steps.iter().map(step).collect();
    let floor = Arc::new(Floor { client: Client::from_conf(config.build()), steps, made: AtomicU64::new(0) });
    run(service_fn(move |_: Request| {
        let floor = Arc::clone(&floor);
        async move {
            for step in &floor.steps {
                floor.make(step).await?;
            }
            Ok::<_, Error>(Response::new(Body::Text(r#"{"hello":"world"}"#.to_owned())))
        }
    }))
    .await
}

fn step(spec: &Value) -> Step {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let item = |value: &Value| -> Item {
        let fields = value.as_object().into_iter().flatten();
        fields.map(|(name, value)| (name.clone(), AttributeValue::S(text(value)))).collect()
    };
    if let Some(get) = spec.get("get") {
        return Step::Get { table: text(&get["table"]), key: item(&get["key"]) };
    }
    if let Some(query) = spec.get("query") {
        let field = |name: &str| text(&query[name]);
        return Step::Query {
            table: field("table"),
            index: field("index"),
            name: field("name"),
            value: field("value"),
        };
    }
    if let Some(batch) = spec.get("batch").and_then(Value::as_array) {
        return Step::Batch { keys: batch.iter().map(|row| (text(&row["table"]), item(&row["key"]))).collect() };
    }
    Step::Put { table: text(&spec["put"]["table"]), item: item(&spec["put"]["item"]) }
}

impl Floor {
    async fn make(&self, step: &Step) -> Result<(), Error> {
        match step {
            Step::Get { table, key } => {
                let request = self.client.get_item().table_name(table).set_key(Some(key.clone()));
                request.consistent_read(true).send().await?;
            }
            Step::Query { table, index, name, value } => {
                let request = self.client.query().table_name(table).index_name(index).limit(101);
                let request = request.key_condition_expression(format!("{name} = :pk"));
                request.expression_attribute_values(":pk", AttributeValue::S(value.clone())).send().await?;
            }
            Step::Batch { keys } => {
                let mut tables: HashMap<String, Vec<Item>> = HashMap::new();
                for (table, key) in keys {
                    tables.entry(table.clone()).or_default().push(key.clone());
                }
                let mut request = self.client.batch_get_item();
                for (table, keys) in tables {
                    let keys = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true).build()?;
                    request = request.request_items(table, keys);
                }
                request.send().await?;
            }
            Step::Put { table, item } => {
                let mut item = item.clone();
                let n = self.made.fetch_add(1, Ordering::Relaxed);
                item.insert("pk".to_owned(), AttributeValue::S(format!("floor-{n}-{}", std::process::id())));
                let request = self.client.put_item().table_name(table).set_item(Some(item));
                let request = request.condition_expression("attribute_not_exists(pk)");
                let request =
                    request.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
                request.send().await?;
            }
        }
        Ok(())
    }
}
