//! Payment methods: made from test ids, attached, listed, detached.
//!
//! Invariants: using a test id makes a real `pm_…`; a detached method is dead for good; no card number is ever taken.

use super::{
    call::{Call, refusal},
    cards::{self, Card},
    customers::{self, merged},
    expand::found,
    failure::Failure,
    form::Form,
    lists, render,
    state::{Metadata, Method},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Years a fresh test card is still good for.
const GOOD_FOR: i64 = 4;
const DEAD: &str = "This PaymentMethod was previously used without being attached to a Customer or was detached from a \
                    Customer, and may not be used again.";

/// Parameters of create.
pub const CREATE: &[&str] = &["type", "card[*]", "billing_details[*]", "metadata[*]", "allow_redisplay", "expand[]"];
/// Parameters of update.
pub const UPDATE: &[&str] =
    &["card[exp_month]", "card[exp_year]", "billing_details[*]", "metadata[*]", "allow_redisplay", "expand[]"];

/// A new method that plays this test card, not yet stored.
fn fresh(call: &Call<'_>, card: &Card) -> Method {
    let year = i64::from(call.at.to_zoned(jiff::tz::TimeZone::UTC).year());
    let fingerprint = hex::encode(Sha256::digest(format!("{}{}", card.brand, card.last4)));
    Method {
        id: call.id("pm"),
        created: call.now(),
        card: card.name.to_owned(),
        brand: card.brand.to_owned(),
        funding: card.funding.to_owned(),
        last4: card.last4.to_owned(),
        exp_month: 12,
        exp_year: year + GOOD_FOR,
        fingerprint: fingerprint.chars().take(16).collect(),
        ..Method::default()
    }
}

/// The method `id` names, usable for a payment or a setup. A test id makes a new one, stored at once.
pub fn resolve(call: &mut Call<'_>, id: &str) -> Result<Method, Failure> {
    if let Some(card) = cards::by_alias(id) {
        let method = fresh(call, &card);
        call.state.methods.insert(method.clone());
        return Ok(method);
    }
    match call.state.methods.get(id) {
        None => Err(Failure::missing("PaymentMethod", id, "payment_method")),
        Some(method) if method.dead => Err(Failure::request(DEAD)),
        Some(method) => Ok(method.clone()),
    }
}

/// The refusal a card answers with when it is saved; also for the SetupIntent.
pub fn refused_at_attach(method: &Method) -> Option<Failure> {
    let decline = cards::by_name(&method.card)?.attach()?;
    Some(refusal(&decline, render::method(method)))
}

/// The method `id` names, fit to be attached.
pub fn to_attach(call: &mut Call<'_>, id: &str) -> Result<Method, Failure> {
    let method = resolve(call, id)?;
    match refused_at_attach(&method) {
        Some(failure) => Err(failure),
        None => Ok(method),
    }
}

/// Attaches and tells.
pub fn attach_to(call: &mut Call<'_>, method: &Method, customer: &str) {
    if let Some(it) = call.state.methods.get_mut(&method.id) {
        it.customer = Some(customer.to_owned());
    }
    call.emit_method("payment_method.attached", &method.id, None);
}

/// Detaches for good and tells.
pub fn detach_from(call: &mut Call<'_>, id: &str, customer: &str) {
    if let Some(it) = call.state.methods.get_mut(id) {
        it.customer = None;
        it.dead = true;
    }
    call.emit_method("payment_method.detached", id, Some(json!({ "customer": customer })));
}

struct Details {
    billing: BTreeMap<String, String>,
    address: BTreeMap<String, String>,
    metadata: Metadata,
    allow_redisplay: Option<String>,
}

fn details(form: &Form, old: &Method) -> Result<Details, Failure> {
    let below = form.nested("billing_details");
    let mut billing = merged(form, "billing_details", &old.billing);
    billing.retain(|name, _| !name.starts_with("address"));
    let allow_redisplay = form.choice("allow_redisplay", &["always", "limited", "unspecified"])?;
    Ok(Details {
        billing,
        address: merged(&below, "address", &old.address),
        metadata: form.metadata(&old.metadata)?,
        allow_redisplay: allow_redisplay.map(str::to_owned).or_else(|| old.allow_redisplay.clone()),
    })
}

fn with(method: Method, it: Details) -> Method {
    let Details { billing, address, metadata, allow_redisplay } = it;
    Method { billing, address, metadata, allow_redisplay, ..method }
}

/// `POST /v1/payment_methods`: from a test token only.
pub fn create(call: &mut Call<'_>, _: &str) -> Result<Value, Failure> {
    call.form.required("type")?;
    call.form.choice("type", &["card"])?;
    let card = call.form.nested("card");
    if card.has("number") {
        return Err(Failure::request(
            "Sending credit card numbers directly to the Stripe API is generally unsafe. To continue processing use \
             Stripe.js, the Stripe mobile bindings, or Stripe Elements.",
        ));
    }
    let token = card.required("token")?;
    let card = cards::by_alias(token).ok_or_else(|| Failure::missing("token", token, "card[token]"))?;
    let method = fresh(call, &card);
    let written = details(call.form, &method)?;
    let method = with(method, written);
    let shown = render::method(&method);
    call.state.methods.insert(method);
    Ok(shown)
}

/// `GET /v1/payment_methods/{id}`; a test id gives a new method.
pub fn get(call: &mut Call<'_>, id: &str) -> Result<Value, Failure> {
    if cards::by_alias(id).is_some() {
        return resolve(call, id).map(|method| render::method(&method));
    }
    found(call.state.methods.get(id), id).map(render::method)
}

/// `GET /v1/payment_methods`
pub fn list(call: &mut Call<'_>, _: &str) -> Result<Value, Failure> {
    page_of(call, call.form.text("customer"))
}

/// A customer's methods (or everybody's), of the type asked for.
pub fn page_of(call: &Call<'_>, customer: Option<&str>) -> Result<Value, Failure> {
    let cards_wanted = call.form.text("type").is_none_or(|kind| kind == "card");
    let rows = call.state.methods.newest().filter(|it| {
        cards_wanted && customer.map_or(it.customer.is_some(), |customer| it.customer.as_deref() == Some(customer))
    });
    lists::page(call.form, call.path, rows, render::method)
}

/// `POST /v1/payment_methods/{id}`
pub fn update(call: &mut Call<'_>, id: &str) -> Result<Value, Failure> {
    let old = found(call.state.methods.get(id), id)?.clone();
    if old.customer.is_none() {
        return Err(Failure::request("You must save this PaymentMethod to a customer before you can update it."));
    }
    let card = call.form.nested("card");
    let exp_month = card.integer("exp_month")?.unwrap_or(old.exp_month);
    let exp_year = card.integer("exp_year")?.unwrap_or(old.exp_year);
    let written = details(call.form, &old)?;
    let new = Method { exp_month, exp_year, ..with(old, written) };
    let shown = render::method(&new);
    if let Some(slot) = call.state.methods.get_mut(id) {
        *slot = new;
    }
    call.emit_method("payment_method.updated", id, None);
    Ok(shown)
}

/// `POST /v1/payment_methods/{id}/attach`
pub fn attach(call: &mut Call<'_>, id: &str) -> Result<Value, Failure> {
    let customer = call.form.required("customer")?.to_owned();
    customers::usable(call, &customer, "customer")?;
    let method = to_attach(call, id)?;
    match &method.customer {
        None => attach_to(call, &method, &customer),
        Some(theirs) if *theirs == customer => {}
        Some(_) => {
            let message = "The payment method you provided has already been attached to a customer.";
            return Err(Failure::state("payment_method_unexpected_state", message));
        }
    }
    found(call.state.methods.get(&method.id), id).map(render::method)
}

/// `POST /v1/payment_methods/{id}/detach`
pub fn detach(call: &mut Call<'_>, id: &str) -> Result<Value, Failure> {
    let Some(customer) = found(call.state.methods.get(id), id)?.customer.clone() else {
        return Err(Failure::request(
            "The payment method you provided is not attached to a customer so detachment is impossible.",
        ));
    };
    detach_from(call, id, &customer);
    found(call.state.methods.get(id), id).map(render::method)
}
