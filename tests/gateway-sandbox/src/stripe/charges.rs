//! Charges and balance transactions: read only.

use super::{
    call::Call,
    expand::found,
    failure::Failure,
    lists, render,
    state::{Balance, Charge},
};
use serde_json::Value;

/// `GET /v1/charges/{id}`
pub fn get(call: &mut Call<'_>, id: &str) -> Result<Value, Failure> {
    found(call.state.charges.get(id), id).map(|it| render::charge(it, call.now()))
}

/// `GET /v1/charges`
pub fn list(call: &mut Call<'_>, _: &str) -> Result<Value, Failure> {
    let (intent, customer) = (call.form.text("payment_intent"), call.form.text("customer"));
    let wanted = |it: &&Charge| {
        intent.is_none_or(|id| it.intent == id) && customer.is_none_or(|id| it.customer.as_deref() == Some(id))
    };
    let rows = call.state.charges.newest().filter(wanted);
    lists::page(call.form, call.path, rows, |it| render::charge(it, call.now()))
}

/// `GET /v1/balance_transactions/{id}`
pub fn balance(call: &mut Call<'_>, id: &str) -> Result<Value, Failure> {
    found(call.state.balances.get(id), id).map(|it| render::balance(it, call.now()))
}

/// `GET /v1/balance_transactions`
pub fn balances(call: &mut Call<'_>, _: &str) -> Result<Value, Failure> {
    let form = call.form;
    let (source, kind, currency) = (form.text("source"), form.text("type"), form.text("currency"));
    let wanted = |it: &&Balance| {
        source.is_none_or(|id| it.source == id)
            && kind.is_none_or(|kind| it.kind == kind)
            && currency.is_none_or(|currency| it.currency == currency)
    };
    let rows = call.state.balances.newest().filter(wanted);
    lists::page(form, call.path, rows, |it| render::balance(it, call.now()))
}
