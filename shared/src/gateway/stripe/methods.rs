//! Saving and forgetting cards at Stripe: what the browser needs, what it returned, and whose it is.
//!
//! Invariant: a SetupIntent or PaymentMethod that is not this owner's is [`GatewayError::NotFound`], never used.

use domain::method::MaskedCard;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::super::json::{id, owned, text, whole};
use super::super::transport::{Call, NoAnswer, Reply, send};
use super::super::{ApiKey, DeleteMethod, GatewayError, Register, Registered, SetUp, SetUpAnswer};
use super::codes::Failure;
use super::{Stripe, build};

impl Stripe {
    /// The body of a 2xx, or why there is none.
    async fn ask(&self, call: Call) -> Result<Value, GatewayError> {
        let reply = send(&self.client, call).await.map_err(|NoAnswer| GatewayError::Unknown)?;
        accepted(&reply)
    }

    async fn customer_of(
        &self,
        key: &ApiKey,
        customer: Option<&str>,
        owner: &str,
        idempotency_key: &str,
    ) -> Result<String, GatewayError> {
        match customer {
            Some(customer) => Ok(customer.to_owned()),
            None => {
                let made = self.ask(build::customer(&self.base, key, owner, idempotency_key)).await?;
                owned(&made, "id").ok_or(GatewayError::Unknown)
            }
        }
    }

    pub(super) async fn open_window(&self, request: &SetUp<'_>) -> Result<SetUpAnswer, GatewayError> {
        let key = self.key().await?;
        let idempotency_key = request.idempotency_key;
        let customer = self.customer_of(&key, request.customer, request.owner, idempotency_key).await?;
        let call = build::setup_intent(&self.base, &key, &customer, request.owner, idempotency_key);
        let setup = self.ask(call).await?;
        let client_secret = owned(&setup, "client_secret").ok_or(GatewayError::Unknown)?;
        Ok(SetUpAnswer {
            client_key: key.client,
            customer_key: None,
            client_secret: Some(client_secret),
            customer: Some(customer),
        })
    }

    /// From a SetupIntent the browser says it has finished; Stripe is asked whether that is so.
    pub(super) async fn register_setup_intent(
        &self,
        request: &Register<'_>,
        id: &str,
    ) -> Result<Registered, GatewayError> {
        let key = self.key().await?;
        let setup = self.ask(build::get_setup_intent(&self.base, &key, id)).await?;
        let (customer, method) = set_up(&setup, request)?;
        let found = self.ask(build::get_method(&self.base, &key, &method)).await?;
        registered(&found, &customer)
    }

    /// From a PaymentMethod the browser made: it becomes this owner's, unless it is someone else's.
    pub(super) async fn register_method(&self, request: &Register<'_>, id: &str) -> Result<Registered, GatewayError> {
        let key = self.key().await?;
        let customer = self.customer_of(&key, request.customer, request.owner, request.idempotency_key).await?;
        let call = build::attach(&self.base, &key, id, &customer, request.idempotency_key);
        match self.ask(call).await {
            Ok(attached) => registered(&attached, &customer),
            // Perhaps because it is attached already: to this customer is fine, to another it is foreign.
            Err(refused @ GatewayError::Rejected { .. }) => {
                let found = self.ask(build::get_method(&self.base, &key, id)).await?;
                match attached_to(&found) {
                    Some(_) => registered(&found, &customer),
                    None => Err(refused),
                }
            }
            Err(other) => Err(other),
        }
    }

    pub(super) async fn forget(&self, request: &DeleteMethod<'_>) -> Result<(), GatewayError> {
        let key = self.key().await?;
        match self.ask(build::detach(&self.base, &key, request.token)).await {
            Ok(_) => Ok(()),
            // Perhaps because it is detached already, which is what was asked for.
            Err(refused @ GatewayError::Rejected { .. }) => {
                let found = self.ask(build::get_method(&self.base, &key, request.token.expose_secret())).await?;
                if attached_to(&found).is_none() { Ok(()) } else { Err(refused) }
            }
            Err(other) => Err(other),
        }
    }
}

/// The body of a 2xx; the meaning of anything else, outside of charges.
pub(super) fn accepted(reply: &Reply) -> Result<Value, GatewayError> {
    let body = reply.json().ok_or(GatewayError::Unknown)?;
    if reply.ok() {
        return Ok(body);
    }
    let error = body.get("error").ok_or(GatewayError::Unknown)?;
    let failure = Failure::read(error);
    let kind = text(error, "type");
    let code = failure.raw().or(kind).unwrap_or_default().to_owned();
    Err(match reply.status {
        402 => GatewayError::Declined { code },
        401 | 403 => GatewayError::Config { code },
        404 => GatewayError::NotFound,
        400 if failure.code.as_deref() == Some("resource_missing") => GatewayError::NotFound,
        400 => GatewayError::Rejected { code },
        _ => GatewayError::Unknown,
    })
}

/// Customer and method of a SetupIntent that succeeded for this owner.
fn set_up(setup: &Value, request: &Register<'_>) -> Result<(String, String), GatewayError> {
    let customer = id(setup, "customer").ok_or(GatewayError::NotFound)?;
    let own = match request.customer {
        Some(own) => own == customer,
        // Nobody remembered the customer: the owner we wrote into the intent is as good, browsers cannot write it.
        None => setup.get("metadata").and_then(|metadata| text(metadata, "owner")) == Some(request.owner),
    };
    if !own {
        return Err(GatewayError::NotFound);
    }
    match text(setup, "status") {
        Some("succeeded") => Ok((customer, id(setup, "payment_method").ok_or(GatewayError::Unknown)?)),
        Some("requires_payment_method") => {
            let failure = setup.get("last_setup_error").filter(|e| e.is_object()).map(Failure::read);
            let code = failure.as_ref().and_then(Failure::raw);
            Err(match code {
                Some(code) => GatewayError::Declined { code: code.to_owned() },
                None => GatewayError::Rejected { code: "requires_payment_method".into() },
            })
        }
        Some(status) => Err(GatewayError::Rejected { code: status.to_owned() }),
        None => Err(GatewayError::Unknown),
    }
}

