//! Stripe's balance transactions: every movement of our balance, with the fee inside, newest first. What a row is about
//! is its `source`, expanded with its PaymentIntent, whose metadata holds our order id.

use async_trait::async_trait;
use domain::Date;
use domain::charge::GatewayName;
use domain::movement::{Fee, Kind, Listed, Movement};
use jiff::Timestamp;
use serde_json::Value;

use super::super::json::{id, money, owned, text, whole};
use super::super::statements::{Statement, Statements, Window, unreadable};
use super::super::transport::{NoAnswer, send};
use super::super::{GatewayError, RATE_LIMITED};
use super::{Stripe, build, read};

#[async_trait]
impl Statements for Stripe {
    fn name(&self) -> GatewayName {
        GatewayName::Stripe
    }

    async fn movements(&self, window: &Window<'_>) -> Result<Statement, GatewayError> {
        let key = self.key().await?;
        let call = build::list_balance(&self.base, &key, window);
        let reply = send(&self.client, call).await.map_err(|NoAnswer| GatewayError::Unknown)?;
        match (reply.status, read::page(&reply)) {
            (_, Some(page)) => Ok(Statement { rows: page.rows.iter().map(listed).collect(), after: page.after }),
            (429, None) => Err(GatewayError::Rejected { code: RATE_LIMITED.to_owned() }),
            (401 | 403, None) => Err(GatewayError::Config { code: format!("http_{}", reply.status) }),
            (_, None) => Err(GatewayError::Unknown),
        }
    }

    /// The fee is in the movement.
    async fn settled(&self, _: Date, _: Option<&str>) -> Result<Statement, GatewayError> {
        Ok(Statement { rows: Vec::new(), after: None })
    }
}

fn listed(row: &Value) -> Listed {
    movement(row).map_or_else(|| unreadable(row, "id"), Listed::Movement)
}

fn movement(row: &Value) -> Option<Movement> {
    let source = row.get("source").unwrap_or(&Value::Null);
    let intent = source.get("payment_intent").unwrap_or(&Value::Null);
    let of = |object: &Value| object.get("metadata").and_then(|metadata| owned(metadata, "order_id"));
    let kind = kind(text(row, "reporting_category").or_else(|| text(row, "type"))?);
    let fee = Fee { amount: whole(row, "fee")?, vat: None, net: whole(row, "net")?, paid_out_on: None };
    Some(Movement {
        id: owned(row, "id")?,
        kind,
        order_id: of(intent).or_else(|| of(source)),
        payment_id: id(source, "payment_intent"),
        charge_id: if kind == Kind::Capture { id(row, "source") } else { id(source, "charge") },
        about: id(row, "source").filter(|_| kind != Kind::Capture),
        amount: money(row, "amount", "currency")?,
        at: Timestamp::from_second(whole(row, "created")?).ok()?,
        fee: Some(fee),
    })
}

/// By `reporting_category`, which is what Stripe means for accounting; `type` where it is missing.
fn kind(category: &str) -> Kind {
    match category {
        "charge" | "payment" => Kind::Capture,
        "refund" | "payment_refund" => Kind::Refund,
        "refund_failure" | "payment_failure_refund" => Kind::RefundReturned,
        "dispute" => Kind::Dispute,
        "dispute_reversal" => Kind::DisputeReturned,
        "fee" | "stripe_fee" | "network_cost" | "tax" | "tax_fee" => Kind::Fee,
        "payout" | "payout_reversal" | "payout_failure" | "payout_cancel" => Kind::PayOut,
        _ => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::money::Money;
    use serde_json::json;

    fn row(category: &str, amount: i64, source: &Value) -> Value {
        json!({
            "id": "txn_1", "object": "balance_transaction", "created": 1_795_305_600, "amount": amount, "fee": 900,
            "fee_details": [], "net": amount - 900, "currency": "krw", "reporting_category": category, "type": "adjustment",
            "source": source, "status": "pending",
        })
    }

    #[test]
    fn a_charge_names_its_order_through_its_intent() {
        let source = json!({"id": "ch_1", "object": "charge", "metadata": {},
            "payment_intent": {"id": "pi_1", "metadata": {"order_id": "o-3-0"}}});
        let Listed::Movement(movement) = listed(&row("charge", 33_000, &source)) else { panic!("read") };
        assert_eq!(
            (movement.kind, movement.amount, movement.adds_up()),
            (Kind::Capture, Money::krw(33_000), Some(true))
        );
        assert_eq!((movement.order_id.as_deref(), movement.payment_id.as_deref()), (Some("o-3-0"), Some("pi_1")));
        assert_eq!((movement.about, movement.charge_id.as_deref()), (None, Some("ch_1")));
    }

    #[test]
    fn a_refund_names_itself_and_the_payment() {
        let source = json!({"id": "re_1", "object": "refund", "charge": "ch_1",
            "payment_intent": {"id": "pi_1", "metadata": {"order_id": "o-3-0"}}, "metadata": {"refund_id": "rf_1"}});
        let Listed::Movement(movement) = listed(&row("refund", -1_000, &source)) else { panic!("read") };
        assert_eq!((movement.kind, movement.about.as_deref()), (Kind::Refund, Some("re_1")));
        assert_eq!(movement.charge_id.as_deref(), Some("ch_1"));
        assert_eq!(movement.order_id.as_deref(), Some("o-3-0"));
    }

    #[test]
    fn rows_without_a_source_are_still_read_and_new_kinds_are_not_guessed() {
        let payout = row("payout", -100_000, &json!("po_1"));
        assert!(matches!(listed(&payout), Listed::Movement(m) if m.kind == Kind::PayOut && m.order_id.is_none()));
        assert!(matches!(listed(&row("brand_new", 1, &Value::Null)), Listed::Movement(m) if m.kind == Kind::Other));
        let mut broken = row("charge", 1, &Value::Null);
        broken["amount"] = json!("1");
        assert!(matches!(listed(&broken), Listed::Unreadable { id: Some(id), .. } if id == "txn_1"));
    }
}
