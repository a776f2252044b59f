//! Customers.

use super::{
    call::Call,
    expand::found,
    failure::Failure,
    form::Form,
    lists, methods, render,
    state::{Customer, Metadata},
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Parameters of create and update.
pub const FIELDS: &[&str] = &[
    "name",
    "email",
    "phone",
    "description",
    "address[*]",
    "metadata[*]",
    "preferred_locales[]",
    "invoice_settings[default_payment_method]",
    "payment_method",
    "test_clock",
    "expand[]",
];

/// The texts below `name`, merged into what was there; an empty text removes one.
pub fn merged(form: &Form, name: &str, current: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut out = current.clone();
    if form.has(name) {
        for (key, value) in form.nested(name).flat() {
            if value.is_empty() {
                out.remove(&key)
            } else {
                out.insert(key, value)
            };
        }
    }
    out
}

/// The customer that may be used: one that exists and is not deleted.
pub fn usable(call: &Call<'_>, id: &str, param: &str) -> Result<(), Failure> {
    match call.state.customers.get(id) {
        Some(customer) if !customer.deleted => Ok(()),
        _ => Err(Failure::missing("customer", id, param)),
    }
}

fn text(form: &Form, name: &str, current: Option<String>) -> Option<String> {
    if form.has(name) { form.text(name).map(str::to_owned) } else { current }
}

fn written(call: &Call<'_>, old: Customer) -> Result<Customer, Failure> {
    let form = call.form;
    let default = form.nested("invoice_settings").text("default_payment_method").map(str::to_owned);
    let metadata: Metadata = form.metadata(&old.metadata)?;
    let locales = form.list("preferred_locales").into_iter().map(str::to_owned).collect();
    Ok(Customer {
        name: text(form, "name", old.name),
        email: text(form, "email", old.email),
        phone: text(form, "phone", old.phone),
        description: text(form, "description", old.description),
        address: merged(form, "address", &old.address),
        locales: if form.has("preferred_locales") { locales } else { old.locales },
        default_method: default.or(old.default_method),
        metadata,
        ..old
    })
}

/// `POST /v1/customers`
pub fn create(call: &mut Call<'_>, _: &str) -> Result<Value, Failure> {
    let fresh = Customer { id: call.id("cus"), created: call.now(), ..Customer::default() };
    let customer = written(call, fresh)?;
    let shown = render::customer(&customer);
    // A card that refuses to be saved refuses before the customer exists.
    let method = match call.form.text("payment_method") {
        Some(id) => Some(methods::to_attach(call, id)?),
        None => None,
    };
    let id = customer.id.clone();
    call.state.customers.insert(customer);
    call.emit("customer.created", shown.clone(), None, None);
    if let Some(method) = method {
        methods::attach_to(call, &method, &id);
    }
    Ok(shown)
}

/// `GET /v1/customers/{id}`
pub fn get(call: &mut Call<'_>, id: &str) -> Result<Value, Failure> {
    found(call.state.customers.get(id), id).map(render::customer)
}

/// `GET /v1/customers`
pub fn list(call: &mut Call<'_>, _: &str) -> Result<Value, Failure> {
    let email = call.form.text("email");
    let rows = call.state.customers.newest().filter(|it| !it.deleted);
    let rows = rows.filter(|it| email.is_none_or(|email| it.email.as_deref() == Some(email)));
    lists::page(call.form, call.path, rows, render::customer)
}

/// `POST /v1/customers/{id}`
pub fn update(call: &mut Call<'_>, id: &str) -> Result<Value, Failure> {
    let old = found(call.state.customers.get(id).filter(|it| !it.deleted), id)?.clone();
    let new = written(call, old)?;
    let shown = render::customer(&new);
    if let Some(slot) = call.state.customers.get_mut(id) {
        *slot = new;
    }
    call.emit("customer.updated", shown.clone(), None, None);
    Ok(shown)
}

/// `DELETE /v1/customers/{id}`: its cards are detached with it.
pub fn delete(call: &mut Call<'_>, id: &str) -> Result<Value, Failure> {
    found(call.state.customers.get(id).filter(|it| !it.deleted), id)?;
    let theirs = call.state.methods.newest().filter(|it| it.customer.as_deref() == Some(id));
    let theirs: Vec<String> = theirs.map(|it| it.id.clone()).collect();
    for method in theirs {
        methods::detach_from(call, &method, id);
    }
    if let Some(customer) = call.state.customers.get_mut(id) {
        customer.deleted = true;
    }
    let shown = json!({ "id": id, "object": "customer", "deleted": true });
    call.emit("customer.deleted", shown.clone(), None, None);
    Ok(shown)
}

/// `GET /v1/customers/{id}/payment_methods`
pub fn methods(call: &mut Call<'_>, id: &str) -> Result<Value, Failure> {
    found(call.state.customers.get(id).filter(|it| !it.deleted), id)?;
    methods::page_of(call, Some(id))
}