fn attached_to(method: &Value) -> Option<String> {
    id(method, "customer")
}

/// What is kept of a PaymentMethod of this customer.
fn registered(method: &Value, customer: &str) -> Result<Registered, GatewayError> {
    if attached_to(method).as_deref() != Some(customer) {
        return Err(GatewayError::NotFound);
    }
    let token = owned(method, "id").ok_or(GatewayError::Unknown)?;
    Ok(Registered {
        token: SecretString::from(token),
        customer: SecretString::from(customer.to_owned()),
        card: card(method),
        holder_name: method.get("billing_details").and_then(|details| owned(details, "name")),
    })
}

/// The masked face of a PaymentMethod.
pub(in crate::gateway) fn card(method: &Value) -> MaskedCard {
    let Some(card) = method.get("card") else { return MaskedCard::default() };
    MaskedCard {
        brand: owned(card, "brand"),
        last4: owned(card, "last4"),
        exp_month: whole(card, "exp_month").and_then(|month| u8::try_from(month).ok()),
        exp_year: whole(card, "exp_year").and_then(|year| u16::try_from(year).ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::WindowResult;
    use serde_json::json;

    fn request(customer: Option<&'static str>) -> Register<'static> {
        let result = WindowResult::StripeSetupIntent { id: "seti_1" };
        Register { result, customer, owner: "ten_1", idempotency_key: "reg:1" }
    }

    fn setup(status: &str) -> Value {
        json!({"id": "seti_1", "status": status, "customer": "cus_1", "payment_method": "pm_1", "metadata": {"owner": "ten_1"}})
    }

    #[test]
    fn only_the_owners_setup_intent_counts() {
        let pair = Ok(("cus_1".to_owned(), "pm_1".to_owned()));
        assert_eq!(set_up(&setup("succeeded"), &request(Some("cus_1"))), pair);
        assert_eq!(set_up(&setup("succeeded"), &request(None)), pair);
        assert_eq!(set_up(&setup("succeeded"), &request(Some("cus_2"))), Err(GatewayError::NotFound));
        let mut foreign = setup("succeeded");
        foreign["metadata"] = json!({"owner": "ten_2"});
        assert_eq!(set_up(&foreign, &request(None)), Err(GatewayError::NotFound));
        foreign["customer"] = json!(null);
        assert_eq!(set_up(&foreign, &request(Some("cus_1"))), Err(GatewayError::NotFound));
    }

    #[test]
    fn an_unfinished_setup_intent_says_why() {
        for status in ["requires_confirmation", "requires_action", "processing", "canceled"] {
            let rejected = Err(GatewayError::Rejected { code: status.into() });
            assert_eq!(set_up(&setup(status), &request(Some("cus_1"))), rejected);
        }
        let mut failed = setup("requires_payment_method");
        failed["last_setup_error"] = json!({"code": "card_declined", "decline_code": "lost_card"});
        let declined = Err(GatewayError::Declined { code: "lost_card".into() });
        assert_eq!(set_up(&failed, &request(Some("cus_1"))), declined);
    }

    #[test]
    fn a_method_shows_its_masked_face_to_its_customer_only() {
        let method = json!({
            "id": "pm_1", "customer": "cus_1", "billing_details": {"name": "HONG GILDONG"},
            "card": {"brand": "visa", "last4": "4242", "exp_month": 12, "exp_year": 2030},
        });
        let kept = registered(&method, "cus_1").ok().unwrap();
        assert_eq!((kept.token.expose_secret(), kept.holder_name.as_deref()), ("pm_1", Some("HONG GILDONG")));
        let masked = MaskedCard {
            brand: Some("visa".into()),
            last4: Some("4242".into()),
            exp_month: Some(12),
            exp_year: Some(2030),
        };
        assert_eq!(kept.card, masked);
        assert_eq!(registered(&method, "cus_2").err(), Some(GatewayError::NotFound));
        assert_eq!(registered(&json!({"id": "pm_1", "customer": null}), "cus_1").err(), Some(GatewayError::NotFound));
    }

    #[test]
    fn refusals_say_whose_fault_they_are() {
        let reply = |status, error: Value| Reply { status, body: json!({"error": error}).to_string().into_bytes() };
        let kind = json!({"type": "invalid_request_error"});
        for (given, wanted) in [
            (
                reply(402, json!({"type": "card_error", "code": "card_declined", "decline_code": "lost_card"})),
                GatewayError::Declined { code: "lost_card".into() },
            ),
            (reply(401, kind.clone()), GatewayError::Config { code: "invalid_request_error".into() }),
            (reply(403, kind.clone()), GatewayError::Config { code: "invalid_request_error".into() }),
            (reply(404, kind.clone()), GatewayError::NotFound),
            (reply(400, json!({"code": "resource_missing"})), GatewayError::NotFound),
            (reply(400, kind.clone()), GatewayError::Rejected { code: "invalid_request_error".into() }),
            (reply(409, kind.clone()), GatewayError::Unknown),
            (reply(429, kind.clone()), GatewayError::Unknown),
            (reply(500, kind), GatewayError::Unknown),
            (Reply { status: 502, body: b"<html>".to_vec() }, GatewayError::Unknown),
            (Reply { status: 200, body: b"<html>".to_vec() }, GatewayError::Unknown),
        ] {
            assert_eq!(accepted(&given), Err(wanted));
        }
    }
}
