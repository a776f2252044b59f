//! Events and webhook endpoints.

use super::{
    call::Call,
    expand::found,
    failure::Failure,
    lists, render,
    state::{Happened, Hook, Metadata},
};
use crate::core::{Gateway, Stage};
use serde_json::{Value, json};
use std::collections::HashSet;

/// Parameters of an endpoint's create.
pub const CREATE: &[&str] = &["url", "enabled_events[]", "api_version", "description", "metadata[*]", "expand[]"];
/// Most kinds one list may ask for.
const KINDS: usize = 20;

fn shown(event: &Happened) -> Value {
    serde_json::from_str(&event.body).unwrap_or_default()
}

/// `GET /v1/events/{id}`
pub fn get(call: &mut Call<'_>, id: &str) -> Result<Value, Failure> {
    found(call.state.events.iter().rev().find(|it| it.id == id), id).map(shown)
}

/// `GET /v1/events`
pub fn list(call: &mut Call<'_>, _: &str) -> Result<Value, Failure> {
    let form = call.form;
    let mut kinds = form.list("types");
    kinds.extend(form.text("type"));
    if kinds.len() > KINDS {
        return Err(Failure::invalid("types", "You may pass up to 20 event types."));
    }
    let delivered = form.boolean("delivery_success")?;
    let undelivered = if delivered.is_some() { undelivered(call) } else { HashSet::new() };
    let rows = call.state.events.iter().rev();
    let rows = rows.filter(|it| kinds.is_empty() || kinds.iter().any(|kind| admits(kind, &it.kind)));
    let rows = rows.filter(|it| delivered.is_none_or(|wanted| undelivered.contains(&it.id) != wanted));
    lists::page(form, call.path, rows, shown)
}

/// `payment_intent.*` stands for the family.
fn admits(pattern: &str, kind: &str) -> bool {
    pattern == kind || pattern.strip_suffix('*').is_some_and(|family| kind.starts_with(family))
}

/// Ids of events that went to an endpoint and have not been received.
fn undelivered(call: &Call<'_>) -> HashSet<String> {
    let records = call.core.deliveries().into_iter();
    let open = records.filter(|it| it.gateway == Gateway::Stripe && it.stage != Stage::Delivered);
    let ids = open.filter_map(|it| Some(serde_json::from_str::<Value>(&it.body).ok()?.get("id")?.as_str()?.to_owned()));
    ids.collect()
}

/// `POST /v1/webhook_endpoints`. The sandbox delivers to one endpoint: the one made last.
pub fn create_hook(call: &mut Call<'_>, _: &str) -> Result<Value, Failure> {
    let form = call.form;
    let url = form.required("url")?;
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err(Failure::coded(
            "url_invalid",
            "url",
            "Invalid URL: An explicit scheme (such as https) must be provided.",
        ));
    }
    let enabled: Vec<String> = form.list("enabled_events").into_iter().map(str::to_owned).collect();
    if enabled.is_empty() {
        return Err(Failure::missing_parameter("enabled_events"));
    }
    let hook = Hook {
        id: call.id("we"),
        created: call.now(),
        url: url.to_owned(),
        enabled,
        version: form.text("api_version").map(str::to_owned),
        description: form.text("description").map(str::to_owned),
        metadata: form.metadata(&Metadata::new())?,
    };
    let secret = format!("whsec_{}", call.core.token(32));
    let mut shown = render::hook(&hook);
    shown["secret"] = json!(secret);
    call.core.set_endpoint(crate::core::Endpoint {
        gateway: Gateway::Stripe,
        url: hook.url.clone(),
        secret: Some(secret),
        previous_secret: None,
    });
    call.state.hooks.insert(hook);
    Ok(shown)
}

/// `GET /v1/webhook_endpoints/{id}`
pub fn get_hook(call: &mut Call<'_>, id: &str) -> Result<Value, Failure> {
    found(call.state.hooks.get(id), id).map(render::hook)
}

/// `GET /v1/webhook_endpoints`
pub fn list_hooks(call: &mut Call<'_>, _: &str) -> Result<Value, Failure> {
    lists::page(call.form, call.path, call.state.hooks.newest(), render::hook)
}
