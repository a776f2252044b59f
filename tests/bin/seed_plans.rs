//! Puts plan versions into the `plan` table: `seed_plans PLANS.json`, with `AWS_ENDPOINT_URL` and `STAGE` in the
//! environment. Versions are immutable: those already there are left alone, so it can run again at any time.
#![expect(clippy::print_stdout, reason = "a command-line tool talks on standard output")]

use std::error::Error;
use std::process::ExitCode;

use aws_credential_types::Credentials;
use aws_sdk_dynamodb::config::{BehaviorVersion, Region};
use aws_sdk_dynamodb::{Client, Config};
use domain::plan::Plan;
use shared::store::{Commit, DynamoStore, Record, Store, StoreError, Write};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match seed().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("seed_plans: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn seed() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: seed_plans PLANS.json")?;
    let plans: Vec<Plan> = serde_json::from_slice(&std::fs::read(&path)?)?;
    let store = DynamoStore::new(client()?, variable("STAGE").ok_or("STAGE is not set")?);
    for plan in plans {
        let name = format!("{} version {}", plan.code, plan.version);
        let id = format!("seed-{:032x}", rand::random::<u128>());
        let commit = Commit { id, writes: vec![Write::New(Record::Plan(plan))], events: Vec::new() };
        match store.commit(&commit).await {
            Ok(()) => println!("{name}: added"),
            Err(StoreError::Conflict { .. }) => println!("{name}: already there"),
            Err(error) => return Err(format!("{name}: {error}").into()),
        }
    }
    Ok(())
}

fn client() -> Result<Client, Box<dyn Error>> {
    let region = variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION"));
    let key = variable("AWS_ACCESS_KEY_ID").ok_or("AWS_ACCESS_KEY_ID is not set")?;
    let secret = variable("AWS_SECRET_ACCESS_KEY").ok_or("AWS_SECRET_ACCESS_KEY is not set")?;
    let credentials = Credentials::new(key, secret, variable("AWS_SESSION_TOKEN"), None, "environment");
    let mut config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region.unwrap_or_else(|| "ap-northeast-2".to_owned())))
        .credentials_provider(credentials);
    if let Some(url) = variable("AWS_ENDPOINT_URL") {
        config = config.endpoint_url(url);
    }
    Ok(Client::from_conf(config.build()))
}

fn variable(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "a program of its own, outside the functions' configuration")]
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
